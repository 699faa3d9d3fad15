#pragma once
// Dropout for float. Sixteen Philox counters, computed together, provide the mask of 128 columns; see
// backend/contract/dropout.hpp for the layout.
#include <cstdint>

#include "mql4grec/backend/cpu/operations.hpp"
#include "mql4grec/backend/cpu/primitives/math.hpp"

namespace mql4grec::cpu {

namespace detail {

inline constexpr index_t mask_columns = 128;

/// The factors of the 128 columns of a block: 0 or `scale`.
MQL4GREC_INLINE void draw_mask(dropout const& site, index_t row, index_t block, float scale,
                               float (&mask)[mask_columns]) {
  std::uint32_t c0[lanes], c1[lanes], c2[lanes], c3[lanes];
  std::uint32_t const step = site.current_step();
  for (index_t l = 0; l < lanes; ++l) {
    c0[l] = static_cast<std::uint32_t>(block * lanes + l);
    c1[l] = static_cast<std::uint32_t>(site.first_row + row);
    c2[l] = site.site;
    c3[l] = step;
  }
  philox_key k = key_of(site.seed);
  for (int round = 0; round < 7; ++round) {
    for (index_t l = 0; l < lanes; ++l) {
      std::uint64_t const p0 = std::uint64_t{0xD2511F53u} * c0[l];
      std::uint64_t const p1 = std::uint64_t{0xCD9E8D57u} * c2[l];
      c0[l] = static_cast<std::uint32_t>(p1 >> 32) ^ c1[l] ^ k[0];
      c1[l] = static_cast<std::uint32_t>(p1);
      c2[l] = static_cast<std::uint32_t>(p0 >> 32) ^ c3[l] ^ k[1];
      c3[l] = static_cast<std::uint32_t>(p0);
    }
    k[0] += 0x9E3779B9u;
    k[1] += 0xBB67AE85u;
  }
  std::uint32_t const threshold = site.threshold();
  for (index_t l = 0; l < lanes; ++l) {
    mask[l] = (c0[l] & 0xffffu) >= threshold ? scale : 0.f;
    mask[lanes + l] = (c0[l] >> 16) >= threshold ? scale : 0.f;
    mask[2 * lanes + l] = (c1[l] & 0xffffu) >= threshold ? scale : 0.f;
    mask[3 * lanes + l] = (c1[l] >> 16) >= threshold ? scale : 0.f;
    mask[4 * lanes + l] = (c2[l] & 0xffffu) >= threshold ? scale : 0.f;
    mask[5 * lanes + l] = (c2[l] >> 16) >= threshold ? scale : 0.f;
    mask[6 * lanes + l] = (c3[l] & 0xffffu) >= threshold ? scale : 0.f;
    mask[7 * lanes + l] = (c3[l] >> 16) >= threshold ? scale : 0.f;
  }
}

/// y = base + mask ∘ x; `base` may be null, y may be x. Takes pointers instead of views, with which g++ 12 needs twice
/// the time.
struct dropout_kernel {
  MQL4GREC_INLINE static void run(dropout site, float const* base, index_t base_stride, float const* x,
                                  index_t x_stride, float* y, index_t y_stride, index_t rows, index_t d) {
    float const scale = static_cast<float>(site.scale());
    float mask[mask_columns];
    for (index_t i = 0; i < rows; ++i, x += x_stride, y += y_stride)
      for (index_t first = 0; first < d; first += mask_columns) {
        draw_mask(site, i, first / mask_columns, scale, mask);
        index_t const n = d - first < mask_columns ? d - first : mask_columns;
        if (base) {
          float const* const in = base + i * base_stride + first;
          for (index_t j = 0; j < n; ++j) y[first + j] = in[j] + x[first + j] * mask[j];
        } else {
          for (index_t j = 0; j < n; ++j) y[first + j] = x[first + j] * mask[j];
        }
      }
  }
};

/// y += x, without dropout.
struct add_kernel {
  MQL4GREC_INLINE static void run(float const* x, index_t x_stride, float* y, index_t y_stride, index_t rows,
                                  index_t d) {
    for (index_t i = 0; i < rows; ++i)
      for (index_t j = 0; j < d; ++j) y[i * y_stride + j] += x[i * x_stride + j];
  }
};

}  // namespace detail

template <std::same_as<float> T>
void dropout_apply(backend&, dropout site, out_matrix<backend, T> x) {
  if (site.active())
    dispatch<detail::dropout_kernel>(site, static_cast<float const*>(nullptr), index_t{0},
                                     static_cast<float const*>(x.data), x.stride, x.data, x.stride, x.rows(),
                                     x.columns());
}

template <std::same_as<float> T>
void dropout_add(backend&, dropout site, in_matrix<backend, T> x, out_matrix<backend, T> y) {
  if (site.active())
    dispatch<detail::dropout_kernel>(site, x.data, x.stride, static_cast<float const*>(y.data), y.stride, y.data,
                                     y.stride, x.rows(), x.columns());
  else
    dispatch<detail::add_kernel>(x.data, x.stride, y.data, y.stride, x.rows(), x.columns());
}

template <std::same_as<float> T>
void dropout_copy(backend& b, dropout site, in_matrix<backend, T> x, out_matrix<backend, T> y) {
  if (site.active())
    dispatch<detail::dropout_kernel>(site, static_cast<float const*>(nullptr), index_t{0}, x.data, x.stride, y.data,
                                     y.stride, x.rows(), x.columns());
  else
    reference::dropout_copy<T>(b, site, x, y);
}

}  // namespace mql4grec::cpu
