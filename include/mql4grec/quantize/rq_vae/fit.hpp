#pragma once
// Epochs of a translator: batches in an order of the seed, a look at the whole catalogue now and then, the best state
// kept by whoever watches.
#include <chrono>
#include <cmath>
#include <functional>
#include <iomanip>
#include <string>

#include "mql4grec/quantize/assign_codes.hpp"
#include "mql4grec/quantize/codebook/kmeans.hpp"
#include "mql4grec/quantize/collisions/collisions.hpp"
#include "mql4grec/quantize/rq_vae/training.hpp"
#include "mql4grec/quantize/rq_vae/training_rows.hpp"

namespace mql4grec {

/// Codebooks from k-means on the latents of a sample, level by level on what the level before left (the released code
/// takes its first batch only). Throws error when there are fewer rows than codes.
template <Backend B, FeatureSource F>
void initialize_codebooks(B& backend, rq_vae<B, float>& model, F const& features, translator_options const& options) {
  auto sample = epoch_order(features.rows(), options.seed, 0);
  sample.resize(std::min(sample.size(), static_cast<std::size_t>(options.kmeans_rows)));
  index_t const n = std::ssize(sample), width = model.config().latent_width;
  auto latents = backend.template allocate<float>(n * width);
  auto codes = backend.template allocate<code_t>(n);
  out_matrix<B, float> const rest(latents.view_all().data, n, width);
  write_from_host(latents.view_all(), [&](host_vector_view<float> values) {
    encoded_latents(backend, model, features).gather(sample, {values.data, n, width});
  });
  for (index_t l = 0; l < model.config().levels(); ++l) {
    kmeans(backend, in_matrix<B, float>(rest),
           {.iterations = options.kmeans_iterations, .seed = options.seed + static_cast<std::uint64_t>(l)},
           model.codebook(l));
    quantize_level<float>(backend, model.codebooks()[static_cast<std::size_t>(l)], nearest_assignment{}, rest,
                          codes.view_all());
  }
}

/// Looks at the whole catalogue.
template <Backend B, Translator<B> M, FeatureSource F>
translator_evaluation evaluate_translator(B& backend, M const& model, F const& features) {
  auto const found = translate_items(backend, model, features, reconstruction::wanted, [](index_t) {});
  return {.reconstruction_error = found.reconstruction_error,
          .quantization_error = found.quantization_error,
          .collision_rate = collision_rate(found.codes),
          .usage = code_usage(found.codes)};
}

/// What the one who started a training sees of it. All are called from the starting thread.
struct translator_observer {
  std::function<void(translator_progress const&, rq_vae_losses const&, std::int64_t steps_per_epoch)> on_step =
      [](auto const&, auto const&, std::int64_t) {};
  /// Behind every epoch; `better`: the model is the best so far and should be kept.
  std::function<void(translator_progress const&, bool better)> on_epoch = [](auto const&, bool) {};
  /// Asked in front of every update; true ends the training there.
  std::function<bool(translator_progress const&)> should_stop = [](auto const&) { return false; };
};

namespace detail {

/// Whether a look at a catalogue has seen a level collapse. Judged by the perplexity: a code that one odd item has
/// makes no difference. Fewer items than codes can't use them all.
inline bool has_collapsed(translator_evaluation const& seen, translator_options const& options, index_t rows) {
  return std::ranges::any_of(seen.usage, [&](level_usage const& level) {
    auto const most = static_cast<double>(std::min(level.codes, rows));
    return most > 1 && std::log(level.perplexity) < options.least_entropy * std::log(most);
  });
}

[[noreturn]] inline void raise_collapse(std::int64_t epoch, translator_evaluation const& seen) {
  std::string used;
  for (auto const& level : seen.usage)
    used += concatenate(used.empty() ? "" : ", ", level.used, " of ", level.codes, " (perplexity ",
                        std::setprecision(4), level.perplexity, ")");
  raise<training_error>("epoch ", epoch, ": a codebook has collapsed, codes used by level: ", used,
                        "; look for rows that are far from all others, or try a smaller learning rate, standardized "
                        "features, or revival of unused codes sooner");
}

/// After a look: when collapse has been seen for too long, or the model that is kept at the end has collapsed.
inline void give_up_when_collapsed(translator_progress& p, translator_options const& options, index_t rows) {
  auto const& seen = *p.history.back().evaluation;
  p.collapsed_looks = has_collapsed(seen, options, rows) ? p.collapsed_looks + 1 : 0;
  if (options.collapse_patience == 0) return;
  if (p.collapsed_looks >= options.collapse_patience) raise_collapse(p.epoch, seen);
  if (!p.finished) return;
  auto const& kept = *p.history[static_cast<std::size_t>(p.best_epoch - 1)].evaluation;
  if (has_collapsed(kept, options, rows)) raise_collapse(p.best_epoch, kept);
}

/// Keeps the epoch with the lowest collision rate; of equals, the lower error.
inline bool is_better(translator_progress& p, translator_evaluation const& seen) {
  if (std::pair(seen.collision_rate, seen.reconstruction_error) >= std::pair(p.best_collision_rate, p.best_error))
    return false;
  p.best_collision_rate = seen.collision_rate;
  p.best_error = seen.reconstruction_error;
  p.best_epoch = p.epoch;
  return true;
}

}  // namespace detail

/// Trains from where `progress` stands until the last epoch or should_stop; `progress.finished` tells which. The first
/// epochs may leave the quantizer out; the codebooks are initialised in front of the first one that doesn't. Throws
/// training_error when a loss isn't finite or a codebook has collapsed.
template <Backend B, FeatureSource F>
void fit(B& backend, rq_vae_trainer<B, float>& trainer, F const& features, translator_options const& options,
         translator_progress& progress, translator_observer const& observer = {}) {
  validate(options);
  index_t const rows = features.rows(), size = trainer.options().batch_size;
  expects(rows >= 1, "translator: there are no items to learn from");
  expects(features.width() == trainer.model().config().input_width, "translator: features of width ", features.width(),
          ", expected ", trainer.model().config().input_width);
  for (auto const k : trainer.model().config().codes)  // now, and not when the autoencoder has learnt for an hour
    expects(options.kmeans_rows == 0 || std::min(rows, options.kmeans_rows) >= k, "translator: k-means on ",
            std::min(rows, options.kmeans_rows), " rows for ", k, " codes of a level, expected at least as many rows");
  using clock = std::chrono::steady_clock;
  auto const started = clock::now();
  double const seconds_before = progress.seconds;
  auto const elapsed = [&] { return seconds_before + std::chrono::duration<double>(clock::now() - started).count(); };
  std::int64_t const steps = (rows + size - 1) / size;
  training_rows<B, F> batches(backend, features, std::min(size, rows), options.device_bytes);

  auto const alone = autoencoder_epochs(options);
  progress.finished = progress.epoch >= options.epochs;  // a run may be resumed with more of them
  while (!progress.finished) {
    auto const how = progress.epoch < alone ? quantize_mode::bypass : quantize_mode::quantize;
    if (progress.epoch == alone && progress.epoch_step == 0 && options.kmeans_rows > 0)
      initialize_codebooks(backend, trainer.model(), features, options);
    auto const order = epoch_order(rows, options.seed, static_cast<std::uint64_t>(progress.epoch) + 1);
    for (; progress.epoch_step < steps; ++progress.epoch_step) {
      progress.seconds = elapsed();
      if (observer.should_stop(progress)) return;
      auto const rows_of = [&](std::int64_t step) {
        index_t const first = std::min(rows, step * size);
        return std::span<index_t const>(order).subspan(static_cast<std::size_t>(first),
                                                       static_cast<std::size_t>(std::min(size, rows - first)));
      };
      auto const wanted = rows_of(progress.epoch_step);
      auto const losses = trainer.step(batches.take(backend, wanted, rows_of(progress.epoch_step + 1)), how);
      progress.current.add(losses, static_cast<double>(wanted.size()) / static_cast<double>(rows));
      ++progress.step;
      progress.items += std::ssize(wanted);
      observer.on_step(progress, losses, steps);
    }
    ++progress.epoch;
    progress.epoch_step = 0;
    progress.finished = progress.epoch >= options.epochs;
    auto& record = progress.history.emplace_back(std::exchange(progress.current, {}));
    if (progress.finished || (progress.epoch > alone && progress.epoch % options.evaluate_every == 0))
      record.evaluation = evaluate_translator(backend, trainer.model(), features);
    record.seconds = progress.seconds = elapsed();
    observer.on_epoch(progress, record.evaluation && detail::is_better(progress, *record.evaluation));
    if (record.evaluation) detail::give_up_when_collapsed(progress, options, rows);
  }
}

}  // namespace mql4grec
