#pragma once
// The progress bar of a training: rate, loss and the time left. Rates and times are those of this process; a resumed
// run has earlier updates.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

#include "mql4grec/core/scalar.hpp"
#include "mql4grec/train/loop.hpp"
#include "progress.hpp"
#include "report/text.hpp"

namespace mql4grec::program {

/// What a bar shows of an update.
struct bar_reading {
  std::int64_t seen = 0;  ///< examples or items of all updates
  std::int64_t steps_per_epoch = 0;
  std::string loss = {};  ///< of the update, as text
};

class training_bar {
 public:
  /// unit: what is counted, for instance "examples". The log must outlive this object.
  training_bar(progress_log& log, std::string unit, index_t epochs, double max_seconds)
      : log_(log), unit_(std::move(unit)), epochs_(epochs), max_seconds_(max_seconds) {}

  /// To be called after every update. The clock starts after the first one, which includes the cost of first use.
  template <train::Progress P>
  void draw(P const& p, bar_reading const& now) {
    if (first_step_ < 0) {
      started_ = clock::now();
      first_step_ = p.step;
      first_seen_ = now.seen;
      return;
    }
    double const elapsed = std::max(1e-9, std::chrono::duration<double>(clock::now() - started_).count());
    auto const all = epochs_ * now.steps_per_epoch;
    double const left =
        std::min(elapsed / static_cast<double>(p.step - first_step_) * static_cast<double>(all - p.step),
                 max_seconds_ - elapsed);
    auto const rate = static_cast<index_t>(static_cast<double>(now.seen - first_seen_) / elapsed);
    log_.bar(epoch_text(p.epoch + 1), static_cast<double>(p.step) / static_cast<double>(all),
             grouped(rate) + " " + unit_ + "/s  loss " + now.loss + "  " + clock_time(left) + " left");
  }

  /// "epoch 3/10"
  std::string epoch_text(std::int64_t epoch) const {
    return "epoch " + std::to_string(epoch) + "/" + std::to_string(epochs_);
  }

 private:
  using clock = std::chrono::steady_clock;

  progress_log& log_;
  std::string unit_;
  index_t epochs_;
  double max_seconds_;
  clock::time_point started_ = {};
  std::int64_t first_step_ = -1, first_seen_ = 0;
};

}  // namespace mql4grec::program
