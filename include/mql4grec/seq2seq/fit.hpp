#pragma once
// Training from the first epoch to the last: which examples come when, the schedule, validation, early stopping.
#include <chrono>
#include <functional>
#include <future>
#include <numeric>

#include "mql4grec/seq2seq/trainer.hpp"

namespace mql4grec {

/// What the one who started a training sees of it, and how it can be stopped. All are called from the starting thread.
struct training_observer {
  /// Behind every update.
  std::function<void(training_progress const&, double loss, std::int64_t steps_per_epoch)> on_step =
      [](auto const&, double, std::int64_t) {};
  /// Behind every epoch, validated; `better`: the model is the best so far and should be kept.
  std::function<void(training_progress const&, bool better)> on_epoch = [](auto const&, bool) {};
  /// Asked in front of every update; true ends the training there.
  std::function<bool(training_progress const&)> should_stop = [](auto const&) { return false; };
};

namespace detail {

/// Batches that the host writes, one when it is needed.
template <class Trainer, ExampleSource Train, ExampleSource Valid>
class written_batches {
 public:
  written_batches(Trainer& trainer, Train const& train, Valid const& valid)
      : trainer_(trainer), train_(train), valid_(valid) {}

  void begin(std::int64_t epoch) {
    epoch_ = static_cast<std::uint64_t>(epoch);
    order_ = epoch_order(train_.size(), trainer_.options().seed, epoch_);
  }
  /// By the examples first … last − 1 of the epoch's order -> the mean loss a token, and the tokens
  std::pair<double, index_t> step(index_t first, index_t last, double learning_rate) {
    all_.clear();
    for (index_t i = first; i < last; ++i)
      train_.write(order_[static_cast<std::size_t>(i)], trainer_.options().seed, epoch_, all_);
    return {trainer_.step(all_, learning_rate), std::ssize(all_.targets)};
  }
  double validate() { return trainer_.mean_loss(valid_); }

 private:
  Trainer& trainer_;
  Train const& train_;
  Valid const& valid_;
  std::uint64_t epoch_ = 0;
  std::vector<index_t> order_;
  batch all_;
};

/// Examples that lie in the backend's memory in the order in which they are asked for, a part of an epoch at a time:
/// while it works on one part, another thread writes the next.
template <class Trainer, ExampleSource Train, ExampleSource Valid>
class device_epochs {
 public:
  device_epochs(Trainer& trainer, Train const& train, Valid const& valid)
      : trainer_(trainer),
        train_(train),
        part_size_(trainer.options().batch_size *
                   std::max<index_t>(1, trainer.options().device_examples / trainer.options().batch_size)) {
    batch all;
    for (index_t i = 0; i < valid.size(); ++i) valid.write(i, trainer.options().seed, 0, all);
    valid_set_.assign(trainer.backend(), all);
  }

  void begin(std::int64_t epoch) { epoch_ = epoch; }
  std::pair<double, index_t> step(index_t first, index_t last, double learning_rate) {
    part const wanted{epoch_, first / part_size_};
    if (wanted != here_) go_to(wanted);
    which_.resize(static_cast<std::size_t>(last - first));
    std::iota(which_.begin(), which_.end(), first - wanted.number * part_size_);
    return {trainer_.step(set_, which_, learning_rate), set_.target_tokens(which_)};
  }
  double validate() { return trainer_.mean_loss(valid_set_); }

 private:
  struct part {
    std::int64_t epoch = -1;
    index_t number = 0;
    bool operator==(part const&) const = default;
  };

  void go_to(part const& wanted) {
    if (!next_.valid()) next_ = written(wanted);
    set_.assign(trainer_.backend(), next_.get());
    here_ = wanted;
    part const later = (wanted.number + 1) * part_size_ < train_.size() ? part{wanted.epoch, wanted.number + 1}
                                                                        : part{wanted.epoch + 1, 0};
    if (later.epoch < trainer_.options().epochs) next_ = written(later);
  }
  std::future<batch> written(part const& which) const {
    return std::async(std::launch::async, [&train = train_, seed = trainer_.options().seed, which, size = part_size_] {
      auto const epoch = static_cast<std::uint64_t>(which.epoch);
      auto const order = epoch_order(train.size(), seed, epoch);
      batch all;
      for (index_t i = which.number * size; i < std::min<index_t>(train.size(), (which.number + 1) * size); ++i)
        train.write(order[static_cast<std::size_t>(i)], seed, epoch, all);
      return all;
    });
  }

  Trainer& trainer_;
  Train const& train_;
  index_t part_size_;  // examples, whole batches
  std::int64_t epoch_ = 0;
  part here_;
  std::vector<index_t> which_;
  device_dataset<typename Trainer::backend_type> set_, valid_set_;
  std::future<batch> next_;  // the last member, which goes first and waits for the writer
};

}  // namespace detail

/// Trains from where `progress` stands until the last epoch, early stopping or should_stop. `progress.finished` tells
/// which. Throws training_error when a loss, of training or of validation, isn't finite. Where batches are put together
/// in the backend's memory (CapturedStepOps), `train` is written by another thread than the calling one.
template <class B, class T, class Comm, ExampleSource Train, ExampleSource Valid>
void fit(trainer<B, T, Comm>& trainer, Train const& train, Valid const& valid, training_progress& progress,
         training_observer const& observer = {}) {
  using teacher = mql4grec::trainer<B, T, Comm>;
  using epochs = std::conditional_t<CapturedStepOps<B, T>, detail::device_epochs<teacher, Train, Valid>,
                                    detail::written_batches<teacher, Train, Valid>>;
  auto const& options = trainer.options();
  expects(train.size() > 0, "training: there are no examples");
  std::int64_t const steps_per_epoch = (train.size() + options.batch_size - 1) / options.batch_size;
  auto const schedule = schedule_of(options, steps_per_epoch);
  using clock = std::chrono::steady_clock;
  auto const started = clock::now();
  double const seconds_before = progress.seconds;
  auto const elapsed = [&] { return seconds_before + std::chrono::duration<double>(clock::now() - started).count(); };
  progress.finished = is_finished(progress, options);  // a run may be resumed with more epochs
  if (progress.finished) return;
  epochs data(trainer, train, valid);

  while (!progress.finished) {
    data.begin(progress.epoch);
    for (; progress.epoch_step < steps_per_epoch; ++progress.epoch_step) {
      progress.seconds = elapsed();
      if (observer.should_stop(progress)) return;
      auto const first = progress.epoch_step * options.batch_size;
      auto const last = std::min<std::int64_t>(train.size(), first + options.batch_size);
      // transformers' schedulers multiply from 0: the very first update of a warm-up has rate 0 and changes nothing
      auto const [loss, tokens] =
          data.step(first, last, options.learning_rate * optim::multiplier(schedule, progress.step));
      ++progress.step;
      progress.examples += last - first;
      progress.epoch_loss += loss * static_cast<double>(tokens);
      progress.epoch_tokens += tokens;
      observer.on_step(progress, loss, steps_per_epoch);
    }
    bool const validated = valid.size() > 0;
    double const valid_loss = validated ? data.validate() : std::numeric_limits<double>::quiet_NaN();
    if (validated && !std::isfinite(valid_loss))
      detail::raise<training_error>("epoch ", progress.epoch + 1, ": the validation loss is ", valid_loss,
                                    ", expected a finite number; try a smaller learning rate");
    progress.seconds = elapsed();
    progress.history.push_back({.train_loss = progress.mean_epoch_loss(),
                                .valid_loss = valid_loss,
                                .learning_rate = options.learning_rate * optim::multiplier(schedule, progress.step - 1),
                                .seconds = progress.seconds});
    ++progress.epoch;
    progress.epoch_step = 0;
    progress.epoch_loss = 0;
    progress.epoch_tokens = 0;
    bool const better = !validated || valid_loss < progress.best_loss;
    if (better && validated) progress.best_loss = valid_loss;
    if (better) progress.best_epoch = progress.epoch;
    progress.finished = is_finished(progress, options);
    observer.on_epoch(progress, better);
  }
}

}  // namespace mql4grec
