#pragma once
// A training in a directory: the best model so far, and the state from which a killed or stopped run continues. The
// model files contain the best model, not the latest one; the latest is in the state.
//
//     training.safetensors   the state; replaced atomically, so it is never partly written
//     model.safetensors …    the best model, in the files that the learner writes
//
// With several ranks, all call the same functions, all read the state, and rank 0 writes. Before every update they
// agree on whether to stop and whether to write the state: the clock is that of rank 0, and an interruption on any rank
// stops all.
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <utility>

#include "mql4grec/core/checksum.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/train/communicator.hpp"
#include "mql4grec/train/loop.hpp"
#include "mql4grec/train/state_file.hpp"

namespace mql4grec::train {

/// How a run ended.
enum class run_status {
  finished,     ///< the last epoch is done, or further ones would not help
  out_of_time,  ///< max_seconds have passed; the run can be resumed
  interrupted   ///< the observer requested it; the run can be resumed
};

/// Limits of a run in one call.
struct run_limits {
  double max_seconds =
      std::numeric_limits<double>::infinity();  ///< seconds of training in this call; default: no limit
  double checkpoint_seconds = 120;              ///< seconds between two writes of the state
};

/// Observes a run. P and Losses as in loop_observer.
template <Progress P, class Losses>
struct run_observer {
  /// Called after every update.
  std::function<void(P const&, Losses const&, std::int64_t steps_per_epoch)> on_step = [](auto const&, auto const&,
                                                                                          std::int64_t) {};
  /// Called after every epoch and its validation. `better`: the model is the best so far and has been written.
  std::function<void(P const&, bool better)> on_epoch = [](auto const&, bool) {};
  /// Called before every update; true ends the run after its state is written.
  std::function<bool()> interrupted = [] { return false; };
  /// Called if a resumed run has other settings than before, with one line such as `precision was "bf16" and is
  /// "fp32"`. Its results are then equal to those of an uninterrupted run up to rounding.
  std::function<void(std::string const& changes)> on_changed_settings = [](auto const&) {};
};

/// The limits of a run, and its observer.
template <Progress P, class Losses>
struct run_control {
  run_limits limits = {};                 ///< time limit and interval of checkpoints
  run_observer<P, Losses> observer = {};  ///< called during the run
};

/// The result of a run.
template <Progress P>
struct run_result {
  P progress;                                ///< the learner's progress at the end
  run_status status = run_status::finished;  ///< how the run ended
};

/// The ranks of a run, as its loop sees them.
struct run_ranks {
  index_t rank = 0;  ///< this rank's number
  /// Replaces the numbers by their sums over all ranks; null: there is one rank.
  std::function<void(std::span<double>)> all_reduce = {};
  /// Throws error on every rank if the value, of which the text says what it is, differs between ranks.
  std::function<void(std::string const& what, std::uint64_t value)> expect_equal = [](auto const&, std::uint64_t) {};
};
/// The ranks of a communicator, which must outlive the result.
template <Backend B, class Comm>
[[nodiscard]] run_ranks ranks_of(B& b, Comm& communicator) {
  if (communicator.world_size() == 1) return {};
  return {.rank = communicator.rank(),
          .all_reduce = [&](std::span<double> numbers) { communicator.all_reduce(b, numbers); },
          .expect_equal = [&](std::string const& what,
                              std::uint64_t value) { train::expect_equal(communicator, b, what, value); }};
}

/// The files of a run; F is a policy that each kind of model provides.
template <class F, class P>
concept RunFiles = Progress<P> && requires(F& files, P const& p, std::filesystem::path const& path) {
  { files.read_state(path) } -> std::same_as<P>;  // throws file_error for the file of another run
  files.write_state(path, p);
  {
    files.changed_settings(path)
    } -> std::same_as<std::string>;  // settings that differ from the file's but permit resuming
  files.begin(path);                 // a new run begins: writes the files that accompany every model of the directory
  files.write_model(path, p);        // writes the best model so far
  files.end_epoch(path, p);          // an epoch ended: writes what is kept of it; repeated if a run is killed after it
  files.end(path, p);                // the run ended or stopped
  { files.saves_after_epoch(p) } -> std::same_as<bool>;  // whether the state is written after the epoch that ended
};

/// The state file of a trainer, for RunFiles. Derive from it and add the model's files.
template <Trainer T, Progress P>
class state_files {
 public:
  /// The trainer must outlive this object. `reasons`: why a condition must be equal, by its name, for error messages.
  state_files(T& trainer, run_description about, std::map<std::string, std::string> reasons = {})
      : trainer_(trainer), about_(std::move(about)), reasons_(std::move(reasons)) {}

  /// Reads the trainer's state and returns the progress. Throws file_error if the file is damaged or belongs to another
  /// run.
  P read_state(std::filesystem::path const& path) {
    return train::read_state<P>(path, trainer_, *about_.conditions, reasons_);
  }
  /// Writes the trainer's state and the progress. Throws file_error.
  void write_state(std::filesystem::path const& path, P const& p) const {
    train::write_state(path, trainer_, p, about_);
  }
  /// Brings to rank 0 what it writes; all ranks call it.
  void collect() {
    if constexpr (requires { trainer_.collect_moments(); }) trainer_.collect_moments();
  }
  /// A checksum of the parameters, which are equal on all ranks.
  std::uint64_t checksum() const {
    using space = typename T::backend_type::memory_space;
    auto const& model = std::as_const(trainer_).model();
    host_copy<float, space> const values(model.parameters());
    return mql4grec::checksum(std::as_bytes(as_span(values.view_all())));
  }
  /// Keeps nothing of an epoch.
  void end_epoch(std::filesystem::path const&, P const&) const {}
  /// The settings that differ from those in the file, as text; empty if none does. Throws file_error.
  std::string changed_settings(std::filesystem::path const& path) const {
    return about_.settings ? state_file(path).changes(*about_.settings) : std::string();
  }

 private:
  T& trainer_;
  run_description about_;
  std::map<std::string, std::string> reasons_;
};

/// How a run_directory treats a run that the directory contains.
struct run_directory_options {
  bool resume = false;   ///< continue the run, if there is one; otherwise its presence is an error
  run_ranks ranks = {};  ///< the ranks that share the run; all of them construct the directory
};

/// The directory of a run. Constructing it guarantees that the run overwrites no other run and no other model.
class run_directory {
 public:
  /// Creates the directory, on rank 0, and waits for all ranks. Throws error if it contains a run that isn't resumed,
  /// or a model that belongs to no run; and on every rank, if one doesn't see the run that another one sees.
  explicit run_directory(std::filesystem::path directory, run_directory_options const& options = {})
      : directory_(std::move(directory)),
        ranks_(options.ranks),
        resumed_(options.resume && std::filesystem::exists(state_path())) {
    if (!resumed_) expect_empty(directory_);
    ranks_.expect_equal("whether " + state_path().string() + " exists", resumed_ ? 1 : 0);
    if (ranks_.rank == 0) make_directory(directory_);
  }

  /// Throws error if the directory contains a run or a model.
  static void expect_empty(std::filesystem::path const& directory) {
    expects(!std::filesystem::exists(directory / state_file_name), directory.string(),
            ": holds a training run; resume it, or write to another directory");
    expects(!std::filesystem::exists(directory / "model.safetensors"), directory.string(),
            ": holds a model that isn't this run's; write to another directory");
  }

  /// The directory.
  std::filesystem::path const& path() const { return directory_; }
  /// The state file, training.safetensors.
  std::filesystem::path state_path() const { return directory_ / state_file_name; }
  /// Whether there is a state from which the run continues.
  bool resumed() const { return resumed_; }
  /// The ranks that share the run.
  run_ranks const& ranks() const { return ranks_; }

 private:
  std::filesystem::path directory_;
  run_ranks ranks_;
  bool resumed_;
};

/// Trains in a directory until the learner is finished, the time limit is reached, or the observer interrupts, on any
/// rank. Throws the exceptions of the learner and of the files; in every case the files of the last good state remain.
/// With several ranks, files must be equal on all where they are read: the run's directory is shared, or a copy.
template <Learner L, RunFiles<typename L::progress_type> F>
run_result<typename L::progress_type> run(
    L& learner, F& files, run_directory const& directory,
    run_control<typename L::progress_type, typename L::losses_type> const& control = {}) {
  using progress_type = typename L::progress_type;
  auto const& limits = control.limits;  // names, because clang 14 does not capture structured bindings
  auto const& observer = control.observer;
  auto const& ranks = directory.ranks();
  bool const writes = ranks.rank == 0;
  run_result<progress_type> result;
  auto& p = result.progress;
  if (directory.resumed()) {
    p = files.read_state(directory.state_path());
    if (ranks.all_reduce) {
      auto const content = read_file(directory.state_path());
      ranks.expect_equal("the content of " + directory.state_path().string(),
                         mql4grec::checksum(std::as_bytes(std::span(content))));
    }
    if (auto const changes = files.changed_settings(directory.state_path()); !changes.empty())
      observer.on_changed_settings(changes);
  }
  double const seconds_before = p.seconds;
  double saved_at = seconds_before;
  auto const save = [&](progress_type const& now) {
    if constexpr (requires { files.collect(); }) files.collect();
    if constexpr (requires { files.checksum(); })  // ranks that have drifted apart must not go on
      if (ranks.all_reduce) ranks.expect_equal("the model at step " + std::to_string(now.step), files.checksum());
    if (writes) files.write_state(directory.state_path(), now);
    saved_at = now.seconds;
  };
  if (!directory.resumed()) {
    if (writes) files.begin(directory.path());
    save(p);
  }
  auto const on_epoch = [&](progress_type const& now, bool better) {
    if (writes && better) files.write_model(directory.path(), now);
    if (writes) files.end_epoch(directory.path(), now);
    if (files.saves_after_epoch(now)) save(now);
    observer.on_epoch(now, better);
  };
  auto const should_stop = [&](progress_type const& now) {
    enum { interrupted, out_of_time, save_due, questions };
    double answers[questions] = {};
    answers[interrupted] = observer.interrupted() ? 1 : 0;
    if (writes) {
      answers[out_of_time] = now.seconds - seconds_before >= limits.max_seconds ? 1 : 0;
      answers[save_due] = now.seconds - saved_at >= limits.checkpoint_seconds ? 1 : 0;
    }
    if (ranks.all_reduce) ranks.all_reduce(answers);
    if (answers[interrupted] > 0)
      result.status = run_status::interrupted;
    else if (answers[out_of_time] > 0)
      result.status = run_status::out_of_time;
    bool const stop = result.status != run_status::finished;
    if (stop || answers[save_due] > 0) save(now);
    return stop;
  };
  run_epochs(learner, p, {.on_step = observer.on_step, .on_epoch = on_epoch, .should_stop = should_stop});
  if (writes) files.end(directory.path(), p);
  return result;
}

}  // namespace mql4grec::train
