#pragma once
// LayerNorm, forward pass only; see backend/reference/layer_norm.hpp for the formula.
#include <cmath>

#include "mql4grec/backend/contract/layer_norm.hpp"
#include "mql4grec/backend/gpu/primitives/thread_group.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::gpu {

namespace detail {

/// One thread group per row.
template <Real T, class In, class Out>
struct layer_norm_rows {
  static constexpr int threads = 32;
  static constexpr std::size_t shared_bytes() { return 0; }
  In x;
  T const *gain, *bias;
  T eps;
  Out y;

  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t i) const {
    T const d = static_cast<T>(x.columns());
    typename ThreadGroup::template local<T> entries, squares;
    group.each([&](int t) {
      entries[t] = T{};
      for (index_t j = t; j < x.columns(); j += threads) entries[t] += x(i, j);
    });
    T const mean = group.sum(entries) / d;
    group.each([&](int t) {
      squares[t] = T{};
      for (index_t j = t; j < x.columns(); j += threads) squares[t] += (x(i, j) - mean) * (x(i, j) - mean);
    });
    T const r = 1 / std::sqrt(group.sum(squares) / d + eps);
    group.each([&](int t) {
      for (index_t j = t; j < x.columns(); j += threads) y(i, j) = (x(i, j) - mean) * r * gain[j] + bias[j];
    });
  }
};

}  // namespace detail

/// y (rows,d) = LayerNorm of in.x with in.gain and in.bias; y may be in.x.
template <Real T, class System>
void layer_norm_forward(backend<System>& b, layer_norm_inputs<device_space<System>, T> const& in, double eps,
                        out_matrix<backend<System>, T> y) {
  detail::for_each_group(b, in.x.rows(),
                         detail::layer_norm_rows<T, decltype(in.x), decltype(y)>{in.x, in.gain.data, in.bias.data,
                                                                                 static_cast<T>(eps), y});
}

}  // namespace mql4grec::gpu
