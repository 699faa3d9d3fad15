#pragma once
// Trains a quantizer in a directory. It contains the best model so far (model.safetensors, which reads unscaled
// features), its description (translator.json), and the state from which the run continues (training.safetensors).
#include <chrono>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
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
#include "mql4grec/quantize/residual_kmeans/checkpoint.hpp"
#include "mql4grec/quantize/rq_vae/checkpoint.hpp"
#include "mql4grec/quantize/rq_vae/fold_scaling.hpp"
#include "mql4grec/quantize/rq_vae/learner.hpp"
#include "mql4grec/quantize/rq_vae/state.hpp"
#include "mql4grec/train/exchange.hpp"
#include "mql4grec/train/run.hpp"

namespace mql4grec::pipeline {

/// Whether features are scaled to mean 0 and variance 1, over all columns alike, before training.
enum class normalization_of_features { none, standard };

/// Options of a quantizer's run.
struct quantizer_run {
  std::filesystem::path out;                           ///< directory of the run
  language::modality kind = language::modality::text;  ///< modality of the features; decides the token prefixes
  quantize::rq_vae_config model = {};              ///< shape of the model; the input width is set by train_quantizer
  quantize::rq_vae_training_options options = {};  ///< options of the training
  normalization_of_features normalize = normalization_of_features::standard;  ///< scaling of the features
  bool resume = false;            ///< continue the run in `out`, if there is one
  train::run_limits limits = {};  ///< time limit and interval of checkpoints
  /// Train the quantizer together. All call with the same features and options and a backend of their own; rank 0 alone
  /// writes, and the state knows no number of ranks.
  train::host_communicator ranks = {};
};

/// The result of train_quantizer: progress and status.
using quantizer_run_result = train::run_result<quantize::rq_vae_progress>;
/// Observes train_quantizer.
using quantizer_run_observer = train::run_observer<quantize::rq_vae_progress, quantize::rq_vae_losses>;

/// The quantizers that a directory may contain.
enum class quantizer_kind { rq_vae, residual_kmeans };

/// What translator.json contains of a trained quantizer.
struct quantizer_description {
  quantizer_kind quantizer = quantizer_kind::rq_vae;   ///< which reader model.safetensors needs
  language::modality kind = language::modality::text;  ///< modality of the features that it was trained on
  index_t input_width = 0;                             ///< columns of the features
  std::vector<index_t> codes = {};                     ///< K of each level
};

/// Reads translator.json of a directory in which train_quantizer() or learn_residual_kmeans() has trained a quantizer.
/// Throws file_error if the file is missing or damaged.
[[nodiscard]] quantizer_description read_quantizer_description(std::filesystem::path const& directory);

namespace detail {

embed::feature_scaling scaling_for(quantizer_run const& run, embed::feature_statistics const& seen);

/// The features of a run.
struct rows_of_run {
  index_t count;
  embed::feature_scaling const& scaling;
  embed::feature_statistics const& seen;
};

/// `run`: with the input width of the model. `workers`: of each rank.
train::run_description describe(quantizer_run const& run, rows_of_run const& rows,
                                train::backend_settings const& backend, index_t workers);

/// The reasons why conditions must be equal, by the condition's name, for error messages.
std::map<std::string, std::string> quantizer_resume_reasons();

/// Throws error on every rank if they don't train with the same settings on the same features.
void check_ranks(train::run_ranks const& ranks, quantizer_run const& run, train::run_description const& about,
                 embed::feature_statistics const& seen);

/// Writes translator.json of an RQ-VAE, with the last evaluation. `run`: with the input width of the model.
void write_description(quantizer_run const& run, embed::feature_scaling const& scaling,
                       quantize::rq_vae_progress const& p);

/// A checksum of the options of residual k-means and the modality of its features.
std::uint64_t checksum_of(quantize::residual_kmeans_options const& options, language::modality kind);

struct residual_kmeans_shape {
  index_t input_width;
  std::vector<index_t> codes;
  bool rotated;
};
/// Writes translator.json of residual k-means.
void write_description(quantizer_run const& run, residual_kmeans_shape const& model,
                       quantize::quantizer_evaluation const& seen);

/// The files of a quantizer's run: the best model, which reads unscaled features, and its description.
template <Backend B>
class quantizer_files : public train::state_files<quantize::rq_vae_trainer<B, float>, quantize::rq_vae_progress> {
 public:
  quantizer_files(quantize::rq_vae_trainer<B, float>& trainer, train::run_description about, quantizer_run const& run,
                  embed::feature_scaling const& scaling)
      : train::state_files<quantize::rq_vae_trainer<B, float>, quantize::rq_vae_progress>(trainer, std::move(about),
                                                                                          quantizer_resume_reasons()),
        trainer_(trainer),
        run_(run),
        scaling_(scaling) {}

  void begin(std::filesystem::path const&) const {}
  void write_model(std::filesystem::path const& directory, quantize::rq_vae_progress const& p) const {
    reference::backend host;  // the scaling is folded into the model on the host, whatever backend trains it
    quantize::rq_vae<reference::backend, float> plain(host, trainer_.model().config());
    copy(trainer_.model().parameters(), plain.parameters());
    quantize::fold_scaling(plain, scaling_);
    quantize::write_rq_vae(directory / "model.safetensors", plain);
    write_description(run_, scaling_, p);
  }
  void end(std::filesystem::path const&, quantize::rq_vae_progress const&) const {}
  bool saves_after_epoch(quantize::rq_vae_progress const& p) const { return p.history.back().evaluation.has_value(); }

 private:
  quantize::rq_vae_trainer<B, float> const& trainer_;
  quantizer_run const& run_;
  embed::feature_scaling const& scaling_;
};

}  // namespace detail

/// Trains an RQ-VAE on all rows of the features and keeps the model with the lowest collision rate in run.out. `seen`:
/// statistics of the features, for the scaling. Throws error if `out` contains another run, file_error if a file can't
/// be written, and training_error if a loss isn't finite or a codebook has collapsed; in every case the files of the
/// last good state remain. With run.ranks, all throw error if their arguments differ; with gradient_shards, any number
/// of ranks gives the same bits; without, observer.on_changed_settings learns that a resumed run adds in another order.
template <Backend B, embed::FeatureSource F>
quantizer_run_result train_quantizer(B& backend, quantizer_run run, F const& features,
                                     embed::feature_statistics const& seen,
                                     quantizer_run_observer const& observer = {}) {
  auto const ranks = train::ranks_of(backend, run.ranks);
  train::run_directory const directory(run.out, {.resume = run.resume, .ranks = ranks});
  run.model.input_width = features.width();
  quantize::rq_vae<B, float> model(backend, run.model);
  quantize::initialize(model, run.options.seed);
  auto const scaling = detail::scaling_for(run, seen);
  embed::scaled_features const scaled(features, scaling);
  auto const about =
      detail::describe(run, {features.rows(), scaling, seen}, train::settings_of(backend), backend.workers());
  detail::check_ranks(ranks, run, about, seen);
  quantize::rq_vae_trainer<B, float> trainer(backend, model, run.options.training, run.ranks);
  quantize::rq_vae_learner learner(trainer, scaled, run.options);
  detail::quantizer_files files(trainer, about, run, scaling);
  auto const result = train::run(learner, files, directory, {.limits = run.limits, .observer = observer});
  train::wait_for_all(run.ranks);  // before the model is read
  return result;
}

/// Fits residual k-means on the rows instead of an RQ-VAE, in one call that can't be resumed. Of `run`, only `out`,
/// `kind` and `ranks` are used. `interrupted` is called before fitting and before writing. Throws error if `out`
/// contains a run, if there are fewer rows than codes of a level, and on all ranks if their arguments differ;
/// file_error if the model can't be written.
template <Backend B, embed::FeatureSource F>
quantizer_run_result learn_residual_kmeans(
    B& backend, quantizer_run const& run, quantize::residual_kmeans_options const& options, F const& features,
    std::function<bool()> const& interrupted = [] { return false; }) {
  auto const started = std::chrono::steady_clock::now();
  auto const& ranks = run.ranks;
  train::run_directory::expect_empty(run.out);
  for (auto const k : options.codes)  // before any file is written
    expects(std::min(features.rows(), options.sample_rows) >= k,
            "k-means: ", std::min(features.rows(), options.sample_rows), " rows for ", k,
            " codes of a level, expected at least as many rows");
  auto const stopped = [&] { return train::sum_of_ranks(ranks, interrupted() ? 1 : 0) > 0; };
  if (ranks.world_size() > 1) {
    train::expect_equal(ranks, "the set of features", embed::checksum_of_rows(features));
    train::expect_equal(ranks, "the set of options", detail::checksum_of(options, run.kind));
  }
  if (ranks.rank() == 0) make_directory(run.out);
  if (stopped()) return {.progress = {}, .status = train::run_status::interrupted};
  auto const model = quantize::fit_residual_kmeans(backend, features, options, ranks);
  auto const seen = quantize::evaluate_quantizer(backend, model, features, ranks);
  if (stopped()) return {.progress = {}, .status = train::run_status::interrupted};
  if (ranks.rank() == 0) {
    quantize::write_residual_kmeans(run.out / "model.safetensors", model);
    detail::write_description(
        run, {.input_width = model.input_width(), .codes = model.books.sizes(), .rotated = model.rotated()}, seen);
  }
  train::wait_for_all(ranks);  // before the model is read
  return {.progress = {.items = features.rows(),
                       .seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count(),
                       .finished = true,
                       .current = {},
                       .history = {}}};
}

}  // namespace mql4grec::pipeline

#if !MQL4GREC_COMPILED
#include "mql4grec/pipeline/quantizer.inl.hpp"
#endif
