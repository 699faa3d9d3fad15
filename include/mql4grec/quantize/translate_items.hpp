#pragma once
// From features to codes, in blocks of rows: memory doesn't grow with the catalogue, but for the codes themselves.
#include <atomic>
#include <numeric>

#include "mql4grec/backend/row_blocks.hpp"
#include "mql4grec/embed/features.hpp"
#include "mql4grec/quantize/code_table.hpp"
#include "mql4grec/quantize/residual_quantizer.hpp"
#include "mql4grec/quantize/rq_vae_pass.hpp"

namespace mql4grec {

/// A catalogue in codes, before collisions are handled.
struct translation {
  code_table codes;                 ///< (items, levels), the nearest everywhere
  double reconstruction_error = 0;  ///< mean (x̂ − x)² an entry, of the quantized latents
  double quantization_error = 0;    ///< mean (ẑ − z)² an entry of the latents
};

enum class reconstruction { wanted, spared };

namespace detail {

/// A block of rows on a lane: its codes, and its sums of squared errors.
struct block_errors {
  double reconstruction = 0, quantization = 0;
};

template <Backend B, FeatureSource F>
block_errors translate_block(B& lane, rq_vae<B, float> const& model, F const& features, index_t first, index_t count, reconstruction decode,
                             host_matrix_view<code_t> out) {
  scratch_scope<B> const scope(lane.scratch());
  auto const& c = model.config();
  auto const take = [&](index_t columns) { return lane.scratch().template take<float>(count, columns); };
  auto const x = take(c.input_width), z = take(c.latent_width), rest = take(c.latent_width);
  auto const codes = lane.scratch().template take<code_t>(c.levels(), count);
  features.read(first, x);
  encode<float>(lane, model, in_matrix<B, float>(x), z);
  copy(in_vector<B, float>(z.flat()), rest.flat());
  auto const codebooks = model.codebooks();
  quantize<float>(lane, std::span<codebook_view<B, float> const>(codebooks), rest, codes);
  for (index_t i = 0; i < count; ++i)
    for (index_t l = 0; l < c.levels(); ++l) out(first + i, l) = codes(l, i);
  block_errors errors{.quantization = sum_of_squares<float>(lane, in_vector<B, float>(rest.flat()))};
  add_scaled<float>(lane, -1, in_matrix<B, float>(rest), z);  // now the sum of the chosen vectors
  if (decode == reconstruction::wanted) errors.reconstruction = reconstruction_error<float>(lane, model, in_matrix<B, float>(z), in_matrix<B, float>(x));
  return errors;
}

}  // namespace detail

/// The nearest codes of all rows; blocks go to whichever lane is free, and the result doesn't depend on which. `progress(rows done)` is
/// called from lane 0's thread. Host backends only: features are read into the lane's own memory.
template <Backend B, FeatureSource F, class Progress>
  requires std::same_as<typename B::memory_space, host_space>
translation translate_items(B& backend, rq_vae<B, float> const& model, F const& features, reconstruction decode, Progress&& progress) {
  constexpr index_t block = 1024;
  auto const& c = model.config();
  expects(features.width() == c.input_width, "translate: features of width ", features.width(), " for a translator of ", c.input_width);
  index_t const rows = features.rows(), blocks = (rows + block - 1) / block;
  translation out{.codes = code_table(rows, c.codes)};
  std::vector<detail::block_errors> errors(static_cast<std::size_t>(blocks));
  std::atomic<index_t> done{0};
  detail::for_each_row_block(backend, rows, block, [&](B& lane, index_t i, index_t first, index_t count) {
    errors[static_cast<std::size_t>(i)] = detail::translate_block(lane, model, features, first, count, decode, out.codes.all());
    done += count;
    if (&lane == &backend.lane(0)) progress(done.load());
  });
  for (auto const& e : errors) {
    out.reconstruction_error += e.reconstruction;
    out.quantization_error += e.quantization;
  }
  double const n = std::max(1.0, static_cast<double>(rows));
  out.reconstruction_error /= n * static_cast<double>(c.input_width);
  out.quantization_error /= n * static_cast<double>(c.latent_width);
  return out;
}

/// The latents of items that are asked for, encoded anew each time: what handling collisions needs of a large catalogue.
template <Backend B, FeatureSource F>
class encoded_latents {
 public:
  encoded_latents(B& lane, rq_vae<B, float> const& model, F const& features) : lane_(lane), model_(model), features_(features) {}

  index_t rows() const { return features_.rows(); }
  index_t width() const { return model_.config().latent_width; }
  void gather(std::span<index_t const> items, host_matrix_view<float> out) const {
    constexpr index_t block = 1024;
    for (index_t first = 0; first < out.rows(); first += block) {
      scratch_scope<B> const scope(lane_.scratch());
      index_t const count = std::min(out.rows(), first + block) - first;
      auto const x = lane_.scratch().template take<float>(count, features_.width());
      features_.gather(items.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count)), x);
      encode<float>(lane_, model_, in_matrix<B, float>(x), out.row_block(first, count));
    }
  }

 private:
  B& lane_;
  rq_vae<B, float> const& model_;
  F const& features_;
};

}  // namespace mql4grec
