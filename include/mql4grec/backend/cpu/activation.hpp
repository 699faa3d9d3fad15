#pragma once
// The feed-forward activations for float, vectorized; see backend/reference/activation.hpp for the formulas. tanh, erf
// and exp are approximations.
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

/// erf with an absolute error below 5e-7: for |x| < 4 a quotient of polynomials, fitted for the least maximum error, ±1
/// outside.
MQL4GREC_INLINE float erf_approximate(float x) {
  float const near = x < -4.f ? -4.f : x > 4.f ? 4.f : x, q = near * near;
  float p = 1.97477207e-6f;
  p = p * q + 2.88033601e-4f;
  p = p * q + 4.00355343e-3f;
  p = p * q + 5.34672065e-2f;
  p = p * q + 0.196247654f;
  p = p * q + 1.12837898f;
  float divisor = 3.74798354e-5f;
  divisor = divisor * q + 1.21632600e-3f;
  divisor = divisor * q + 1.54442533e-2f;
  divisor = divisor * q + 0.116475789f;
  divisor = divisor * q + 0.507251116f;
  divisor = divisor * q + 1.f;
  float const quotient = near * p / divisor;
  return x < -4.f ? -1.f : x > 4.f ? 1.f : quotient;
}

struct gelu_forward_kernel {
  MQL4GREC_INLINE static void run(float* h, index_t stride, index_t rows, index_t f) {
    for (index_t i = 0; i < rows; ++i, h += stride)
      for (index_t j = 0; j < f; ++j) h[j] = 0.5f * h[j] * (1.f + erf_approximate(h[j] * 0.707106781f));
  }
};

/// x · sigmoid(slope · x)
MQL4GREC_INLINE float sigmoid_gated(float x, float slope) { return x / (1.f + exp_approximate(-slope * x)); }

struct quick_gelu_forward_kernel {
  MQL4GREC_INLINE static void run(float* h, index_t stride, index_t rows, index_t f) {
    constexpr auto slope = static_cast<float>(reference::detail::quick_gelu_slope);
    for (index_t i = 0; i < rows; ++i, h += stride)
      for (index_t j = 0; j < f; ++j) h[j] = sigmoid_gated(h[j], slope);
  }
};

struct swiglu_forward_kernel {
  MQL4GREC_INLINE static void run(in_matrix<backend, float> in, out_matrix<backend, float> out) {
    float const* gates = in.data;
    float* h = out.data;
    index_t const rows = out.rows(), f = out.columns(), gates_stride = in.stride, h_stride = out.stride;
    for (index_t i = 0; i < rows; ++i, gates += gates_stride, h += h_stride)
      for (index_t j = 0; j < f; ++j) h[j] = sigmoid_gated(gates[j], 1.f) * gates[f + j];
  }
};

}  // namespace detail

template <std::same_as<float> T>
void gelu_forward(backend&, out_matrix<backend, T> h) {
  dispatch<detail::gelu_forward_kernel>(h.data, h.stride, h.rows(), h.columns());
}

template <std::same_as<float> T>
void quick_gelu_forward(backend&, out_matrix<backend, T> h) {
  dispatch<detail::quick_gelu_forward_kernel>(h.data, h.stride, h.rows(), h.columns());
}

template <std::same_as<float> T>
void swiglu_forward(backend&, in_matrix<backend, T> gates, out_matrix<backend, T> h) {
  dispatch<detail::swiglu_forward_kernel>(gates, h);
}

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
