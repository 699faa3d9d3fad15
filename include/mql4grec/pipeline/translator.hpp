#pragma once
// A translator that lives in a directory: the best model so far (model.safetensors, wants features as they are), what
// it is for (translator.json) and the state to go on from (training.safetensors).
#include <chrono>
#include <cmath>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "mql4grec/backend/contract/precision.hpp"
#include "mql4grec/backend/reference/reference.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/core/json_fwd.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/embed/statistics.hpp"
#include "mql4grec/embed/views.hpp"
#include "mql4grec/language/vocabulary.hpp"
#include "mql4grec/pipeline/run_status.hpp"
#include "mql4grec/quantize/residual_kmeans/checkpoint.hpp"
#include "mql4grec/quantize/rq_vae/checkpoint.hpp"
#include "mql4grec/quantize/rq_vae/fit.hpp"
#include "mql4grec/quantize/rq_vae/fold_scaling.hpp"
#include "mql4grec/quantize/rq_vae/state.hpp"

namespace mql4grec {

/// Whether features are moved to mean 0 and stretched to variance 1, all columns alike, before they are learnt.
enum class normalization_of_features { none, standard };

struct translator_run {
  std::filesystem::path out;       ///< the run's directory
  modality kind = modality::text;  ///< whose language it is
  rq_vae_config model = {};        ///< its input width is set here
  translator_options options = {};
  normalization_of_features normalize = normalization_of_features::standard;
  bool resume = false;                                           ///< go on with the run in `out`, if there is one
  double max_seconds = std::numeric_limits<double>::infinity();  ///< of training in this call
  double checkpoint_seconds = 120;  ///< the state is written this often, and behind every look at the catalogue
};

struct translator_result {
  translator_progress progress;
  run_status end = run_status::finished;
};

/// How the caller follows a run. `interrupted` is asked between updates; true ends the run with its state written.
struct translator_run_observer {
  std::function<void(translator_progress const&, rq_vae_losses const&, std::int64_t steps_per_epoch)> on_step =
      [](auto const&, auto const&, std::int64_t) {};
  std::function<void(translator_progress const&, bool better)> on_epoch = [](auto const&, bool) {};
  std::function<bool()> interrupted = [] { return false; };
  /// What a run that is resumed does otherwise than before, as one line: "precision was …".
  std::function<void(std::string const& changes)> on_changed_settings = [](auto const&) {};
};

namespace detail {

feature_scaling scaling_for(translator_run const& run, feature_statistics const& seen);

void require_no_run(std::filesystem::path const& out);

optim::run_description describe(translator_run const& run, rq_vae_config const& model, index_t items,
                                feature_scaling const& scaling, optim::backend_settings const& backend);

/// translator.json of an RQ-VAE, as the last look at the catalogue found it.
void write_card(translator_run const& run, rq_vae_config const& model, feature_scaling const& scaling,
                translator_progress const& p);

struct residual_kmeans_shape {
  index_t input_width;
  std::vector<index_t> codes;
  bool rotated;
};
/// translator.json of residual k-means.
void write_card(translator_run const& run, residual_kmeans_shape const& model, translator_evaluation const& seen);

/// The model as others use it, and what it is for.
template <Backend B>
void write_translator(translator_run const& run, rq_vae<B, float> const& model, feature_scaling const& scaling,
                      translator_progress const& p) {
  reference::backend host;  // where the scaling is folded in, wherever the model has learnt
  rq_vae<reference::backend, float> plain(host, model.config());
  copy(model.parameters(), plain.parameters());
  fold_scaling(plain, scaling);
  write_rq_vae(run.out / "model.safetensors", plain);
  write_card(run, model.config(), scaling, p);
}

}  // namespace detail

/// Trains a translator on all rows of the features and keeps the model with the lowest collision rate in run.out.
/// Throws error when `out` holds another run, file_error when it can't be written, training_error when a loss isn't
/// finite or a codebook has collapsed; the files of the last good state stay in every case.
template <Backend B, FeatureSource F>
translator_result train_translator(B& backend, translator_run const& run, F const& features,
                                   feature_statistics const& seen, translator_run_observer const& observer = {}) {
  auto const state_path = run.out / "training.safetensors";
  bool const going_on = run.resume && std::filesystem::exists(state_path);
  if (!going_on) detail::require_no_run(run.out);
  make_directory(run.out);

  auto config = run.model;
  config.input_width = features.width();
  rq_vae<B, float> model(backend, config);
  initialize(model, run.options.seed);
  auto const scaling = detail::scaling_for(run, seen);
  scaled_features const scaled(features, scaling);
  rq_vae_trainer<B, float> trainer(backend, model, run.options.training);
  auto const about = detail::describe(run, config, features.rows(), scaling, optim::settings_of(backend));
  translator_result result;
  if (going_on) {
    result.progress = read_translator_state(state_path, trainer, *about.conditions);
    if (auto const changes = optim::training_file(state_path).changes(*about.settings); !changes.empty())
      observer.on_changed_settings(changes);
  }

  double const seconds_before = result.progress.seconds;
  double saved_at = seconds_before;
  auto const save = [&](translator_progress const& p) {
    write_translator_state(state_path, trainer, p, *about.conditions, *about.settings);
    saved_at = p.seconds;
  };
  fit(backend, trainer, scaled, run.options, result.progress,
      {.on_step = observer.on_step,
       .on_epoch =
           [&](translator_progress const& p, bool better) {
             if (better) detail::write_translator(run, model, scaling, p);
             if (p.history.back().evaluation) save(p);
             observer.on_epoch(p, better);
           },
       .should_stop =
           [&](translator_progress const& p) {
             if (observer.interrupted())
               result.end = run_status::interrupted;
             else if (p.seconds - seconds_before >= run.max_seconds)
               result.end = run_status::out_of_time;
             bool const stop = result.end != run_status::finished;
             if (stop || p.seconds - saved_at >= run.checkpoint_seconds) save(p);
             return stop;
           }});
  return result;
}

/// The same without a neural network: residual k-means on the rows in one go, so that there is nothing to resume. Of
/// `run`, only `out` and `kind` count. `interrupted` is asked before learning and before anything is written. Throws
/// error when `out` holds a run or there are fewer rows than codes of a level, file_error when the model can't be
/// written.
template <Backend B, FeatureSource F>
translator_result learn_residual_kmeans(
    B& backend, translator_run const& run, residual_kmeans_options const& options, F const& features,
    std::function<bool()> const& interrupted = [] { return false; }) {
  auto const started = std::chrono::steady_clock::now();
  detail::require_no_run(run.out);
  for (auto const k : options.codes)  // now, and not when the caller has said that work has begun
    expects(std::min(features.rows(), options.sample_rows) >= k,
            "k-means: ", std::min(features.rows(), options.sample_rows), " rows for ", k,
            " codes of a level, expected at least as many rows");
  make_directory(run.out);
  if (interrupted()) return {.progress = {}, .end = run_status::interrupted};
  auto const model = fit_residual_kmeans(backend, features, options);
  auto const seen = evaluate_translator(backend, model, features);
  if (interrupted()) return {.progress = {}, .end = run_status::interrupted};
  write_residual_kmeans(run.out / "model.safetensors", model);
  detail::write_card(
      run, {.input_width = model.input_width(), .codes = model.books.sizes(), .rotated = model.rotated()}, seen);
  return {.progress = {.items = features.rows(),
                       .seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count(),
                       .finished = true,
                       .current = {},
                       .history = {}}};
}

}  // namespace mql4grec

#if !MQL4GREC_COMPILED
#include "mql4grec/pipeline/translator.inl.hpp"
#endif
