#pragma once
// How far the backward passes of a rank's workers have come, for a thread that sums what is final:
//
//     worker 0     reach(0, 900) ········· reach(0, 500) ············ reach(0, 0)
//     worker 1     ····· reach(1, 900) ············· reach(1, 500) ··· reach(1, 0)
//     who sums     wait(900) ──┘ sums      wait(500) ──┘ sums         ······┘ stop(), and the workers sum the rest
#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <vector>

#include "mql4grec/core/ids.hpp"

namespace mql4grec::train {

/// The entries of the workers' gradients that are final, from some entry on. All functions may be called from any
/// thread.
class backward_progress {
 public:
  /// Begins the passes of so many workers: of `entries` entries, none is final.
  void begin(index_t workers, index_t entries) {
    std::scoped_lock const lock(mutex_);
    reached_.assign(to_size(workers), entries);
    stopped_ = false;
  }
  /// A worker's entries from `first` on are final.
  void reach(index_t worker, index_t first) {
    std::scoped_lock const lock(mutex_);
    reached_[to_size(worker)] = first;
    changed_.notify_all();
  }
  /// Waits until the entries from `first` on are final for all workers; false if stop() comes first.
  [[nodiscard]] bool wait(index_t first) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return stopped_ || *std::ranges::max_element(reached_) <= first; });
    return !stopped_;
  }
  /// Ends the waiting, now and until the next begin().
  void stop() {
    std::scoped_lock const lock(mutex_);
    stopped_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<index_t> reached_;
  bool stopped_ = true;
};

}  // namespace mql4grec::train
