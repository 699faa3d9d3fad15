#pragma once
// The loop over epochs, the same for every model that learns. A learner does the work; the loop counts, times and
// stops.
#include <chrono>
#include <concepts>
#include <cstdint>
#include <functional>
#include <utility>

namespace mql4grec::train {

/// How far a training has come. Every learner's progress has these members, and adds what it measures.
template <class P>
concept Progress = std::copyable<P> && std::default_initializable<P> && requires(P& p) {
  { p.epoch } -> std::same_as<std::int64_t&>;       // epochs finished
  { p.epoch_step } -> std::same_as<std::int64_t&>;  // updates made in the epoch under way
  { p.step } -> std::same_as<std::int64_t&>;        // updates made in all
  { p.best_epoch } -> std::same_as<std::int64_t&>;  // of the model to keep, counted from 1; 0: none yet
  { p.seconds } -> std::same_as<double&>;           // of training, over all resumptions
  { p.finished } -> std::same_as<bool&>;
};

/// What the loop asks of something that learns. All that a resumed run needs besides the learner's own state is in its
/// progress, so what a step computes must follow from the two alone: order, dropout and sampling are functions of
/// (seed, epoch, step).
template <class L>
concept Learner = Progress<typename L::progress_type> && std::copyable<typename L::losses_type> &&
    requires(L& learner, L const& unchanged, typename L::progress_type& p, typename L::progress_type const& seen) {
  { unchanged.steps_per_epoch() } -> std::convertible_to<std::int64_t>;
  { unchanged.is_finished(seen) } -> std::same_as<bool>;  // no epoch is left, or further ones are in vain
  learner.begin_epoch(p);                                 // also when a run is resumed inside the epoch
  {
    learner.step(p)
    } -> std::same_as<typename L::losses_type>;    // update number p.epoch_step of the epoch; adds what it saw to p
  { learner.end_epoch(p) } -> std::same_as<bool>;  // validates, sets best_epoch: is this the best model so far?
  learner.record_epoch(p);                         // appends to the history; p.seconds is the epoch's end
  learner.check(p);                                // throws training_error when going on is of no use
};

/// Follows a training and can stop it. All functions are called from the thread that trains. P: the learner's progress;
/// Losses: what one of its steps returns.
template <Progress P, class Losses>
struct loop_observer {
  /// After every update.
  std::function<void(P const&, Losses const&, std::int64_t steps_per_epoch)> on_step = [](auto const&, auto const&,
                                                                                          std::int64_t) {};
  /// After every epoch, validated; `better`: the model is the best so far and should be kept.
  std::function<void(P const&, bool better)> on_epoch = [](auto const&, bool) {};
  /// Before every update; true ends the training there.
  std::function<bool(P const&)> should_stop = [](auto const&) { return false; };
};

template <class L>
using observer_of = loop_observer<typename L::progress_type, typename L::losses_type>;

/// Trains from where `p` stands until the learner is finished or should_stop(); `p.finished` tells the two apart.
/// Throws training_error from the learner, for instance when a loss isn't finite.
template <Learner L>
void run_epochs(L& learner, typename L::progress_type& p, observer_of<L> const& observer = {}) {
  using clock = std::chrono::steady_clock;
  auto const started = clock::now();
  double const seconds_before = p.seconds;
  auto const elapsed = [&] { return seconds_before + std::chrono::duration<double>(clock::now() - started).count(); };
  std::int64_t const steps = learner.steps_per_epoch();
  p.finished = learner.is_finished(p);  // a run may be resumed with more epochs than it had
  while (!p.finished) {
    learner.begin_epoch(p);
    for (; p.epoch_step < steps; ++p.epoch_step) {
      p.seconds = elapsed();
      if (observer.should_stop(p)) return;
      auto const losses = learner.step(p);
      ++p.step;
      observer.on_step(p, losses, steps);
    }
    ++p.epoch;
    p.epoch_step = 0;
    bool const better = learner.end_epoch(p);
    p.seconds = elapsed();
    learner.record_epoch(p);
    p.finished = learner.is_finished(p);
    observer.on_epoch(p, better);
    learner.check(p);
  }
}

}  // namespace mql4grec::train
