#pragma once
// The T5 learner for train::run_epochs: the order of the examples, the learning rate schedule, validation and early
// stopping. All of it is a function of (seed, epoch, step), so a resumed run continues with the same bits.
#include <cmath>
#include <future>
#include <limits>
#include <numeric>
#include <optional>
#include <utility>
#include <variant>

#include "mql4grec/core/permutation.hpp"
#include "mql4grec/seq2seq/trainer.hpp"
#include "mql4grec/train/loop.hpp"

namespace mql4grec::seq2seq {

/// Observes a training; see train::loop_observer. The loss is the batch's mean per token.
using training_observer = train::loop_observer<training_progress, double>;

/// Examples with a task and a dataset, which gradient surgery can group.
template <class S>
concept GroupedSource = ExampleSource<S> && requires(S const& source, index_t i, std::uint64_t seed) {
  { source.origin(i, seed, seed).task } -> std::convertible_to<index_t>;  // (example, seed, epoch)
  { source.origin(i, seed, seed).dataset } -> std::convertible_to<index_t>;
};

namespace detail {

/// Writes each batch on the host when it is needed.
template <class Trainer, ExampleSource Train, ExampleSource Valid>
class written_batches {
 public:
  written_batches(Trainer& trainer, Train const& train, Valid const& valid)
      : trainer_(trainer), train_(train), valid_(valid) {}

  void begin(std::int64_t epoch) {
    epoch_ = static_cast<std::uint64_t>(epoch);
    order_ = example_order(train_.size(), trainer_.options().seed, epoch_);
  }
  /// One update by the examples first … last − 1 of the epoch's order. Returns the mean loss per token and the number
  /// of target tokens.
  std::pair<double, index_t> step(index_t first, index_t last, double learning_rate) {
    if (trainer_.options().surgery != gradient_groups::none) return step_by_groups(first, last, learning_rate);
    write(
        last - first, [&](index_t i) { return order_[first + i]; }, all_);
    return {trainer_.step(all_, learning_rate), std::ssize(all_.targets)};
  }
  double validate() { return trainer_.mean_loss(valid_); }

 private:
  /// Writes a batch of examples, whose numbers number_of(i) returns.
  template <class NumberOf>
  void write(index_t examples, NumberOf const& number_of, tasks::batch& to) {
    trainer_.write_batch(
        examples,
        [&](index_t i, tasks::batch& some) { train_.write(number_of(i), trainer_.options().seed, epoch_, some); }, to);
  }
  std::pair<double, index_t> step_by_groups(index_t first, index_t last, double learning_rate) {
    index_t tokens = 0;
    if constexpr (GroupedSource<Train>) {
      for (auto& numbers : group_examples_) numbers.clear();
      for (index_t i = first; i < last; ++i) {
        auto const from = train_.origin(order_[i], trainer_.options().seed, epoch_);
        std::size_t const group = trainer_.options().surgery == gradient_groups::tasks ? from.task : from.dataset;
        if (group_examples_.size() <= group) group_examples_.resize(group + 1);
        group_examples_[group].push_back(order_[i]);
      }
      groups_.resize(group_examples_.size());
      for (std::size_t g = 0; g < groups_.size(); ++g) {
        auto const& numbers = group_examples_[g];
        write(
            std::ssize(numbers), [&](index_t i) { return numbers[to_size(i)]; }, groups_[g]);
        tokens += std::ssize(groups_[g].targets);
      }
    }
    return {trainer_.step(std::span<tasks::batch const>(groups_), learning_rate), tokens};
  }

  Trainer& trainer_;
  Train const& train_;
  Valid const& valid_;
  std::vector<tasks::batch> groups_;
  std::vector<std::vector<index_t>> group_examples_;  // their numbers
  std::uint64_t epoch_ = 0;
  example_order order_;
  tasks::batch all_;
};

/// Keeps a part of an epoch in the backend's memory, in the epoch's order. While the backend trains on one part,
/// another thread writes the next.
template <class Trainer, ExampleSource Train, ExampleSource Valid>
class device_epochs {
 public:
  device_epochs(Trainer& trainer, Train const& train, Valid const& valid)
      : trainer_(trainer),
        train_(train),
        size_(std::min<index_t>(train.size(),
                                updates_per_epoch(trainer.options(), train.size()) * trainer.options().batch_size)),
        part_size_(trainer.options().batch_size *
                   std::max<index_t>(1, trainer.options().device_examples / trainer.options().batch_size)) {
    tasks::batch all;
    for (index_t i = 0; i < valid.size(); ++i) valid.write(i, trainer.options().seed, 0, all);
    valid_set_.assign(trainer.backend(), all);
  }

  void begin(std::int64_t epoch) { epoch_ = epoch; }
  std::pair<double, index_t> step(index_t first, index_t last, double learning_rate) {
    part const wanted{epoch_, first / part_size_};
    if (wanted != here_) go_to(wanted);
    which_.resize(to_size(last - first));
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
    part const later =
        (wanted.number + 1) * part_size_ < size_ ? part{wanted.epoch, wanted.number + 1} : part{wanted.epoch + 1, 0};
    if (later.epoch < trainer_.options().epochs) next_ = written(later);
  }
  std::future<tasks::batch> written(part const& which) const {
    auto const begin = which.number * part_size_, end = std::min(size_, begin + part_size_);
    return std::async(std::launch::async, [&train = train_, seed = trainer_.options().seed, which, begin, end] {
      auto const epoch = static_cast<std::uint64_t>(which.epoch);
      example_order const order(train.size(), seed, epoch);
      tasks::batch all;
      for (index_t i = begin; i < end; ++i) train.write(order[i], seed, epoch, all);
      return all;
    });
  }

  Trainer& trainer_;
  Train const& train_;
  index_t size_;       // examples of an epoch
  index_t part_size_;  // examples, whole batches
  std::int64_t epoch_ = 0;
  part here_;
  std::vector<index_t> which_;
  device_dataset<typename Trainer::backend_type> set_, valid_set_;
  std::future<tasks::batch> next_;  // the last member: it is destroyed first, and that waits for the writing thread
};

}  // namespace detail

/// A T5 trainer with its examples: a train::Learner. With a backend that builds batches in its own memory
/// (CapturedStepOps), and options that allow it (can_be_captured), train.write is called from another thread than the
/// caller's.
template <class Trainer, ExampleSource Train, ExampleSource Valid>
class t5_learner {
 public:
  /// The progress of a run.
  using progress_type = training_progress;
  /// The result of a step: the batch's mean loss per token.
  using losses_type = double;

  /// All arguments must outlive the learner. `valid` may be empty; then every epoch's model is kept. Throws error if
  /// there are no examples to train on.
  t5_learner(Trainer& trainer, Train const& train, Valid const& valid)
      : trainer_(trainer), train_(train), valid_(valid), schedule_(schedule_of(trainer.options(), steps_per_epoch())) {
    expects(train.size() > 0, "training: there are no examples");
    expects(GroupedSource<Train> || trainer.options().surgery == gradient_groups::none,
            "training: gradient surgery, but the examples have neither tasks nor datasets");
  }

  /// Updates per epoch; see updates_per_epoch().
  std::int64_t steps_per_epoch() const { return updates_per_epoch(trainer_.options(), train_.size()); }
  /// Whether the last epoch is done, or `patience` epochs have passed without a better validation loss.
  bool is_finished(training_progress const& p) const { return mql4grec::seq2seq::is_finished(p, trainer_.options()); }

  /// Shuffles the examples of epoch p.epoch. Also called when a run is resumed within the epoch.
  void begin_epoch(training_progress const& p) {
    if (!data_) data_.emplace(make_source());
    std::visit([&](auto& data) { data.begin(p.epoch); }, *data_);
  }

  /// Update number p.epoch_step of the epoch. Returns the batch's mean loss per token in nats.
  double step(training_progress& p) {
    auto const first = p.epoch_step * trainer_.options().batch_size;
    auto const last = std::min<std::int64_t>(train_.size(), first + trainer_.options().batch_size);
    auto const [loss, tokens] =
        std::visit([&](auto& data) { return data.step(first, last, learning_rate_at(p.step)); }, *data_);
    p.examples += last - first;
    p.epoch_loss += loss * static_cast<double>(tokens);
    p.epoch_tokens += tokens;
    return loss;
  }

  /// Computes the validation loss and returns whether it is the lowest so far; without validation examples, always
  /// true. Throws training_error if the validation loss isn't finite.
  bool end_epoch(training_progress& p) {
    bool const validated = valid_.size() > 0;
    valid_loss_ = validated ? std::visit([](auto& data) { return data.validate(); }, *data_)
                            : std::numeric_limits<double>::quiet_NaN();
    if (validated && !std::isfinite(valid_loss_))
      raise<training_error>("epoch ", p.epoch, ": the validation loss is ", valid_loss_,
                            ", expected a finite number; try a smaller learning rate");
    bool const better = !validated || valid_loss_ < p.best_loss;
    if (better && validated) p.best_loss = valid_loss_;
    if (better) p.best_epoch = p.epoch;
    return better;
  }
  /// Appends the epoch that ended to p.history.
  void record_epoch(training_progress& p) {
    p.history.push_back({.train_loss = p.mean_epoch_loss(),
                         .valid_loss = valid_loss_,
                         .learning_rate = learning_rate_at(p.step - 1),
                         .seconds = p.seconds});
    p.epoch_loss = 0;
    p.epoch_tokens = 0;
  }
  /// Does nothing: step and end_epoch throw.
  void check(training_progress const&) const {}

 private:
  static constexpr bool is_captured = CapturedStepOps<typename Trainer::backend_type, typename Trainer::scalar_type>;
  using written = detail::written_batches<Trainer, Train, Valid>;
  using source = std::conditional_t<is_captured, std::variant<written, detail::device_epochs<Trainer, Train, Valid>>,
                                    std::variant<written>>;

  source make_source() const {
    if constexpr (is_captured)
      if (can_be_captured(trainer_.options()))
        return source(std::in_place_type<detail::device_epochs<Trainer, Train, Valid>>, trainer_, train_, valid_);
    return source(std::in_place_type<written>, trainer_, train_, valid_);
  }

  // as in transformers' schedulers, the first update of a warm-up has rate 0 and changes nothing
  double learning_rate_at(std::int64_t step) const {
    return trainer_.options().learning_rate * optim::multiplier(schedule_, step);
  }

  Trainer& trainer_;
  Train const& train_;
  Valid const& valid_;
  optim::schedule schedule_;
  std::optional<source> data_;  // created when the first epoch begins: a finished run needs none
  double valid_loss_ = 0;       // of the epoch that ended
};

/// Trains from the state in `progress` until the last epoch, early stopping, or should_stop; progress.finished is false
/// in the last case. Throws training_error if a training or validation loss isn't finite.
template <class B, class T, class Comm, ExampleSource Train, ExampleSource Valid>
void fit(trainer<B, T, Comm>& trainer, Train const& train, Valid const& valid, training_progress& progress,
         training_observer const& observer = {}) {
  t5_learner learner(trainer, train, valid);
  train::run_epochs(learner, progress, observer);
}

}  // namespace mql4grec::seq2seq
