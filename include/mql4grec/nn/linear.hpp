#pragma once
// Linear maps without bias, with checked shapes. dx is overwritten, dweight is accumulated.
#include <span>

#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/backend/contract/matmul.hpp"
#include "mql4grec/backend/contract/weight.hpp"
#include "mql4grec/core/error.hpp"

namespace mql4grec::nn {

/// The operation that a linear map requires of a backend.
template <class B, class T>
concept LinearOps = Backend<B> && requires(B& b, in_matrix<B, T> x, out_matrix<B, T> y) {
  matmul<T>(b, x, x, y, product{});
};

/// Optional: weights that many products use, in training, packed once.
template <class B, class T>
concept WeightPackingOps = LinearOps<B, T> &&
    requires(B& b, std::span<plain_weight<typename B::memory_space, T> const> weights) {
  pack_weights<T>(b, weights);
};

namespace detail {
template <class B, class T>
constexpr void require_matmul() {
  static_assert(LinearOps<B, T>, "this backend has no matmul for this scalar; add it in backend/<name>/matmul.hpp");
}

template <class X, class Weight, class Y>
void check_linear(X x, Weight const& weight, Y y) {
  expects(x.columns() == weight.columns(), "linear: x has ", x.columns(), " columns but the weight takes ",
          weight.columns());
  expects(y.rows() == x.rows() && y.columns() == weight.rows(), "linear: y is ", y.rows(), " × ", y.columns(),
          ", expected ", x.rows(), " × ", weight.rows());
}
}  // namespace detail

/// y (rows, out) = alpha · x (rows, in) · weightᵀ, with weight (out, in) as PyTorch stores it. There is no bias, as in
/// T5. Throws error when shapes disagree.
template <class T, class B>
void linear(B& b, in_matrix<B, T> x, in_matrix<B, T> weight, out_matrix<B, T> y, double alpha = 1) {
  detail::require_matmul<B, T>();
  detail::check_linear(x, weight, y);
  matmul<T>(b, x, weight, y, {.transpose_b = true, .alpha = alpha});
}

/// The type of a backend's frozen weight, the result of freeze_weight. The original weight must outlive it and not
/// change.
template <class B, class T>
using frozen_weight = decltype(freeze_weight<T>(std::declval<B&>(), std::declval<in_matrix<B, T>>(), double{}));

/// y (rows, out) = alpha · x (rows, in) · weightᵀ with a weight from freeze_weight, which contains alpha. Throws error
/// when shapes disagree.
template <class T, class B, class Weight>
  requires(std::same_as<Weight, frozen_weight<B, T>>)
void linear(B& b, in_matrix<B, T> x, Weight const& weight, out_matrix<B, T> y) {
  if constexpr (std::same_as<Weight, plain_weight<typename B::memory_space, T>>) {
    linear<T>(b, x, weight.values, y, weight.alpha);
  } else {
    detail::check_linear(x, weight, y);
    frozen_product<T>(b, x, weight, y);
  }
}

/// While the result exists, linear and linear_input_gradient with these weights and factors use packed copies of them,
/// on all workers of b. The weights must not change meanwhile. Does nothing for a backend that packs no weights.
template <class T, class B>
[[nodiscard]] auto packed_for_products(B& b, std::span<plain_weight<typename B::memory_space, T> const> weights) {
  if constexpr (WeightPackingOps<B, T>)
    return pack_weights<T>(b, weights);
  else
    return nullptr;
}

/// dx (rows, in) = alpha · dy (rows, out) · weight, overwritten. Throws error when shapes disagree.
template <class T, class B>
void linear_input_gradient(B& b, in_matrix<B, T> dy, in_matrix<B, T> weight, out_matrix<B, T> dx, double alpha = 1) {
  detail::require_matmul<B, T>();
  expects(dy.columns() == weight.rows(), "linear: dy has ", dy.columns(), " columns but the weight gives ",
          weight.rows());
  expects(dx.rows() == dy.rows() && dx.columns() == weight.columns(), "linear: dx is ", dx.rows(), " × ", dx.columns(),
          ", expected ", dy.rows(), " × ", weight.columns());
  matmul<T>(b, dy, weight, dx, {.alpha = alpha});
}

/// dweight (out, in) += alpha · dyᵀ · x. Throws error when shapes disagree.
template <class T, class B>
void linear_weight_gradient(B& b, in_matrix<B, T> x, in_matrix<B, T> dy, out_matrix<B, T> dweight, double alpha = 1) {
  detail::require_matmul<B, T>();
  expects(x.rows() == dy.rows(), "linear: x has ", x.rows(), " rows but dy has ", dy.rows());
  expects(dweight.rows() == dy.columns() && dweight.columns() == x.columns(), "linear: dweight is ", dweight.rows(),
          " × ", dweight.columns(), ", expected ", dy.columns(), " × ", x.columns());
  matmul<T>(b, dy, x, dweight, {.transpose_a = true, .accumulate = true, .alpha = alpha});
}

}  // namespace mql4grec::nn
