#pragma once
// Functions for kernels, without branches and library calls, so that loops that use them are vectorized.
#include <bit>
#include <cstdint>

#include "mql4grec/backend/cpu/runtime/dispatch.hpp"

namespace mql4grec::cpu::detail {

/// e^x with a relative error below 2e-7 for −87 ≤ x ≤ 88, clamped outside. x = n·ln 2 + r: a minimax polynomial of
/// degree 6 on |r| ≤ ln 2 / 2 (the Cephes coefficients), times 2ⁿ, which is added to the exponent bits.
MQL4GREC_INLINE float exp_approximate(float x) {
  constexpr float to_integer = 12582912.f;  // 1.5·2²³: adding it rounds to the nearest integer, in the low bits
  x = x < -87.f ? -87.f : x;
  x = x > 88.f ? 88.f : x;
  float const shifted = x * 1.44269504f + to_integer;
  float const n = shifted - to_integer;
  float const r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.f;
  std::uint32_t const exponent = (std::bit_cast<std::uint32_t>(shifted) << 23) + 0x3f800000u;
  return p * std::bit_cast<float>(exponent);
}

/// Adds the lanes as a tree, four additions deep instead of fifteen.
MQL4GREC_INLINE float sum_of_lanes(float (&part)[lanes]) {
  static_assert(lanes == 16);
  float eight[8], four[4];  // of fixed sizes: compilers keep them in registers
  for (index_t l = 0; l < 8; ++l) eight[l] = part[l] + part[l + 8];
  for (index_t l = 0; l < 4; ++l) four[l] = eight[l] + eight[l + 4];
  return (four[0] + four[2]) + (four[1] + four[3]);
}

MQL4GREC_INLINE float highest(float const* x, index_t n) {
  float part[lanes];
  for (index_t l = 0; l < lanes; ++l) part[l] = x[0];
  index_t i = 0;
  for (; i + lanes <= n; i += lanes)
    for (index_t l = 0; l < lanes; ++l) part[l] = x[i + l] > part[l] ? x[i + l] : part[l];
  for (index_t l = 0; i + l < n; ++l) part[l] = x[i + l] > part[l] ? x[i + l] : part[l];
  for (index_t half = lanes / 2; half > 0; half /= 2)
    for (index_t l = 0; l < half; ++l) part[l] = part[l + half] > part[l] ? part[l + half] : part[l];
  return part[0];
}

/// Σ e^(x − shift)
MQL4GREC_INLINE float sum_of_exp(float const* x, index_t n, float shift) {
  float part[lanes] = {};
  index_t i = 0;
  for (; i + lanes <= n; i += lanes)
    for (index_t l = 0; l < lanes; ++l) part[l] += exp_approximate(x[i + l] - shift);
  for (index_t l = 0; i + l < n; ++l) part[l] += exp_approximate(x[i + l] - shift);
  return sum_of_lanes(part);
}

MQL4GREC_INLINE float sum(float const* x, index_t n) {
  float part[lanes] = {};
  index_t i = 0;
  for (; i + lanes <= n; i += lanes)
    for (index_t l = 0; l < lanes; ++l) part[l] += x[i + l];
  for (index_t l = 0; i + l < n; ++l) part[l] += x[i + l];
  return sum_of_lanes(part);
}

MQL4GREC_INLINE float dot(float const* x, float const* y, index_t n) {
  float part[lanes] = {};
  index_t i = 0;
  for (; i + lanes <= n; i += lanes)
    for (index_t l = 0; l < lanes; ++l) part[l] += x[i + l] * y[i + l];
  for (index_t l = 0; i + l < n; ++l) part[l] += x[i + l] * y[i + l];
  return sum_of_lanes(part);
}

/// y += a·x
MQL4GREC_INLINE void add_scaled(float a, float const* x, float* y, index_t n) {
  for (index_t i = 0; i < n; ++i) y[i] += a * x[i];
}

}  // namespace mql4grec::cpu::detail
