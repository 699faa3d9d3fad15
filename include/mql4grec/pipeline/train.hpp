#pragma once
// A training run that lives in a directory: the best model so far (config.json, model.safetensors, mql4grec.json) and
// the state to go on from (training.safetensors).
#include <chrono>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mql4grec/backend/contract/precision.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/core/json_fwd.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/pipeline/model_metadata.hpp"
#include "mql4grec/pipeline/run_status.hpp"
#include "mql4grec/seq2seq/checkpoint.hpp"
#include "mql4grec/seq2seq/fit.hpp"
#include "mql4grec/seq2seq/initialize.hpp"
#include "mql4grec/seq2seq/training_state.hpp"
#include "mql4grec/tasks/training_set.hpp"

namespace mql4grec {

struct run_options {
  std::filesystem::path out;  ///< the run's directory
  std::string tasks = "all";  ///< see mixture_named
  training_options training = {};
  t5_config model = {};                            ///< the shape of a new model; its vocabulary size is set here
  std::optional<std::filesystem::path> init = {};  ///< a model directory to start from instead of random parameters; a
                                                   ///< run that is resumed doesn't need it again
  bool resume = false;                             ///< go on with the run in `out`, if there is one
  double max_seconds = std::numeric_limits<double>::infinity();  ///< of training in this call
  double checkpoint_seconds = 120;  ///< the state is written this often, and behind every epoch
};

struct run_result {
  training_progress progress;
  run_status end = run_status::finished;
};

/// How the caller follows a run. `interrupted` is asked between updates; true ends the run with its state written.
struct run_observer {
  std::function<void(training_progress const&, double loss, std::int64_t steps_per_epoch)> on_step =
      [](auto const&, double, std::int64_t) {};
  std::function<void(training_progress const&, bool better)> on_epoch = [](auto const&, bool) {};
  std::function<bool()> interrupted = [] { return false; };
  /// What a run that is resumed does otherwise than before, as one line: "precision was …".
  std::function<void(std::string const& changes)> on_changed_settings = [](auto const&) {};
};

namespace detail {

/// Writes one example of each task, so that a word that the vocabulary lacks is named now and not in the middle of an
/// epoch.
void check_words(example_set const& examples, std::filesystem::path const& model, std::string const& tasks);

optim::run_description describe(run_options const& options, t5_config const& model, index_t examples,
                                optim::backend_settings const& backend);

template <class B>
t5<B, float> starting_model(B& backend, run_options const& options, vocabulary const& words) {
  if (options.init) return read_model<float>(backend, *options.init);
  t5_config config = options.model;
  config.vocabulary = words.size();
  config.dropout = options.training.dropout;
  t5<B, float> model(backend, config);
  initialize(model, options.training.seed);
  return model;
}

}  // namespace detail

/// Trains on the mixture of the domains' examples and keeps the model with the lowest validation loss in options.out.
/// Throws error when `out` holds another run or a model, file_error when it can't be written, training_error when the
/// loss isn't finite; the files of the last good state stay in every case.
template <class B>
run_result train(B& backend, run_options const& options, std::vector<domain> domains, vocabulary const& words,
                 run_observer const& observer = {}) {
  auto const state_path = options.out / "training.safetensors";
  bool const going_on = options.resume && std::filesystem::exists(state_path);
  expects(going_on || !std::filesystem::exists(state_path), options.out.string(),
          ": holds a training run; resume it, or write to another directory");
  expects(going_on || !std::filesystem::exists(options.out / "model.safetensors"), options.out.string(),
          ": holds a model that isn't this run's; write to another directory");
  make_directory(options.out);
  auto const mix = mixture_named(options.tasks);
  training_set const train_set(mix, domains, words);
  validation_set const valid_set(mix, std::move(domains), words);
  expects(train_set.size() > 0, options.out.string(), ": there are no examples to train on");
  detail::check_words(train_set, options.init.value_or(options.out), options.tasks);

  auto model =
      going_on ? t5<B, float>(backend, read_state_config(state_path)) : detail::starting_model(backend, options, words);
  expects_file(model.config().vocabulary >= words.size(), going_on ? state_path : options.init.value_or(options.out),
               "the model knows ", model.config().vocabulary, " tokens, but the vocabulary has ", words.size());
  trainer<B, float> teacher(backend, model, options.training);
  auto const about = detail::describe(options, model.config(), train_set.size(), optim::settings_of(backend));
  run_result result;
  if (going_on) {
    result.progress = read_training_state(state_path, teacher, *about.conditions);
    if (auto const changes = optim::training_file(state_path).changes(*about.settings); !changes.empty())
      observer.on_changed_settings(changes);
  }
  auto const save = [&](training_progress const& p) {
    write_training_state(state_path, teacher, p, *about.conditions, *about.settings);
  };

  double const seconds_before = result.progress.seconds;
  double saved_at = seconds_before;
  if (!going_on) {
    write_model_metadata(options.out, {words, options.tasks});
    save(result.progress);
  }
  fit(teacher, train_set, valid_set, result.progress,
      {.on_step = observer.on_step,
       .on_epoch =
           [&](training_progress const& p, bool better) {
             if (better) write_model(options.out, model);
             save(p);
             saved_at = p.seconds;
             observer.on_epoch(p, better);
           },
       .should_stop =
           [&](training_progress const& p) {
             if (observer.interrupted())
               result.end = run_status::interrupted;
             else if (p.seconds - seconds_before >= options.max_seconds)
               result.end = run_status::out_of_time;
             bool const stop = result.end != run_status::finished;
             if (stop || p.seconds - saved_at >= options.checkpoint_seconds) {
               save(p);
               saved_at = p.seconds;
             }
             return stop;
           }});
  // a run that stopped inside its first epoch has no validated model yet; the latest one is better than none
  if (result.progress.best_epoch == 0) write_model(options.out, model);
  return result;
}

}  // namespace mql4grec

#if !MQL4GREC_COMPILED
#include "mql4grec/pipeline/train.inl.hpp"
#endif
