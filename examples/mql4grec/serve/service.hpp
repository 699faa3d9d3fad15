#pragma once
// The end points of a service: what a request asks, what it is answered, and which model and catalog answer it. Nothing
// here knows of sockets or backends.
#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>

#include "catalog_writer.hpp"
#include "compute/serving.hpp"
#include "compute/thread_pool.hpp"
#include "http_server.hpp"
#include "mql4grec/pipeline/item_placer.hpp"
#include "request_json.hpp"
#include "served_catalog.hpp"
#include "service_log.hpp"
#include "service_metrics.hpp"

namespace mql4grec::program {

class compute;

/// Options of a service.
struct service_options {
  served_paths paths;
  serving_options serving = {};
  request_limits limits = {};
  std::string admin_token = {};      ///< for end points that change something; empty: there are none
  std::filesystem::path state = {};  ///< a directory that keeps changes of catalogs; empty: they are lost at the end
  bool follow = false;  ///< whether another process writes that directory, whose changes are made here, too
  std::vector<std::filesystem::path> translators = {};  ///< directories; they give inserted items their tokens
  bool show_users = false;                              ///< whether the histories of the dataset's users can be read
};

/// Answers HTTP requests. Thread-safe.
class service {
 public:
  /// `on` loads models; it and the log must outlive the service. Nothing is loaded yet.
  service(service_options options, compute const& on, service_log& log);
  /// Answers all requests that were handed to it.
  ~service();

  /// Loads the model, the catalog and the translators; the service is ready then. Throws what reading them throws.
  void load();
  /// An http_handler.
  void handle(http_request request, responder const& answer);
  /// Counters of the server for `GET /metrics`.
  void set_http_counts(std::function<http_counts()> counts) { http_counts_ = std::move(counts); }

 private:
  struct loaded;
  struct exchange;
  struct end_point;

  /// The end point of a request, or why there is none.
  struct match {
    end_point const* chosen = nullptr;
    std::string allowed = {};  ///< methods of the path; empty: there is no such path
    std::string item = {};     ///< the part of the path that the end point leaves open
  };

  static std::vector<end_point> const& end_points();
  static match find(http_request const& request);
  std::shared_ptr<loaded const> current() const;
  std::shared_ptr<loaded const> read(served_paths const& paths);
  void find_calibration(loaded& of) const;
  void follow(std::stop_token stop);
  double followed_seconds() const;
  static void check_same_words(loaded const& now, loaded const& next);
  bool is_admin(http_request const& request) const;

  template <class Work>
  void guarded(std::string const& name, responder const& answer, Work const& work);

  void change(exchange const& x, std::variant<item_body, item_id> what);
  void recommend(exchange const& x);
  void find_items(exchange const& x);
  void find_sets(exchange const& x);
  void show_item(exchange const& x);
  void show_picture(exchange const& x);
  void show_users(exchange const& x);
  void show_user(exchange const& x);
  void show_model(exchange const& x);
  void set_item(exchange const& x);
  void remove_item(exchange const& x);
  void reload(exchange const& x);
  void show_page(exchange const& x);
  void show_description(exchange const& x);
  void show_liveness(exchange const& x);
  void show_readiness(exchange const& x);
  void show_metrics(exchange const& x);

  service_options options_;
  compute const& compute_;
  service_log& log_;
  service_metrics metrics_;
  std::function<http_counts()> http_counts_ = [] { return http_counts(); };
  std::atomic<bool> reloading_ = false;
  std::atomic<int> models_ = 0;  // that exist: the current one, and others whose requests are being answered
  std::vector<pipeline::item_placer> placers_;
  thread_pool slow_{4};        // for what waits for a disk, or reads the whole catalog
  thread_pool background_{1};  // reloads, and the end of models that have been replaced
  catalog_writer writer_;
  mutable std::mutex mutex_;
  bool ending_ = false;
  std::shared_ptr<loaded const> current_;
  std::atomic<std::chrono::steady_clock::rep> followed_at_ = 0;  // the last time that all changes could be read
  std::atomic<bool> cannot_follow_ = false;                      // at the last attempt
  std::jthread follower_;                                        // the last member: it uses what is above
};

}  // namespace mql4grec::program
