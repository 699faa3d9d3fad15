#pragma once
// From features to codes. Features are processed in blocks of rows: memory doesn't grow with the catalog, except for
// the codes themselves. The codes may contain collisions; see quantize/collisions/.
#include <atomic>
#include <functional>
#include <numeric>

#include "mql4grec/backend/contract/transfer.hpp"
#include "mql4grec/embed/features.hpp"
#include "mql4grec/quantize/codebook/code_table.hpp"
#include "mql4grec/quantize/codebook/residual_quantizer.hpp"
#include "mql4grec/quantize/feature_stream.hpp"
#include "mql4grec/train/exchange.hpp"

namespace mql4grec::quantize {

/// The requirements on a quantizer that assigns codes to items. It encodes features x (n, input width) as latents z (n,
/// latent width), has one codebook per level for them, and computes the reconstruction error of quantized latents.
/// rq_vae and residual_kmeans are models of this concept.
template <class M, class B>
concept Quantizer = Backend<B> && requires(M const& model, B& worker, in_matrix<B, float> x, out_matrix<B, float> z) {
  { model.input_width() } -> std::convertible_to<index_t>;
  { model.latent_width() } -> std::convertible_to<index_t>;
  { model.codebooks() } -> std::same_as<std::vector<codebook_view<B, float>>>;
  encode(worker, model, x, z);
  { reconstruction_error(worker, model, x, x) } -> std::convertible_to<double>;  // (quantized latents, x) → Σ (x̂ − x)²
};

/// The codes of a catalog before collisions are resolved.
struct assign_result {
  /// (items, levels): the nearest code at every level; of several ranks, each has those of its own rows.
  code_table codes;
  double reconstruction_error = 0;  ///< mean of (x̂ − x)² over all entries, decoded from quantized latents
  double quantization_error = 0;    ///< mean of (ẑ − z)² over all entries of the latents
};

/// Options of assign_codes().
struct assign_options {
  bool reconstruction_error = true;  ///< decode the quantized latents to compute their error; otherwise 0
  std::function<void(index_t)> progress = nullptr;  ///< receives the number of rows done, on worker 0's thread
  train::host_communicator ranks = {};  ///< share the rows out in whole blocks; all call with the same arguments
};

namespace detail {

/// Sums of squared errors of a block of rows.
struct block_errors {
  double reconstruction = 0, quantization = 0;
};

/// Assigns codes to rows x (n, input width) on one worker and copies them to out (n, levels) on the host.
template <Backend B, Quantizer<B> M>
block_errors assign_block(B& worker, M const& model, in_matrix<B, float> x, assign_options const& options,
                          host_matrix_view<code_t> out) {
  scratch_scope<B> const scope(worker.scratch());
  index_t const count = x.rows(), width = model.latent_width();
  auto const z = take<float>(worker, count, width), rest = take<float>(worker, count, width);
  auto const codes = take<code_t>(worker, out.columns(), count);
  encode(worker, model, x, z);
  copy<float>(worker, z.flat(), rest.flat());
  auto const codebooks = model.codebooks();
  quantize<float>(worker, std::span<codebook_view<B, float> const>(codebooks), rest, codes);
  host_copy<code_t, typename B::memory_space> const found(worker, codes.flat());
  for (index_t i = 0; i < count; ++i)
    for (index_t l = 0; l < codes.rows(); ++l) out(i, l) = found.view_all()(l * count + i);
  block_errors errors{.quantization = sum_of_squares<float>(worker, in_vector<B, float>(rest.flat()))};
  add_scaled<float>(worker, -1, in_matrix<B, float>(rest), z);  // z is now the sum of the chosen vectors
  if (options.reconstruction_error)
    errors.reconstruction = reconstruction_error(worker, model, in_matrix<B, float>(z), x);
  return errors;
}

}  // namespace detail

/// K of each level.
template <Backend B, Quantizer<B> M>
[[nodiscard]] std::vector<index_t> code_sizes(M const& model) {
  std::vector<index_t> sizes;
  for (auto const& level : model.codebooks()) sizes.push_back(level.vectors().rows());
  return sizes;
}

/// The nearest codes of all rows. Blocks are processed by whichever worker is free; the result doesn't depend on which.
/// Throws error when the features don't have the model's input width. Several ranks get the codes of their own rows,
/// see gather_codes(), and the errors of all.
template <Backend B, Quantizer<B> M, embed::FeatureSource F>
[[nodiscard]] assign_result assign_codes(B& backend, M const& model, F const& features,
                                         assign_options const& options = {}) {
  expects(features.width() == model.input_width(), "quantize: features of width ", features.width(),
          " for a quantizer of width ", model.input_width());
  index_t const rows = features.rows(), block = detail::feature_rows_at_once<B>(features.width()),
                blocks = (rows + block - 1) / block;
  assign_result out{.codes = code_table(rows, code_sizes<B>(model))};
  auto const mine = worker_share{options.ranks.rank(), options.ranks.world_size()}.of(blocks);
  index_t const begin = std::min(rows, mine.first * block), end = std::min(rows, (mine.first + mine.count) * block);
  std::vector<double> errors(to_size(2 * blocks));  // of each block: of the features and of the latents
  std::atomic<index_t> done{0};
  detail::for_each_feature_block(backend, detail::feature_rows(features, {begin, end - begin}), block,
                                 [&](B& worker, index_t i, index_t first, in_matrix<B, float> x) {
                                   auto const of_block = detail::assign_block(
                                       worker, model, x, options, out.codes.all().row_block(begin + first, x.rows()));
                                   errors[to_size(2 * (mine.first + i))] = of_block.reconstruction;
                                   errors[to_size(2 * (mine.first + i) + 1)] = of_block.quantization;
                                   done += x.rows();
                                   if (options.progress && &worker == &backend.worker(0)) options.progress(done.load());
                                 });
  options.ranks.all_reduce(std::span(errors));  // zeros of all ranks but one: exact
  for (std::size_t i = 0; i < errors.size(); i += 2) {
    out.reconstruction_error += errors[i];
    out.quantization_error += errors[i + 1];
  }
  double const n = std::max(1.0, static_cast<double>(rows));
  out.reconstruction_error /= n * static_cast<double>(model.input_width());
  out.quantization_error /= n * static_cast<double>(model.latent_width());
  return out;
}

/// Gives every rank the codes of all: each item of `own` has a sequence on one rank at most.
inline void gather_codes(train::host_communicator const& ranks, code_table& own) {
  if (ranks.world_size() == 1) return;
  std::vector<code_t> mine;  // an item and its codes, back to back
  for (index_t i = 0; i < own.items(); ++i) {
    auto const item = static_cast<std::int32_t>(i);
    auto const codes = own.of(item_id(item));
    if (codes.empty()) continue;
    mine.push_back(code_t(item));
    mine.insert(mine.end(), codes.begin(), codes.end());
  }
  auto const all = train::gather<code_t>(ranks, mine);
  auto const levels = to_size(own.levels());
  for (std::size_t i = 0; i < all.size(); i += levels + 1)
    own.set(item_id(static_cast<std::int32_t>(index(all[i]))), std::span(all).subspan(i + 1, levels));
}

/// A LatentSource that encodes the requested items at each call. It lets collisions of a large catalog be resolved
/// without storing all latents. Worker, model and features must outlive this object.
template <Backend B, Quantizer<B> M, embed::FeatureSource F>
class encoded_latents {
 public:
  /// The latents of `features` under `model`, computed on `worker`.
  encoded_latents(B& worker, M const& model, F const& features) : worker_(worker), model_(model), features_(features) {}

  /// The number of items.
  index_t rows() const { return features_.rows(); }
  /// The width of the latents.
  index_t width() const { return model_.latent_width(); }
  /// Computes the latents of the given items: out (items, width).
  void gather(std::span<index_t const> items, host_matrix_view<float> out) const {
    constexpr index_t block = 1024;
    for (index_t first = 0; first < out.rows(); first += block) {
      scratch_scope<B> const scope(worker_.scratch());
      index_t const count = std::min(out.rows(), first + block) - first;
      device_copy<float, B> const rows(worker_, count * features_.width(), [&](host_vector_view<float> values) {
        features_.gather(items.subspan(to_size(first), to_size(count)), {values.data, count, features_.width()});
      });
      in_matrix<B, float> const x(rows.view_all().data, count, features_.width());
      auto const z = take<float>(worker_, count, width());
      encode(worker_, model_, x, z);
      host_copy<float, typename B::memory_space> const latents(worker_, z.flat());
      for (index_t i = 0; i < count; ++i)
        std::copy_n(latents.view_all().data + i * width(), width(), out.row(first + i).data);
    }
  }

 private:
  B& worker_;
  M const& model_;
  F const& features_;
};

}  // namespace mql4grec::quantize
