#pragma once
// The forward and backward pass of a batch through encoder and decoder. Workers share the rows of the activations; the
// quantizer between encoder and decoder may require the whole batch. For weight gradients, workers share the rows of
// the weights and each computes over all rows of the batch: no worker has a gradient of its own, and no sum over
// workers is needed.
#include <cassert>
#include <span>

#include "mql4grec/backend/contract/copy.hpp"
#include "mql4grec/backend/contract/dropout.hpp"
#include "mql4grec/quantize/rq_vae/rq_vae.hpp"

namespace mql4grec {

/// The operations that the losses and the backward pass require from a backend.
template <class B, class T>
concept SquaredErrorOps = Backend<B> && requires(B& b, in_matrix<B, T> x, out_matrix<B, T> y, out_vector<B, T> v) {
  squared_error_forward<T>(b, x, x);
  squared_error_backward<T>(b, x, x, double{}, y, v);
  add_scaled<T>(b, double{}, x, y);
  relu_backward<T>(b, dropout{}, x, y);
  bias_backward<T>(b, x, v);
};

namespace detail {

template <class T, class B>
using layer_span = std::span<nn::dense_weights<T, typename B::memory_space> const>;

inline nn::rectifier end_of_layer(std::size_t layer, std::size_t layers) {
  return layer + 1 < layers ? nn::rectifier::relu : nn::rectifier::none;
}

/// Computes y (rows, out) of x (rows, in) through all layers. Intermediate activations use the worker's scratch.
template <class B, class T>
void perceptron(B& worker, layer_span<T const, B> layers, in_matrix<B, T> x, out_matrix<B, T> y) {
  in_matrix<B, T> in = x;
  for (std::size_t l = 0; l < layers.size(); ++l) {
    out_matrix<B, T> const out =
        l + 1 == layers.size() ? y : worker.scratch().template take<T>(x.rows(), layers[l].bias.size());
    nn::dense<T>(worker, in, layers[l], end_of_layer(l, layers.size()), out);
    in = out;
  }
}

}  // namespace detail

/// Computes latents z (n, latent width) of features x (n, d_in), for inference. Throws error when x has another width.
template <class T, Backend B>
void encode(B& worker, rq_vae<B, T> const& model, in_matrix<B, T> x, out_matrix<B, T> z) {
  scratch_scope<B> const scope(worker.scratch());
  expects(x.columns() == model.config().input_width, "RQ-VAE: features of width ", x.columns(), ", expected ",
          model.config().input_width);
  detail::perceptron<B, T>(worker, model.weights().encoder, x, z);
}

/// Returns Σ (x̂ − x)², where x̂ is decoded from z (n, latent width), which are usually quantized latents.
template <class T, Backend B>
double reconstruction_error(B& worker, rq_vae<B, T> const& model, in_matrix<B, T> z, in_matrix<B, T> x) {
  scratch_scope<B> const scope(worker.scratch());
  auto const back = worker.scratch().template take<T>(x.rows(), x.columns());
  detail::perceptron<B, T>(worker, model.weights().decoder, z, back);
  return static_cast<double>(real_part(squared_error_forward<T>(worker, back, x)));
}

/// The rows first … first + count − 1 of a batch.
struct row_range {
  index_t first, count;  ///< the first row; the number of rows
};

namespace detail {

/// The activations of a stack of layers for a whole batch, and their gradients.
template <Backend B, class T>
class perceptron_room {
 public:
  perceptron_room(B& b, layer_span<T const, B> layers, index_t rows) : rows_(rows) {
    for (auto const& layer : layers) {
      widths_.push_back(layer.bias.size());
      outputs_.push_back(b.template allocate<T>(rows * widths_.back()));
      gradients_.push_back(b.template allocate<T>(rows * widths_.back()));
    }
  }

  out_matrix<B, T> output(std::size_t layer, row_range rows) { return window(outputs_[layer], layer, rows); }
  out_matrix<B, T> gradient(std::size_t layer, row_range rows) { return window(gradients_[layer], layer, rows); }
  out_matrix<B, T> last_output(row_range rows) { return output(widths_.size() - 1, rows); }
  out_matrix<B, T> last_gradient(row_range rows) { return gradient(widths_.size() - 1, rows); }

 private:
  out_matrix<B, T> window(buffer<T, typename B::memory_space>& all, std::size_t layer, row_range rows) const {
    assert(rows.first + rows.count <= rows_);
    return {all.view_all().data + rows.first * widths_[layer], rows.count, widths_[layer]};
  }

  index_t rows_;
  std::vector<index_t> widths_;
  std::vector<buffer<T, typename B::memory_space>> outputs_, gradients_;  // (rows, width) of each layer
};

template <class B, class T>
void forward_rows(B& worker, layer_span<T const, B> layers, in_matrix<B, T> x, row_range rows,
                  perceptron_room<B, T>& room) {
  for (std::size_t l = 0; l < layers.size(); ++l)
    nn::dense<T>(worker, l == 0 ? x : in_matrix<B, T>(room.output(l - 1, rows)), layers[l],
                 end_of_layer(l, layers.size()), room.output(l, rows));
}

/// Backpropagates the gradient of the last output to the pre-activation of every layer. dx (rows, in) is overwritten;
/// when it is empty, it is not computed.
template <class B, class T>
void backward_rows(B& worker, layer_span<T const, B> layers, row_range rows, perceptron_room<B, T>& room,
                   out_matrix<B, T> dx) {
  for (std::size_t l = layers.size(); l-- > 0;) {
    auto const dy = room.gradient(l, rows);
    if (end_of_layer(l, layers.size()) == nn::rectifier::relu)
      relu_backward<T>(worker, dropout{}, room.output(l, rows), dy);
    if (l > 0)
      nn::linear_input_gradient<T>(worker, dy, layers[l].weight, room.gradient(l - 1, rows));
    else if (dx.rows() > 0)
      nn::linear_input_gradient<T>(worker, dy, layers[l].weight, dx);
  }
}

/// Overwrites the gradients of one worker's share of the weights' rows, computed over the whole batch.
template <class B, class T>
void weight_gradients(B& worker, index_t which, index_t workers, in_matrix<B, T> x, perceptron_room<B, T>& room,
                      layer_span<T, B> gradients) {
  constexpr index_t together = 16;  // rows of a weight per register
  row_range const all{0, x.rows()};
  for (std::size_t l = 0; l < gradients.size(); ++l) {
    index_t const out = gradients[l].bias.size(),
                  piece = (out + workers * together - 1) / (workers * together) * together;
    index_t const first = std::min(out, which * piece), count = std::min(out, first + piece) - first;
    if (count == 0) continue;
    auto const dy = in_matrix<B, T>(room.gradient(l, all)).column_block(first, count);
    auto const bias = gradients[l].bias.part(first, count);
    matmul<T>(worker, dy, l == 0 ? x : in_matrix<B, T>(room.output(l - 1, all)),
              gradients[l].weight.row_block(first, count), {.transpose_a = true});
    fill<T>(worker, bias, T{});
    bias_backward<T>(worker, dy, bias);
  }
}

}  // namespace detail

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
        decoded_(backend.template allocate<T>(rows * model.config().latent_width)) {
    static_assert(SquaredErrorOps<B, T>,
                  "this backend has no squared_error for this scalar; add it in backend/<name>/squared_error.hpp");
    expects(rows >= 1, "RQ-VAE: a batch size of ", rows, ", expected at least 1");
  }

  /// Encodes one worker's rows of x (n, d_in) as the same rows of z (n, latent width).
  void encode(B& worker, row_range rows, in_matrix<B, T> x, out_matrix<B, T> z) {
    detail::forward_rows<B, T>(worker, model_.weights().encoder, x, rows, encoder_);
    copy<T>(worker, encoder_.last_output(rows).flat(), z.flat());
  }

  /// Decodes and backpropagates one worker's rows of x and of the residuals: [0] = z, [l] = the residual after level l
  /// − 1. The decoder's input is the straight-through estimate ẑ = z − residuals[L]. Writes Σ (x̂ − x)² of these rows
  /// to error (1). Afterwards, the activations' gradients are those of the mean over `batch_rows` rows.
  void decode_and_go_back(B& worker, row_range rows, index_t batch_rows, in_matrix<B, T> x,
                          std::span<in_matrix<B, T> const> residuals, out_vector<B, T> error) {
    auto const& c = model_.config();
    out_matrix<B, T> const decoded{decoded_.view_all().data + rows.first * c.latent_width, rows.count, c.latent_width};
    copy<T>(worker, residuals.front().flat(), decoded.flat());
    add_scaled<T>(worker, -1, residuals.back(), decoded);
    detail::forward_rows<B, T>(worker, model_.weights().decoder, decoded, rows, decoder_);
    auto const batch = static_cast<double>(batch_rows);
    squared_error_backward<T>(worker, decoder_.last_output(rows), x, 2 / (batch * static_cast<double>(c.input_width)),
                              decoder_.last_gradient(rows), error);
    auto const dz = encoder_.last_gradient(rows);
    detail::backward_rows<B, T>(worker, model_.weights().decoder, rows, decoder_, dz);
    add_commitment(worker, residuals, batch, dz);
    detail::backward_rows<B, T>(worker, model_.weights().encoder, rows, encoder_, {});
  }

  /// Overwrites one worker's share of the weight gradients. Call it after all workers have finished
  /// decode_and_go_back(); x is the whole batch.
  void weight_gradients(B& worker, index_t which, index_t workers, in_matrix<B, T> x,
                        rq_vae_weights<T, typename B::memory_space> const& gradient) {
    detail::weight_gradients<B, T>(worker, which, workers, x, encoder_, gradient.encoder);
    detail::weight_gradients<B, T>(worker, which, workers,
                                   in_matrix<B, T>(decoded_.view_all().data, x.rows(), model_.config().latent_width),
                                   decoder_, gradient.decoder);
  }

 private:
  /// Adds d/dz of quant_weight / L · β · Σ mean (v − r)² with v constant. r − v is the residual after the level.
  void add_commitment(B& worker, std::span<in_matrix<B, T> const> residuals, double rows, out_matrix<B, T> dz) {
    auto const& c = model_.config();
    double const factor =
        2 * c.quant_weight * c.beta / (static_cast<double>(c.levels()) * rows * static_cast<double>(c.latent_width));
    std::size_t const pulling = c.commit == commitment::first_level ? 1 : c.codes.size();
    for (std::size_t l = 1; l <= pulling; ++l) add_scaled<T>(worker, factor, residuals[l], dz);
  }

  rq_vae<B, T> const& model_;
  detail::perceptron_room<B, T> encoder_, decoder_;
  buffer<T, typename B::memory_space> decoded_;  // (rows, latent width): the decoder's input
};

}  // namespace mql4grec
