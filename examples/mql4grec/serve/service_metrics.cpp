// Counters, gauges and histograms of a service.
#include "service_metrics.hpp"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace mql4grec::program {

namespace {

/// Upper ends in seconds, from half a millisecond to ten seconds.
prometheus::Histogram::BucketBoundaries const times = {.0005, .001, .0025, .005, .01, .025, .05,
                                                       .1,    .25,  .5,    1,    2.5, 10};

double seconds(std::chrono::nanoseconds time) { return std::chrono::duration<double>(time).count(); }

/// Bytes of memory that the process has; 0 where the system doesn't tell.
double resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  double size = 0, resident = 0;
  statm >> size >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE));
}

double open_files() {
  std::error_code failed;
  std::filesystem::directory_iterator const files("/proc/self/fd", failed);
  return failed ? 0 : static_cast<double>(std::distance(begin(files), end(files)));
}

}  // namespace

class service_metrics::families {
 public:
  families()
      : requests(prometheus::BuildCounter()
                     .Name("mql4grec_requests_total")
                     .Help("Answered requests by end point and status")
                     .Register(registry)),
        request_seconds(prometheus::BuildHistogram()
                            .Name("mql4grec_request_seconds")
                            .Help("Time from a request's last byte to its answer, by end point")
                            .Register(registry)),
        stage_seconds(prometheus::BuildHistogram()
                          .Name("mql4grec_stage_seconds")
                          .Help("Time of the stages of recommendations")
                          .Register(registry)),
        encode(stage_seconds.Add({{"stage", "encode"}}, times)),
        search(stage_seconds.Add({{"stage", "search"}}, times)),
        rank(stage_seconds.Add({{"stage", "rank"}}, times)),
        incomplete(counter("mql4grec_incomplete_total", "Recommendations that ended at their deadline")),
        waiting(gauge("mql4grec_waiting_requests", "Requests that wait for a worker")),
        items(gauge("mql4grec_items", "Numbers of items in use, those of removed items included")),
        ready(gauge("mql4grec_ready", "1 when a model is loaded")),
        connections(gauge("mql4grec_connections", "Open connections")),
        refused(gauge("mql4grec_refused_connections", "Connections refused since the start, beyond the limit")),
        malformed(
            gauge("mql4grec_malformed_requests", "Requests since the start that were not HTTP, too large or too slow")),
        changes(gauge("mql4grec_changes", "Changes of the catalog since the start")),
        change_batches(
            gauge("mql4grec_change_batches", "Batches of changes since the start, each synced to the disk once")),
        followed(gauge("mql4grec_followed_seconds", "Time since the changes of another service were last read")),
        resident(gauge("process_resident_memory_bytes", "Resident memory size in bytes")),
        files(gauge("process_open_fds", "Number of open file descriptors")) {}

  prometheus::Counter& counter(std::string const& name, std::string const& help) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry).Add({});
  }
  prometheus::Gauge& gauge(std::string const& name, std::string const& help) {
    return prometheus::BuildGauge().Name(name).Help(help).Register(registry).Add({});
  }

  prometheus::Registry registry;
  prometheus::Family<prometheus::Counter>& requests;
  prometheus::Family<prometheus::Histogram>& request_seconds;
  prometheus::Family<prometheus::Histogram>& stage_seconds;
  prometheus::Histogram &encode, &search, &rank;
  prometheus::Counter& incomplete;
  prometheus::Gauge &waiting, &items, &ready, &connections, &refused, &malformed, &changes, &change_batches, &followed,
      &resident, &files;
};

service_metrics::service_metrics() : families_(std::make_unique<families>()) {}
service_metrics::~service_metrics() = default;

void service_metrics::count_request(std::string const& end_point, unsigned status, std::chrono::nanoseconds time) {
  families_->requests.Add({{"end_point", end_point}, {"status", std::to_string(status)}}).Increment();
  families_->request_seconds.Add({{"end_point", end_point}}, times).Observe(seconds(time));
}

void service_metrics::count_recommendation(recommendation const& answer) {
  families_->encode.Observe(seconds(answer.times.encode));
  families_->search.Observe(seconds(answer.times.search));
  families_->rank.Observe(seconds(answer.times.rank));
  if (!answer.complete) families_->incomplete.Increment();
}

std::string service_metrics::text(service_gauges const& now) const {
  auto& f = *families_;
  f.waiting.Set(static_cast<double>(now.waiting));
  f.items.Set(static_cast<double>(now.items));
  f.ready.Set(now.ready ? 1 : 0);
  f.connections.Set(static_cast<double>(now.http.connections));
  f.refused.Set(static_cast<double>(now.http.refused));
  f.malformed.Set(static_cast<double>(now.http.malformed));
  f.changes.Set(static_cast<double>(now.changes.changes));
  f.change_batches.Set(static_cast<double>(now.changes.batches));
  f.followed.Set(now.followed_seconds);
  f.resident.Set(resident_bytes());
  f.files.Set(open_files());
  return prometheus::TextSerializer().Serialize(f.registry.Collect());
}

}  // namespace mql4grec::program
