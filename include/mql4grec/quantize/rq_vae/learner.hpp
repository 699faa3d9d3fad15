#pragma once
// The RQ-VAE learner for train::run_epochs: the order of the rows, initialization of the codebooks, and evaluation on
// the whole catalog. Not every epoch is evaluated; the best model is that of an evaluated epoch.
#include <cmath>
#include <iomanip>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "mql4grec/quantize/assign_codes.hpp"
#include "mql4grec/quantize/codebook/kmeans.hpp"
#include "mql4grec/quantize/collisions/uniqueness_report.hpp"
#include "mql4grec/quantize/rq_vae/training.hpp"
#include "mql4grec/quantize/rq_vae/training_rows.hpp"
#include "mql4grec/train/loop.hpp"

namespace mql4grec::quantize {

/// Initializes the codebooks by k-means on the latents of a sample of rows, level by level on the residuals of the
/// previous level. The released code uses its first batch instead of a sample. Several ranks share the encoding and the
/// clustering, to the bits of a single one. Throws error if there are fewer rows than codes.
template <Backend B, embed::FeatureSource F>
void initialize_codebooks(B& backend, rq_vae<B, float>& model, F const& features,
                          rq_vae_training_options const& options, train::host_communicator const& ranks = {}) {
  auto sample = epoch_order(features.rows(), options.seed, 0);
  sample.resize(std::min(sample.size(), to_size(options.kmeans_rows)));
  index_t const n = std::ssize(sample), width = model.config().latent_width;
  auto latents = backend.template allocate<float>(n * width);
  auto codes = backend.template allocate<code_t>(n);
  out_matrix<B, float> const rest(latents.view_all().data, n, width);
  fill(latents.view_all(), [&](host_vector_view<float> values) {
    constexpr index_t block = 1024;  // ranks encode whole blocks, as encoded_latents does
    auto const mine = worker_share{ranks.rank(), ranks.world_size()}.of((n + block - 1) / block);
    index_t const first = std::min(n, mine.first * block),
                  count = std::min(n, (mine.first + mine.count) * block) - first;
    host_matrix_view<float> const own(values.data + first * width, count, width);
    encoded_latents(backend, model, features)
        .gather(std::span<index_t const>(sample).subspan(to_size(first), to_size(count)), own);
    if (ranks.world_size() > 1) std::ranges::copy(train::gather<float>(ranks, as_span(own.flat())), values.data);
  });
  for (index_t l = 0; l < model.config().levels(); ++l) {
    kmeans(backend, in_matrix<B, float>(rest),
           {.iterations = options.kmeans_iterations, .seed = options.seed + static_cast<std::uint64_t>(l)},
           model.codebook(l), ranks);
    quantize_level<float>(backend, model.codebooks()[to_size(l)], nearest_assignment{}, rest, codes.view_all());
  }
}

/// Evaluates a quantizer on the whole catalog with the nearest codes. Several ranks share the rows, and none has the
/// codes of all: they exchange keys of sequences, and sums.
template <Backend B, Quantizer<B> M, embed::FeatureSource F>
[[nodiscard]] quantizer_evaluation evaluate_quantizer(B& backend, M const& model, F const& features,
                                                      train::host_communicator const& ranks = {}) {
  auto const found = assign_codes(backend, model, features, {.ranks = ranks});
  quantizer_evaluation out{.reconstruction_error = found.reconstruction_error,
                           .quantization_error = found.quantization_error,
                           .collision_rate = check_uniqueness(found.codes, ranks).collision_rate(),
                           .usage = {}};
  for (auto const& own : code_counts(found.codes)) {
    std::vector<double> sums(own.begin(), own.end());
    ranks.all_reduce(std::span(sums));
    out.usage.push_back(usage_of(std::vector<index_t>(sums.begin(), sums.end())));
  }
  return out;
}

/// Observes a training; see train::loop_observer.
using rq_vae_observer = train::loop_observer<rq_vae_progress, rq_vae_losses>;

namespace detail {

/// Whether a level has collapsed: log(perplexity) < least_entropy · log(min(codes, rows)). Perplexity is used because a
/// code with a single outlying item hardly changes it.
inline bool has_collapsed(quantizer_evaluation const& seen, rq_vae_training_options const& options, index_t rows) {
  return std::ranges::any_of(seen.usage, [&](level_usage const& level) {
    auto const most = static_cast<double>(std::min(level.codes, rows));
    return most > 1 && std::log(level.perplexity) < options.least_entropy * std::log(most);
  });
}

/// Throws training_error with the number of used codes of each level.
[[noreturn]] inline void raise_collapse(std::int64_t epoch, quantizer_evaluation const& seen) {
  std::string used;
  for (auto const& level : seen.usage)
    used += core::detail::concatenate(used.empty() ? "" : ", ", level.used, " of ", level.codes, " (perplexity ",
                                      std::setprecision(4), level.perplexity, ")");
  raise<training_error>("epoch ", epoch, ": a codebook has collapsed, codes used by level: ", used,
                        "; look for rows that are far from all others, or try a smaller learning rate, standardized "
                        "features, or revival of unused codes sooner");
}

/// Throws training_error if a level has been collapsed for `collapse_patience` evaluations, the last one after the last
/// epoch, or if the model to be kept at the end has a collapsed level.
inline void throw_if_collapsed(rq_vae_progress const& p, rq_vae_training_options const& options, index_t rows) {
  if (options.collapse_patience == 0) return;
  auto const& last = p.history.back().evaluation;
  if (last && p.collapsed_evaluations >= options.collapse_patience) raise_collapse(p.epoch, *last);
  if (!p.finished || p.best_epoch == 0) return;
  auto const& kept = p.history[to_size(p.best_epoch - 1)].evaluation;
  if (kept && has_collapsed(*kept, options, rows)) raise_collapse(p.best_epoch, *kept);
}

/// Whether the epoch is the best so far: lowest collision rate, then lowest reconstruction error. Updates p.
inline bool is_better(rq_vae_progress& p, quantizer_evaluation const& seen) {
  if (std::pair(seen.collision_rate, seen.reconstruction_error) >= std::pair(p.best_collision_rate, p.best_error))
    return false;
  p.best_collision_rate = seen.collision_rate;
  p.best_error = seen.reconstruction_error;
  p.best_epoch = p.epoch;
  return true;
}

}  // namespace detail

/// An RQ-VAE trainer with the features: a train::Learner. The first epochs may bypass the quantizer; the codebooks are
/// initialized before the first epoch that doesn't.
template <Backend B, embed::FeatureSource F>
class rq_vae_learner {
 public:
  /// The progress of a run.
  using progress_type = rq_vae_progress;
  /// The result of a step.
  using losses_type = rq_vae_losses;

  /// All arguments must outlive the learner. Throws error if the features don't fit the model, or if there are fewer
  /// rows than k-means requires; this is checked here, since k-means runs after hours of training the autoencoder.
  rq_vae_learner(rq_vae_trainer<B, float>& trainer, F const& features, rq_vae_training_options const& options)
      : backend_(trainer.backend()), trainer_(trainer), features_(features), options_(options), rows_(features.rows()) {
    validate(options);
    auto const& config = trainer.model().config();
    expects(rows_ >= 1, "RQ-VAE: no items to train on, expected at least 1");
    expects(features.width() == config.input_width, "RQ-VAE: features of width ", features.width(), ", expected ",
            config.input_width);
    index_t const sample = std::min(rows_, options.kmeans_rows);
    for (auto const k : config.codes)
      expects(options.kmeans_rows == 0 || sample >= k, "RQ-VAE: k-means on ", sample, " rows for ", k,
              " codes of a level, expected at least as many rows");
  }

  /// Updates per epoch; the last batch may be smaller.
  std::int64_t steps_per_epoch() const { return (rows_ + batch_size() - 1) / batch_size(); }
  /// Whether the last epoch is done.
  bool is_finished(rq_vae_progress const& p) const { return p.epoch >= options_.epochs; }

  /// Shuffles the rows of epoch p.epoch, and initializes the codebooks before the first epoch with the quantizer. Also
  /// called when a run is resumed within the epoch.
  void begin_epoch(rq_vae_progress const& p) {
    if (!batches_) batches_.emplace(backend_, features_, std::min(batch_size(), rows_), options_.device_bytes);
    auto const first_with_codes = autoencoder_epochs(options_);
    mode_ = p.epoch < first_with_codes ? quantize_mode::bypass : quantize_mode::quantize;
    if (p.epoch == first_with_codes && p.epoch_step == 0 && options_.kmeans_rows > 0)
      initialize_codebooks(backend_, trainer_.model(), features_, options_, trainer_.communicator());
    order_ = epoch_order(rows_, options_.seed, static_cast<std::uint64_t>(p.epoch) + 1);
  }

  /// Update number p.epoch_step of the epoch.
  rq_vae_losses step(rq_vae_progress& p) {
    auto const wanted = rows_of(p.epoch_step);
    auto const losses = trainer_.step(batches_->take(backend_, own_rows(wanted), own_rows(rows_of(p.epoch_step + 1))),
                                      mode_, std::ssize(wanted));
    p.current.add(losses, static_cast<double>(wanted.size()) / static_cast<double>(rows_));
    p.items += std::ssize(wanted);
    return losses;
  }

  /// Evaluates on the whole catalog: after the last epoch, and every evaluate_every epochs once there are codes.
  bool end_epoch(rq_vae_progress& p) {
    p.history.emplace_back(std::exchange(p.current, {}));
    if (!is_finished(p) && (p.epoch <= autoencoder_epochs(options_) || p.epoch % options_.evaluate_every != 0))
      return false;
    auto const found = evaluate_quantizer(backend_, trainer_.model(), features_, trainer_.communicator());
    p.history.back().evaluation = found;
    p.collapsed_evaluations = detail::has_collapsed(found, options_, rows_) ? p.collapsed_evaluations + 1 : 0;
    return detail::is_better(p, found);
  }
  /// Completes the record of the epoch that ended.
  void record_epoch(rq_vae_progress& p) { p.history.back().seconds = p.seconds; }
  /// Throws training_error when a codebook has collapsed.
  void check(rq_vae_progress const& p) const { detail::throw_if_collapsed(p, options_, rows_); }

 private:
  index_t batch_size() const { return trainer_.options().batch_size; }
  std::span<index_t const> rows_of(std::int64_t step) const {
    index_t const first = std::min(rows_, step * batch_size());
    return std::span<index_t const>(order_).subspan(to_size(first), to_size(std::min(batch_size(), rows_ - first)));
  }

  /// The rows of a batch that this rank reads.
  std::span<index_t const> own_rows(std::span<index_t const> batch) const {
    auto const mine = trainer_.own_rows(std::ssize(batch));
    return batch.subspan(to_size(mine.first), to_size(mine.count));
  }

  B& backend_;
  rq_vae_trainer<B, float>& trainer_;
  F const& features_;
  rq_vae_training_options const& options_;
  index_t rows_;
  std::optional<training_rows<B, F>> batches_;  // created when the first epoch begins: a finished run needs none
  std::vector<index_t> order_;
  quantize_mode mode_ = quantize_mode::quantize;
};

/// Trains from the state in `progress` until the last epoch or should_stop; progress.finished is false in the second
/// case. Throws training_error if a loss isn't finite or a codebook has collapsed.
template <Backend B, embed::FeatureSource F>
void fit(rq_vae_trainer<B, float>& trainer, F const& features, rq_vae_training_options const& options,
         rq_vae_progress& progress, rq_vae_observer const& observer = {}) {
  rq_vae_learner learner(trainer, features, options);
  train::run_epochs(learner, progress, observer);
}

}  // namespace mql4grec::quantize
