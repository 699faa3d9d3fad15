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
  code_table codes;                 ///< (items, levels): the nearest code at every level
  double reconstruction_error = 0;  ///< mean of (x̂ − x)² over all entries, decoded from quantized latents
  double quantization_error = 0;    ///< mean of (ẑ − z)² over all entries of the latents
};

/// Options of assign_codes().
struct assign_options {
  bool reconstruction_error = true;  ///< decode the quantized latents to compute their error; otherwise 0
  std::function<void(index_t)> progress = nullptr;  ///< receives the number of rows done, on worker 0's thread
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
/// Throws error when the features don't have the model's input width.
template <Backend B, Quantizer<B> M, embed::FeatureSource F>
[[nodiscard]] assign_result assign_codes(B& backend, M const& model, F const& features,
                                         assign_options const& options = {}) {
  expects(features.width() == model.input_width(), "quantize: features of width ", features.width(),
          " for a quantizer of width ", model.input_width());
  index_t const rows = features.rows(), block = detail::feature_rows_at_once<B>(features.width());
  assign_result out{.codes = code_table(rows, code_sizes<B>(model))};
  std::vector<detail::block_errors> errors(to_size((rows + block - 1) / block));
  std::atomic<index_t> done{0};
  detail::for_each_feature_block(
      backend, features, block, [&](B& worker, index_t i, index_t first, in_matrix<B, float> x) {
        errors[to_size(i)] =
            detail::assign_block(worker, model, x, options, out.codes.all().row_block(first, x.rows()));
        done += x.rows();
        if (options.progress && &worker == &backend.worker(0)) options.progress(done.load());
      });
  for (auto const& e : errors) {
    out.reconstruction_error += e.reconstruction;
    out.quantization_error += e.quantization;
  }
  double const n = std::max(1.0, static_cast<double>(rows));
  out.reconstruction_error /= n * static_cast<double>(model.input_width());
  out.quantization_error /= n * static_cast<double>(model.latent_width());
  return out;
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
