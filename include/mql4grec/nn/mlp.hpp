#pragma once
// Multi-layer perceptrons: dense layers with a ReLU after each one but the last. In the forward and backward pass,
// workers share the rows of a batch. For weight gradients, they share the rows of the weights instead, and each
// computes over all rows of the batch: no worker has a gradient of its own, and no sum over workers is needed.
#include <cassert>
#include <span>
#include <vector>

#include "mql4grec/backend/contract/dropout.hpp"
#include "mql4grec/backend/contract/row_blocks.hpp"
#include "mql4grec/nn/dense.hpp"

namespace mql4grec::nn {

/// The operations that an MLP requires of a backend, forward and backward.
template <class B, class T>
concept MlpOps = DenseOps<B, T> && MemoryOps<B, T> &&
    requires(B& b, in_matrix<B, T> x, out_matrix<B, T> y, out_vector<B, T> v) {
  relu_backward<T>(b, dropout{}, x, y);
  bias_backward<T>(b, x, v);
};

/// The layers of an MLP in order: their parameters (T const) or the gradients of these (T).
template <class B, class T>
using mlp_layers = std::span<dense_weights<T, typename B::memory_space> const>;

namespace detail {
inline rectifier mlp_rectifier(std::size_t layer, std::size_t layers) {
  return layer + 1 < layers ? rectifier::relu : rectifier::none;
}
}  // namespace detail

/// The outputs of all layers for a whole batch, and their gradients. Workers may access different rows at once.
template <Backend B, class T>
class mlp_activations {
  static_assert(MlpOps<B, T>,
                "this backend has no relu_backward or bias_backward for this scalar; add them in "
                "backend/<name>/{activation,bias}.hpp");

 public:
  /// Allocates memory for batches of at most `rows` rows.
  mlp_activations(B& b, mlp_layers<B, T const> layers, index_t rows) : rows_(rows) {
    for (auto const& layer : layers) {
      widths_.push_back(layer.bias.size());
      outputs_.push_back(b.template allocate<T>(rows * widths_.back()));
      gradients_.push_back(b.template allocate<T>(rows * widths_.back()));
    }
  }

  /// The output (rows.count, out) of a layer.
  out_matrix<B, T> output(std::size_t layer, row_range rows) { return window(outputs_[layer], layer, rows); }
  /// The gradient (rows.count, out) of a layer: of its output, and after mlp_backward() of its sum before the ReLU.
  out_matrix<B, T> gradient(std::size_t layer, row_range rows) { return window(gradients_[layer], layer, rows); }
  /// The output of the last layer.
  out_matrix<B, T> last_output(row_range rows) { return output(widths_.size() - 1, rows); }
  /// The gradient of the last layer's output.
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

/// Computes y (rows, out) of x (rows, in), for inference. The outputs of the other layers are in the worker's scratch.
/// Throws error when shapes disagree.
template <class T, class B>
void mlp_forward(B& worker, mlp_layers<B, T const> layers, in_matrix<B, T> x, out_matrix<B, T> y) {
  in_matrix<B, T> in = x;
  for (std::size_t l = 0; l < layers.size(); ++l) {
    out_matrix<B, T> const out = l + 1 == layers.size() ? y : take<T>(worker, x.rows(), layers[l].bias.size());
    dense<T>(worker, in, layers[l], detail::mlp_rectifier(l, layers.size()), out);
    in = out;
  }
}

/// Computes all layers' outputs for the rows `rows` of a batch, for training. x (rows.count, in) contains these rows
/// only. Throws error when shapes disagree.
template <class T, class B>
void mlp_forward(B& worker, mlp_layers<B, T const> layers, in_matrix<B, T> x, row_range rows,
                 mlp_activations<B, T>& activations) {
  for (std::size_t l = 0; l < layers.size(); ++l)
    dense<T>(worker, l == 0 ? x : in_matrix<B, T>(activations.output(l - 1, rows)), layers[l],
             detail::mlp_rectifier(l, layers.size()), activations.output(l, rows));
}

/// Computes the gradients of all layers for the rows `rows` of a batch, from the gradient of the last output, which the
/// caller has written to activations.last_gradient(rows). dx (rows.count, in) is overwritten; an empty dx is not
/// computed. Throws error when shapes disagree.
template <class T, class B>
void mlp_backward(B& worker, mlp_layers<B, T const> layers, row_range rows, mlp_activations<B, T>& activations,
                  out_matrix<B, T> dx) {
  for (std::size_t l = layers.size(); l-- > 0;) {
    auto const dy = activations.gradient(l, rows);
    if (detail::mlp_rectifier(l, layers.size()) == rectifier::relu)
      relu_backward<T>(worker, dropout{}, activations.output(l, rows), dy);
    if (l > 0)
      linear_input_gradient<T>(worker, dy, layers[l].weight, activations.gradient(l - 1, rows));
    else if (dx.rows() > 0)
      linear_input_gradient<T>(worker, dy, layers[l].weight, dx);
  }
}

/// The part of the weight gradients that a worker computes.
struct mlp_gradient_part {
  worker_share of_weights;  ///< the rows of the weights
  index_t first_row = 0;    ///< the row of the batch with which x begins
};

/// Overwrites one worker's share of the gradients of weights and biases, computed over some consecutive rows x (rows,
/// in) of a batch, for instance all of them. Call it after mlp_backward() has finished for these rows.
template <class T, class B>
void mlp_weight_gradients(B& worker, mlp_gradient_part part, in_matrix<B, T> x, mlp_activations<B, T>& activations,
                          mlp_layers<B, T> gradients) {
  constexpr index_t together = 16;  // rows of a weight per register
  row_range const all{part.first_row, x.rows()};
  for (std::size_t l = 0; l < gradients.size(); ++l) {
    auto const [first, count] = part.of_weights.of_blocks(gradients[l].bias.size(), together);
    if (count == 0) continue;
    auto const dy = in_matrix<B, T>(activations.gradient(l, all)).column_block(first, count);
    auto const bias = gradients[l].bias.part(first, count);
    matmul<T>(worker, dy, l == 0 ? x : in_matrix<B, T>(activations.output(l - 1, all)),
              gradients[l].weight.row_block(first, count), {.transpose_a = true});
    fill<T>(worker, bias, T{});
    bias_backward<T>(worker, dy, bias);
  }
}

}  // namespace mql4grec::nn
