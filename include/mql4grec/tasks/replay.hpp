#pragma once
// Replay: while a model is fine-tuned, it sees examples of the datasets that it was pre-trained on, so that it forgets
// them less.
#include <cmath>
#include <cstdint>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/ids.hpp"
#include "mql4grec/tasks/batch.hpp"
#include "mql4grec/tasks/training_set.hpp"

namespace mql4grec::tasks {

/// All examples of a target, and in every epoch some random ones of a source: share · the target's number, rounded,
/// drawn anew with replacement and equal probability. The tokens of example i in an epoch are a function of (seed,
/// epoch, i). An ExampleSource.
class replayed_set {
 public:
  /// Both sets must outlive this object. With a share of 0 the source isn't read. Throws error if the share is negative
  /// or not finite, and if it is more than 0 but no example, or the source has none.
  replayed_set(training_set const& target, training_set const& source, double share)
      : target_(target), source_(source) {
    expects(share >= 0 && std::isfinite(share), "replay: a share of ", share, ", expected at least 0");
    expects(share == 0 || source.size() > 0, "replay: the datasets to replay have no examples");
    replayed_ = static_cast<index_t>(std::llround(share * static_cast<double>(target.size())));
    expects(share == 0 || replayed_ > 0, "replay: a share of ", share, " of ", target.size(), " examples is none");
  }

  /// Examples in an epoch: those of the target, then the replayed ones.
  index_t size() const { return target_.size() + replayed_; }
  /// Replayed examples in an epoch.
  index_t replayed() const { return replayed_; }
  /// The target.
  training_set const& target() const { return target_; }
  /// The source.
  training_set const& source() const { return source_; }

  /// Appends the tokens of example i to a batch. Throws error when i is out of range.
  void write(index_t i, std::uint64_t seed, std::uint64_t epoch, batch& out) const {
    if (i < target_.size()) return target_.write(i, seed, epoch, out);
    auto random = stream_of(i, seed, epoch);
    index_t const drawn = random.below(source_.size());
    source_.write(drawn, random, out);
  }
  /// The task and the dataset of example i in an epoch; the datasets of the source follow those of the target. Throws
  /// error when i is out of range.
  example origin(index_t i, std::uint64_t seed, std::uint64_t epoch) const {
    if (i < target_.size()) return target_.origin(i, seed, epoch);
    auto random = stream_of(i, seed, epoch);
    auto found = source_.origin(random.below(source_.size()), seed, epoch);
    found.dataset = static_cast<std::uint16_t>(found.dataset + target_.datasets().size());
    return found;
  }

 private:
  random_stream stream_of(index_t i, std::uint64_t seed, std::uint64_t epoch) const {
    expects(i < size(), "example ", i, " of ", size());
    return detail::example_stream(seed, epoch, static_cast<std::uint64_t>(i));
  }

  training_set const& target_;
  training_set const& source_;
  index_t replayed_ = 0;
};

}  // namespace mql4grec::tasks
