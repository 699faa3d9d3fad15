#pragma once
// The mean of each packed sequence's rows, for float.
#include "mql4grec/backend/cpu/operations.hpp"
#include "mql4grec/backend/cpu/primitives/math.hpp"

namespace mql4grec::cpu {

namespace detail {

struct mean_pool_kernel {
  MQL4GREC_INLINE static void run(in_matrix<backend, float> x, index_t const* offsets, out_matrix<backend, float> out) {
    index_t const d = out.columns();
    for (index_t s = 0; s < out.rows(); ++s) {
      float* const y = out.data + s * out.stride;
      for (index_t j = 0; j < d; ++j) y[j] = 0.f;
      index_t const first = offsets[s], end = offsets[s + 1];
      for (index_t i = first; i < end; ++i) add_scaled(1.f, x.data + i * x.stride, y, d);
      float const scale = end > first ? 1.f / static_cast<float>(end - first) : 0.f;
      for (index_t j = 0; j < d; ++j) y[j] *= scale;
    }
  }
};

}  // namespace detail

template <std::same_as<float> T>
void mean_pool(backend&, in_matrix<backend, T> x, in_vector<backend, index_t> offsets, out_matrix<backend, T> y) {
  dispatch<detail::mean_pool_kernel>(x, offsets.data, y);
}

}  // namespace mql4grec::cpu
