#pragma once
// The loop over epochs, for every model that learns. The learner computes; the loop counts, measures time and stops. An
// epoch's learning state must be a function of the learner's progress, otherwise a resumed run differs from an
// uninterrupted one.
#include <chrono>
#include <concepts>
#include <cstdint>
#include <functional>
#include <utility>

namespace mql4grec::train {

/// The progress of a training. Every learner's progress has these members and adds its own measurements.
template <class P>
concept Progress = std::copyable<P> && std::default_initializable<P> && requires(P& p) {
  { p.epoch } -> std::same_as<std::int64_t&>;       // finished epochs
  { p.epoch_step } -> std::same_as<std::int64_t&>;  // updates made in the current epoch
  { p.step } -> std::same_as<std::int64_t&>;        // updates made in total
  { p.best_epoch } -> std::same_as<std::int64_t&>;  // epoch of the model to keep, counted from 1; 0: none yet
  { p.seconds } -> std::same_as<double&>;           // of training, over all resumptions
  { p.finished } -> std::same_as<bool&>;
};

/// The requirements of the loop on a model that learns. A resumed run has only the learner's own state and its
/// progress, so what a step computes must follow from these: order, dropout and sampling are functions of (seed, epoch,
/// step).
template <class L>
concept Learner = Progress<typename L::progress_type> && std::copyable<typename L::losses_type> &&
    requires(L& learner, L const& unchanged, typename L::progress_type& p, typename L::progress_type const& seen) {
  { unchanged.steps_per_epoch() } -> std::convertible_to<std::int64_t>;
  { unchanged.is_finished(seen) } -> std::same_as<bool>;  // no epoch is left, or further ones would not help
  learner.begin_epoch(p);                                 // also when a run is resumed within the epoch
  {
    learner.step(p)
    } -> std::same_as<typename L::losses_type>;  // update number p.epoch_step; adds its measurements to p
  {
    learner.end_epoch(p)
    } -> std::same_as<bool>;  // validates and sets best_epoch; returns whether the model is the best so far
  learner.record_epoch(p);    // appends to the history; p.seconds is the end of the epoch
  unchanged.check(seen);      // throws training_error if continuing, or keeping the model of a finished run, is useless
};

/// Observes a training and can stop it. All functions are called from the thread that trains. P: the learner's
/// progress; Losses: the result of one of its steps.
template <Progress P, class Losses>
struct loop_observer {
  /// Called after every update.
  std::function<void(P const&, Losses const&, std::int64_t steps_per_epoch)> on_step = [](auto const&, auto const&,
                                                                                          std::int64_t) {};
  /// Called after every epoch and its validation. `better`: the model is the best so far.
  std::function<void(P const&, bool better)> on_epoch = [](auto const&, bool) {};
  /// Called before every update; true ends the training before it.
  std::function<bool(P const&)> should_stop = [](auto const&) { return false; };
};

/// The observer for a learner.
template <class L>
using observer_of = loop_observer<typename L::progress_type, typename L::losses_type>;

/// Trains from the state in `p` until the learner is finished or should_stop() returns true; p.finished is false in the
/// second case. Throws training_error from the learner, for instance for a loss that isn't finite. A state that the
/// learner's check refused has reached the observer; resumed, it is refused again.
template <Learner L>
void run_epochs(L& learner, typename L::progress_type& p, observer_of<L> const& observer = {}) {
  using clock = std::chrono::steady_clock;
  auto const started = clock::now();
  double const seconds_before = p.seconds;
  auto const elapsed = [&] { return seconds_before + std::chrono::duration<double>(clock::now() - started).count(); };
  std::int64_t const steps = learner.steps_per_epoch();
  p.finished = learner.is_finished(p);  // a run may be resumed with a larger number of epochs
  if (p.epoch > 0) learner.check(p);
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
