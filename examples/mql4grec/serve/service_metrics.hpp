#pragma once
// What a service counts, in the text format of Prometheus, by prometheus-cpp. All functions are thread-safe.
#include <chrono>
#include <memory>
#include <string>

#include "catalog_writer.hpp"
#include "http_server.hpp"
#include "mql4grec/recommender.hpp"

namespace mql4grec::program {

/// Values that are read when the metrics are asked for.
struct service_gauges {
  index_t waiting = 0;    ///< requests that wait for a worker
  index_t items = 0;      ///< numbers in use
  bool ready = false;     ///< a model is loaded
  http_counts http = {};  ///< of the server
  catalog_writer_counts changes = {};
  double followed_seconds = 0;  ///< since the log of another process was read; 0 if none is followed
};

class service_metrics {
 public:
  service_metrics();
  ~service_metrics();

  /// A request of an end point such as "POST /recommend" has been answered.
  void count_request(std::string const& end_point, unsigned status, std::chrono::nanoseconds time);
  /// A recommendation has been computed.
  void count_recommendation(recommendation const& answer);
  /// The text for `GET /metrics`.
  std::string text(service_gauges const& gauges) const;

 private:
  class families;
  std::unique_ptr<families> families_;
};

}  // namespace mql4grec::program
