#pragma once
// The feed-forward activations for float, vectorized; see backend/reference/activation.hpp for the formulas. tanh is an
// approximation.
#include "mql4grec/backend/cpu/dropout.hpp"
#include "mql4grec/backend/cpu/operations.hpp"

namespace mql4grec::cpu {

namespace detail {

struct relu_forward_kernel {
  MQL4GREC_INLINE static void run(dropout site, float* h, index_t stride, index_t rows, index_t d) {
    float const scale = static_cast<float>(site.scale());
    float mask[mask_columns];
    for (index_t i = 0; i < rows; ++i, h += stride)
      for (index_t first = 0; first < d; first += mask_columns) {
        index_t const n = d - first < mask_columns ? d - first : mask_columns;
        float* const x = h + first;
        if (site.active()) {
          draw_mask(site, i, first / mask_columns, scale, mask);
          for (index_t j = 0; j < n; ++j) x[j] = x[j] > 0.f ? x[j] * mask[j] : 0.f;
        } else {
          for (index_t j = 0; j < n; ++j) x[j] = x[j] > 0.f ? x[j] : 0.f;
        }
      }
  }
};

struct relu_backward_kernel {
  MQL4GREC_INLINE static void run(float scale, in_matrix<backend, float> in, out_matrix<backend, float> gradient) {
    float const* h = in.data;
    float* dh = gradient.data;
    index_t const rows = in.rows(), d = in.columns(), h_stride = in.stride, dh_stride = gradient.stride;
    for (index_t i = 0; i < rows; ++i, h += h_stride, dh += dh_stride)
      for (index_t j = 0; j < d; ++j) dh[j] = h[j] > 0.f ? dh[j] * scale : 0.f;
  }
};

/// tanh computed as 1 − 2 / (e^2x + 1); exact at both ends, because exp is clamped.
MQL4GREC_INLINE float tanh_approximate(float x) { return 1.f - 2.f / (exp_approximate(2.f * x) + 1.f); }

struct gated_gelu_forward_kernel {
  MQL4GREC_INLINE static void run(in_matrix<backend, float> in, out_matrix<backend, float> out) {
    float const* gates = in.data;
    float* h = out.data;
    index_t const rows = out.rows(), f = out.columns(), gates_stride = in.stride, h_stride = out.stride;
    constexpr auto slope = static_cast<float>(reference::detail::gelu_slope),
                   root = static_cast<float>(reference::detail::gelu_root);
    for (index_t i = 0; i < rows; ++i, gates += gates_stride, h += h_stride)
      for (index_t j = 0; j < f; ++j) {
        float const x = gates[j];
        h[j] = 0.5f * x * (1.f + tanh_approximate(root * (x + slope * x * x * x))) * gates[f + j];
      }
  }
};

struct gated_gelu_backward_kernel {
  MQL4GREC_INLINE static void run(in_matrix<backend, float> in, in_matrix<backend, float> dout,
                                  out_matrix<backend, float> din) {
    float const *gates = in.data, *dh = dout.data;
    float* dgates = din.data;
    index_t const rows = dout.rows(), f = dout.columns();
    index_t const gates_stride = in.stride, dh_stride = dout.stride, dgates_stride = din.stride;
    constexpr auto slope = static_cast<float>(reference::detail::gelu_slope),
                   root = static_cast<float>(reference::detail::gelu_root);
    for (index_t i = 0; i < rows; ++i, gates += gates_stride, dh += dh_stride, dgates += dgates_stride)
      for (index_t j = 0; j < f; ++j) {
        float const x = gates[j], t = tanh_approximate(root * (x + slope * x * x * x));
        float const derivative = 0.5f * (1.f + t) + 0.5f * x * (1.f - t * t) * root * (1.f + 3.f * slope * x * x);
        dgates[j] = dh[j] * gates[f + j] * derivative;
        dgates[f + j] = dh[j] * 0.5f * x * (1.f + t);
      }
  }
};

}  // namespace detail

template <std::same_as<float> T>
void relu_forward(backend&, dropout site, out_matrix<backend, T> h) {
  dispatch<detail::relu_forward_kernel>(site, h.data, h.stride, h.rows(), h.columns());
}

template <std::same_as<float> T>
void relu_backward(backend&, dropout site, in_matrix<backend, T> h, out_matrix<backend, T> dh) {
  dispatch<detail::relu_backward_kernel>(site.active() ? static_cast<float>(site.scale()) : 1.f, h, dh);
}

template <std::same_as<float> T>
void gated_gelu_forward(backend& b, dropout site, in_matrix<backend, T> gates, out_matrix<backend, T> h) {
  dispatch<detail::gated_gelu_forward_kernel>(gates, h);
  dropout_apply<T>(b, site, h);
}

template <std::same_as<float> T>
void gated_gelu_backward(backend& b, dropout site, in_matrix<backend, T> gates, out_matrix<backend, T> dh,
                         out_matrix<backend, T> dgates) {
  dropout_apply<T>(b, site, dh);
  dispatch<detail::gated_gelu_backward_kernel>(gates, dh, dgates);
}

}  // namespace mql4grec::cpu
