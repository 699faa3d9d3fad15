#pragma once
// Makes the changes of catalogs that clients ask for, one after another, on a thread of its own. What arrives while the
// logs are synced to the disk is made together, with one synchronization of each log.
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <variant>
#include <vector>

#include "http_server.hpp"
#include "mql4grec/pipeline/item_placer.hpp"
#include "request_json.hpp"
#include "served_catalog.hpp"

namespace mql4grec::program {

/// A client's change of a catalog.
struct catalog_request {
  std::shared_ptr<served_catalog const> catalog;
  std::variant<item_body, item_id> what;      ///< the item to insert or to re-code, or the number of one to remove
  std::function<void(http_response)> answer;  ///< called when the change is on the disk, or is refused
};

/// What a writer has done.
struct catalog_writer_counts {
  std::size_t changes = 0;  ///< that were made
  std::size_t batches = 0;  ///< each with one synchronization of each log that it needs
};

/// Makes changes in the order of the requests. Thread-safe.
class catalog_writer {
 public:
  /// Receives the reason of a change that was answered with 500.
  using report_fault = std::function<void(std::exception const&)>;

  /// `placers` give inserted items their tokens; they must outlive the writer, which alone uses them.
  catalog_writer(std::vector<pipeline::item_placer> const& placers, report_fault report);
  catalog_writer(catalog_writer const&) = delete;
  catalog_writer& operator=(catalog_writer const&) = delete;
  /// Makes the changes that are left.
  ~catalog_writer();

  /// Returns at once.
  void post(catalog_request request);
  catalog_writer_counts counts() const;

 private:
  struct prepared;
  class batch;

  void run();
  void make(std::span<catalog_request const> requests);
  void store(std::span<prepared const> all);

  std::vector<pipeline::item_placer> const& placers_;
  report_fault report_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<catalog_request> waiting_;
  catalog_writer_counts counts_;
  bool ending_ = false;
  std::jthread thread_;  // the last member: it uses the others
};

}  // namespace mql4grec::program
