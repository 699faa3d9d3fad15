#pragma once
// One lane's share of a batch through encoder and decoder, and back. What the quantizer does between them may need the whole batch
// (balanced assignment), so the way there and the way back are separate calls, and the activations stay in the lane's scratch.
#include <optional>
#include <span>

#include "mql4grec/backend/copy.hpp"
#include "mql4grec/quantize/rq_vae.hpp"

namespace mql4grec {

/// What the losses ask of a backend.
template <class B, class T>
concept SquaredErrorOps = Backend<B> && requires(B& b, in_matrix<B, T> x, out_matrix<B, T> y) {
  squared_error_forward<T>(b, x, x);
  squared_error_backward<T>(b, x, x, double{}, y);
  add_scaled<T>(b, double{}, x, y);
};

namespace detail {

/// The outputs of a stack of layers, kept for the way back.
template <class B, class T>
struct perceptron_tape {
  in_matrix<B, T> input;
  std::vector<out_matrix<B, T>> outputs;  // a layer each; the last one has no ReLU behind it
};

template <class T, class B>
using layer_span = std::span<nn::dense_weights<T, typename B::memory_space> const>;

inline nn::rectifier end_of_layer(std::size_t layer, std::size_t layers) {
  return layer + 1 < layers ? nn::rectifier::relu : nn::rectifier::none;
}

template <class B, class T>
perceptron_tape<B, T> perceptron_forward(B& lane, layer_span<T const, B> layers, in_matrix<B, T> x) {
  perceptron_tape<B, T> tape{x, {}};
  for (std::size_t l = 0; l < layers.size(); ++l) {
    tape.outputs.push_back(lane.scratch().template take<T>(x.rows(), layers[l].bias.size()));
    nn::dense<T>(lane, l == 0 ? x : in_matrix<B, T>(tape.outputs[l - 1]), layers[l], end_of_layer(l, layers.size()), tape.outputs[l]);
  }
  return tape;
}

/// dy, the gradient of the last output, is used up; dx (rows, in), where there is one, is overwritten.
template <class B, class T>
void perceptron_backward(B& lane, layer_span<T const, B> layers, perceptron_tape<B, T> const& tape, out_matrix<B, T> dy,
                         layer_span<T, B> gradients, std::optional<out_matrix<B, T>> dx) {
  for (std::size_t l = layers.size(); l-- > 0;) {
    in_matrix<B, T> const x = l == 0 ? tape.input : in_matrix<B, T>(tape.outputs[l - 1]);
    nn::dense_backward<T>(lane, x, tape.outputs[l], end_of_layer(l, layers.size()), dy, gradients[l]);
    if (l == 0 && !dx) return;
    auto const before = l == 0 ? *dx : lane.scratch().template take<T>(x.rows(), x.columns());
    nn::linear_input_gradient<T>(lane, dy, layers[l].weight, before);
    dy = before;
  }
}

}  // namespace detail

/// z (n, latent width) of x (n, d_in), for inference.
template <class T, Backend B>
void encode(B& lane, rq_vae<B, T> const& model, in_matrix<B, T> x, out_matrix<B, T> z) {
  scratch_scope<B> const scope(lane.scratch());
  expects(x.columns() == model.config().input_width, "RQ-VAE: features of width ", x.columns(), ", expected ", model.config().input_width);
  auto const tape = detail::perceptron_forward<B, T>(lane, model.weights().encoder, x);
  for (index_t i = 0; i < z.rows(); ++i) copy(in_vector<B, T>(tape.outputs.back().row(i)), z.row(i));
}

/// Σ (x̂ − x)² of z (n, latent width), any stand-in of x (n, d_in)'s latents.
template <class T, Backend B>
double reconstruction_error(B& lane, rq_vae<B, T> const& model, in_matrix<B, T> z, in_matrix<B, T> x) {
  scratch_scope<B> const scope(lane.scratch());
  auto const tape = detail::perceptron_forward<B, T>(lane, model.weights().decoder, z);
  return static_cast<double>(real_part(squared_error_forward<T>(lane, tape.outputs.back(), x)));
}

/// Rows of a batch on their way through the model. Everything (n, …) is a window into the batch's arrays.
template <Backend B, class T>
class rq_vae_pass {
 public:
  rq_vae_pass(B& lane, rq_vae<B, T> const& model) : lane_(lane), model_(model), scope_(lane.scratch()) {
    static_assert(SquaredErrorOps<B, T>, "this backend has no squared_error for this scalar; add it in backend/<name>/squared_error.hpp");
  }

  /// x (n, d_in) -> z (n, latent width); x must live as long as this.
  void encode(in_matrix<B, T> x, out_matrix<B, T> z) {
    x_ = x;
    encoder_ = detail::perceptron_forward<B, T>(lane_, model_.weights().encoder, x);
    copy(in_vector<B, T>(encoder_.outputs.back().flat()), z.flat());
  }

  /// residuals[0] = z, residuals[l] what level l − 1 left, all (n, latent width); the straight-through estimate ẑ = z − residuals[L] is
  /// decoded. Σ (x̂ − x)²; gradient gains that of the mean over `batch_rows` rows.
  T decode_and_go_back(std::span<in_matrix<B, T> const> residuals, index_t batch_rows, rq_vae_weights<T, typename B::memory_space> const& gradient) {
    auto const& c = model_.config();
    index_t const n = x_.rows();
    auto const decoded = lane_.scratch().template take<T>(n, c.latent_width), dz = lane_.scratch().template take<T>(n, c.latent_width);
    copy(residuals.front().flat(), decoded.flat());
    add_scaled<T>(lane_, -1, residuals.back(), decoded);
    auto const tape = detail::perceptron_forward<B, T>(lane_, model_.weights().decoder, decoded);
    auto const rows = static_cast<double>(batch_rows);
    T const error = squared_error_backward<T>(lane_, tape.outputs.back(), x_, 2 / (rows * static_cast<double>(c.input_width)), tape.outputs.back());
    detail::perceptron_backward<B, T>(lane_, model_.weights().decoder, tape, tape.outputs.back(), gradient.decoder, dz);
    add_commitment(residuals, rows, dz);
    detail::perceptron_backward<B, T>(lane_, model_.weights().encoder, encoder_, dz, gradient.encoder, std::nullopt);
    return error;
  }

 private:
  /// d/dz of quant_weight / L · β · Σ mean (v − r)², v held fast: r − v is what the level left.
  void add_commitment(std::span<in_matrix<B, T> const> residuals, double rows, out_matrix<B, T> dz) {
    auto const& c = model_.config();
    double const factor = 2 * c.quant_weight * c.beta / (static_cast<double>(c.levels()) * rows * static_cast<double>(c.latent_width));
    std::size_t const pulling = c.commit == commitment::first_level ? 1 : c.codes.size();
    for (std::size_t l = 1; l <= pulling; ++l) add_scaled<T>(lane_, factor, residuals[l], dz);
  }

  B& lane_;
  rq_vae<B, T> const& model_;
  scratch_scope<B> scope_;
  in_matrix<B, T> x_;
  detail::perceptron_tape<B, T> encoder_;
};

}  // namespace mql4grec
