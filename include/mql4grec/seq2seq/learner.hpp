#pragma once
// Training from the first epoch to the last: which examples come when, the schedule, validation, early stopping.
#include <cmath>
#include <future>
#include <limits>
#include <numeric>
#include <optional>

#include "mql4grec/seq2seq/trainer.hpp"
#include "mql4grec/train/loop.hpp"

namespace mql4grec {

/// Follows a training; see train::loop_observer. The loss is the batch's mean per token.
using training_observer = train::loop_observer<training_progress, double>;

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

/// A T5 trainer with its examples, for train::run_epochs. Where the backend puts batches together in its own memory
/// (CapturedStepOps), another thread than the calling one calls train.write.
template <class Trainer, ExampleSource Train, ExampleSource Valid>
class t5_learner {
 public:
  using progress_type = training_progress;
  using losses_type = double;

  /// All arguments must outlive the learner. Throws error when there are no examples to train on.
  t5_learner(Trainer& trainer, Train const& train, Valid const& valid)
      : trainer_(trainer), train_(train), valid_(valid), schedule_(schedule_of(trainer.options(), steps_per_epoch())) {
    expects(train.size() > 0, "training: there are no examples");
  }

  std::int64_t steps_per_epoch() const {
    return (train_.size() + trainer_.options().batch_size - 1) / trainer_.options().batch_size;
  }
  bool is_finished(training_progress const& p) const { return mql4grec::is_finished(p, trainer_.options()); }

  void begin_epoch(training_progress const& p) {
    if (!data_) data_.emplace(trainer_, train_, valid_);
    data_->begin(p.epoch);
  }

  double step(training_progress& p) {
    auto const first = p.epoch_step * trainer_.options().batch_size;
    auto const last = std::min<std::int64_t>(train_.size(), first + trainer_.options().batch_size);
    auto const [loss, tokens] = data_->step(first, last, learning_rate_at(p.step));
    p.examples += last - first;
    p.epoch_loss += loss * static_cast<double>(tokens);
    p.epoch_tokens += tokens;
    return loss;
  }

  /// Validates. Throws training_error when the validation loss isn't finite.
  bool end_epoch(training_progress& p) {
    bool const validated = valid_.size() > 0;
    valid_loss_ = validated ? data_->validate() : std::numeric_limits<double>::quiet_NaN();
    if (validated && !std::isfinite(valid_loss_))
      detail::raise<training_error>("epoch ", p.epoch, ": the validation loss is ", valid_loss_,
                                    ", expected a finite number; try a smaller learning rate");
    bool const better = !validated || valid_loss_ < p.best_loss;
    if (better && validated) p.best_loss = valid_loss_;
    if (better) p.best_epoch = p.epoch;
    return better;
  }
  void record_epoch(training_progress& p) {
    p.history.push_back({.train_loss = p.mean_epoch_loss(),
                         .valid_loss = valid_loss_,
                         .learning_rate = learning_rate_at(p.step - 1),
                         .seconds = p.seconds});
    p.epoch_loss = 0;
    p.epoch_tokens = 0;
  }
  void check(training_progress const&) const {}

 private:
  using source =
      std::conditional_t<CapturedStepOps<typename Trainer::backend_type, typename Trainer::scalar_type>,
                         detail::device_epochs<Trainer, Train, Valid>, detail::written_batches<Trainer, Train, Valid>>;

  // transformers' schedulers multiply from 0: the very first update of a warm-up has rate 0 and changes nothing
  double learning_rate_at(std::int64_t step) const {
    return trainer_.options().learning_rate * optim::multiplier(schedule_, step);
  }

  Trainer& trainer_;
  Train const& train_;
  Valid const& valid_;
  optim::schedule schedule_;
  std::optional<source> data_;  // made when the first epoch begins: a finished run needs none
  double valid_loss_ = 0;       // of the epoch that ended
};

/// Trains from where `progress` stands until the last epoch, early stopping or should_stop; `progress.finished` is
/// false in the last case. Throws training_error when a loss, of training or of validation, isn't finite.
template <class B, class T, class Comm, ExampleSource Train, ExampleSource Valid>
void fit(trainer<B, T, Comm>& trainer, Train const& train, Valid const& valid, training_progress& progress,
         training_observer const& observer = {}) {
  t5_learner learner(trainer, train, valid);
  train::run_epochs(learner, progress, observer);
}

}  // namespace mql4grec
