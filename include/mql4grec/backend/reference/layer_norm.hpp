#pragma once
// LayerNorm, forward pass only: the encoders that use it are not trained.
#include <cmath>
#include <complex>

#include "mql4grec/backend/contract/layer_norm.hpp"
#include "mql4grec/backend/reference/backend.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::reference {

/// y (rows,d) = (x − mean) / √(variance + eps) ∘ gain + bias, where mean and variance are those of the row, the
/// variance that of the population. y may be in.x.
template <Field T>
void layer_norm_forward(backend&, layer_norm_inputs<host_space, T> const& in, double eps, out_matrix<backend, T> y) {
  auto const [rows, d] = in.x.extents;
  T const count = constant<T>(static_cast<double>(d));
  for (index_t i = 0; i < rows; ++i) {
    T mean{}, variance{};
    for (index_t j = 0; j < d; ++j) mean += in.x(i, j);
    mean /= count;
    for (index_t j = 0; j < d; ++j) variance += (in.x(i, j) - mean) * (in.x(i, j) - mean);
    T const r = constant<T>(1) / std::sqrt(variance / count + constant<T>(eps));
    for (index_t j = 0; j < d; ++j) y(i, j) = (in.x(i, j) - mean) * r * in.gain(j) + in.bias(j);
  }
}

}  // namespace mql4grec::reference
