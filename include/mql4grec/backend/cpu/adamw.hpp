#pragma once
// AdamW and reductions for float. Compilers vectorize the update only with -fno-math-errno -fno-trapping-math, because
// of its square root.
#include <cmath>

#include "mql4grec/backend/cpu/dropout.hpp"
#include "mql4grec/backend/cpu/operations.hpp"

namespace mql4grec::cpu {

namespace detail {

struct adamw_kernel {
  MQL4GREC_INLINE static void run(adamw_factors<float> f, adamw_tensors<host_space, float> const& on) {
    float const* const gradient = on.gradient.data;
    float *const parameter = on.parameters.data, *const first = on.first.data, *const second = on.second.data;
    index_t const n = on.parameters.size();
    for (index_t i = 0; i < n; ++i) {
      float const g = gradient[i] * f.scale;
      float const m = f.b1 * first[i] + f.one_minus_beta1 * g;
      float const v = f.b2 * second[i] + f.one_minus_beta2 * g * g;
      first[i] = m;
      second[i] = v;
      parameter[i] = parameter[i] * f.keep - f.rate * m / (__builtin_sqrtf(v) * f.inv_sqrt_correction2 + f.eps);
    }
  }
};

struct sum_of_squares_kernel {
  MQL4GREC_INLINE static double run(float const* x, index_t n) {
    double part[lanes] = {};
    index_t i = 0;
    for (; i + lanes <= n; i += lanes)
      for (index_t l = 0; l < lanes; ++l) part[l] += static_cast<double>(x[i + l]) * static_cast<double>(x[i + l]);
    double sum = 0;
    for (index_t l = 0; l < lanes; ++l) sum += part[l];
    for (; i < n; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    return sum;
  }
};

}  // namespace detail

template <std::same_as<float> T>
void adamw_step(backend&, adamw_update const& how, adamw_tensors<host_space, T> const& on) {
  dispatch<detail::adamw_kernel>(adamw_factors<float>(how), on);
}

template <std::same_as<float> T>
double sum_of_squares(backend&, in_vector<backend, T> x) {
  return dispatch<detail::sum_of_squares_kernel>(x.data, x.size());
}

template <std::same_as<float> T>
void accumulate(backend&, in_vector<backend, T> from, out_vector<backend, T> to) {
  dispatch<detail::add_kernel>(from.data, from.size(), to.data, to.size(), index_t{1}, to.size());
}

}  // namespace mql4grec::cpu
