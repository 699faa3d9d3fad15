#pragma once
// The forward and backward pass of a batch through encoder and decoder. Workers share the rows of the activations; the
// quantizer between encoder and decoder may require the whole batch. Weight gradients are divided as in nn/mlp.hpp.
#include <span>

#include "mql4grec/backend/contract/squared_error.hpp"
#include "mql4grec/backend/contract/transfer.hpp"
#include "mql4grec/nn/mlp.hpp"
#include "mql4grec/quantize/rq_vae/rq_vae.hpp"

namespace mql4grec::quantize {

/// The operations that the reconstruction loss and the sum of gradients require from a backend.
template <class B, class T>
concept SquaredErrorOps = Backend<B> && requires(B& b, in_matrix<B, T> x, out_matrix<B, T> y, out_vector<B, T> v) {
  squared_error_forward<T>(b, x, x);
  squared_error_backward<T>(b, x, x, double{}, squared_error_results<typename B::memory_space, T>{y, v});
  add_scaled<T>(b, double{}, x, y);
};

/// Computes latents z (n, latent width) of features x (n, d_in), for inference. Throws error when x has another width.
template <class T, Backend B>
void encode(B& worker, rq_vae<B, T> const& model, in_matrix<B, T> x, out_matrix<B, T> z) {
  scratch_scope<B> const scope(worker.scratch());
  expects(x.columns() == model.config().input_width, "RQ-VAE: features of width ", x.columns(), ", expected ",
          model.config().input_width);
  nn::mlp_forward<T, B>(worker, model.weights().encoder, x, z);
}

/// Returns Σ (x̂ − x)², where x̂ is decoded from z (n, latent width), which are usually quantized latents.
template <class T, Backend B>
[[nodiscard]] double reconstruction_error(B& worker, rq_vae<B, T> const& model, in_matrix<B, T> z, in_matrix<B, T> x) {
  scratch_scope<B> const scope(worker.scratch());
  auto const decoded = take<T>(worker, x.rows(), x.columns());
  nn::mlp_forward<T, B>(worker, model.weights().decoder, z, decoded);
  return static_cast<double>(real_part(squared_error_forward<T>(worker, decoded, x)));
}

/// One worker's rows of a batch: the inputs of the backward pass.
template <Backend B, class T>
struct rq_vae_rows {
  row_range rows;      ///< the rows in the batch
  index_t batch_rows;  ///< the number of rows of the batch, over which losses are means
  in_matrix<B, T> x;   ///< (rows.count, d_in): the features
  /// (levels + 1) of (rows.count, latent width): z, then the residual after each level.
  std::span<in_matrix<B, T> const> residuals;
};

/// The activations of a batch and the forward and backward pass through the model. Different workers may process
/// different rows at once.
template <Backend B, class T>
class rq_vae_pass {
 public:
  /// Allocates memory for batches of at most `rows` rows. Throws error when `rows` is 0.
  rq_vae_pass(B& backend, rq_vae<B, T> const& model, index_t rows)
      : model_(model),
        encoder_(backend, model.weights().encoder, rows),
        decoder_(backend, model.weights().decoder, rows),
        quantized_(backend.template allocate<T>(rows * model.config().latent_width)) {
    static_assert(SquaredErrorOps<B, T>,
                  "this backend has no squared_error for this scalar; add it in backend/<name>/squared_error.hpp");
    expects(rows >= 1, "RQ-VAE: a batch size of ", rows, ", expected at least 1");
  }

  /// Encodes one worker's rows x (rows.count, d_in) as z (rows.count, latent width).
  void encode(B& worker, row_range rows, in_matrix<B, T> x, out_matrix<B, T> z) {
    nn::mlp_forward<T, B>(worker, model_.weights().encoder, x, rows, encoder_);
    copy<T>(worker, encoder_.last_output(rows).flat(), z.flat());
  }

  /// Decodes one worker's rows and backpropagates through decoder and encoder. The decoder's input is the
  /// straight-through estimate ẑ = z − residuals[L]. Writes Σ (x̂ − x)² of these rows to error (1). Afterwards, the
  /// activations' gradients are those of the mean over the batch.
  void decode_and_backpropagate(B& worker, rq_vae_rows<B, T> const& part, out_vector<B, T> error) {
    auto const& c = model_.config();
    auto const rows = part.rows;
    out_matrix<B, T> const quantized{quantized_.view_all().data + rows.first * c.latent_width, rows.count,
                                     c.latent_width};
    copy<T>(worker, part.residuals.front().flat(), quantized.flat());
    add_scaled<T>(worker, -1, part.residuals.back(), quantized);
    nn::mlp_forward<T, B>(worker, model_.weights().decoder, quantized, rows, decoder_);
    squared_error_backward<T>(worker, decoder_.last_output(rows), part.x,
                              2 / (static_cast<double>(part.batch_rows) * static_cast<double>(c.input_width)),
                              {decoder_.last_gradient(rows), error});
    auto const dz = encoder_.last_gradient(rows);
    nn::mlp_backward<T, B>(worker, model_.weights().decoder, rows, decoder_, dz);
    add_commitment_gradient(worker, part, dz);
    nn::mlp_backward<T, B>(worker, model_.weights().encoder, rows, encoder_, {});
  }

  /// Overwrites one worker's share of the weight gradients, over the rows x of the batch. Call it after
  /// decode_and_backpropagate() has finished for these rows.
  void weight_gradients(B& worker, nn::mlp_gradient_part part, in_matrix<B, T> x,
                        rq_vae_weights<T, typename B::memory_space> const& gradient) {
    index_t const width = model_.config().latent_width;
    nn::mlp_weight_gradients<T, B>(worker, part, x, encoder_, gradient.encoder);
    in_matrix<B, T> const quantized{quantized_.view_all().data + part.first_row * width, x.rows(), width};
    nn::mlp_weight_gradients<T, B>(worker, part, quantized, decoder_, gradient.decoder);
  }

 private:
  /// Adds d/dz of quant_weight / L · β · Σ mean (v − r)² with v constant. r − v is the residual after the level.
  void add_commitment_gradient(B& worker, rq_vae_rows<B, T> const& part, out_matrix<B, T> dz) {
    auto const& c = model_.config();
    double const factor =
        2 * c.quant_weight * c.beta /
        (static_cast<double>(c.levels()) * static_cast<double>(part.batch_rows) * static_cast<double>(c.latent_width));
    std::size_t const levels = c.commit == commitment::first_level ? 1 : c.codes.size();
    for (std::size_t l = 1; l <= levels; ++l) add_scaled<T>(worker, factor, part.residuals[l], dz);
  }

  rq_vae<B, T> const& model_;
  nn::mlp_activations<B, T> encoder_, decoder_;
  buffer<T, typename B::memory_space> quantized_;  // (rows, latent width): the decoder's input
};

}  // namespace mql4grec::quantize
