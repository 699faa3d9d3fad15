#pragma once
// Clocks, and percentiles of what they measure. Processor time hardly depends on what else the machine does.
#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <vector>

namespace bench {

namespace detail {
inline double seconds_of(clockid_t clock) {
  timespec time;
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}
}  // namespace detail

/// Seconds of the clock, from some moment on.
inline double wall_seconds() { return detail::seconds_of(CLOCK_MONOTONIC); }
/// Seconds of processor time of the calling thread.
inline double thread_seconds() { return detail::seconds_of(CLOCK_THREAD_CPUTIME_ID); }
/// Seconds of processor time of all threads of this process.
inline double processor_seconds() { return detail::seconds_of(CLOCK_PROCESS_CPUTIME_ID); }

/// The largest memory of this process so far, in MiB; mapped pages of files count as long as they are in memory.
inline double peak_mebibytes() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  return static_cast<double>(used.ru_maxrss) / 1024;
}

/// The least of the values, at least one, that a share of them doesn't exceed: .5 for the median, .99 for p99.
inline double percentile(std::vector<double> const& sorted, double share) {
  auto const rank = std::ceil(share * static_cast<double>(sorted.size()) - 1e-9);
  return sorted[static_cast<std::size_t>(std::max(1.0, rank)) - 1];
}

}  // namespace bench
