#pragma once
// Products of bfloat16 with AVX512_BF16. A bfloat16 is the upper half of a float. Two neighbouring entries along the
// inner dimension share a 32-bit word; the instruction adds both of their products to an fp32 sum. Factors are rounded
// to nearest, ties to even, while they are packed. As in the instructions, numbers below 2⁻¹²⁶ are treated as zero;
// infinities and NaN are preserved.
//
// As in small_product.hpp, the target attribute is on the kernels themselves. They contain no lambdas, because g++
// doesn't apply the attribute to lambdas.
#include <bit>
#include <cstdint>

#include "mql4grec/backend/cpu/runtime/dispatch.hpp"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#endif

namespace mql4grec::cpu {

namespace detail {

/// x rounded to bfloat16, returned as a float.
MQL4GREC_INLINE float rounded_to_bf16(float x) {
  std::uint32_t const bits = std::bit_cast<std::uint32_t>(x), magnitude = bits & 0x7fffffffu;
  std::uint32_t const nearest = (bits + 0x7fffu + ((bits >> 16) & 1u)) & 0xffff0000u;
  std::uint32_t const finite = magnitude < 0x00800000u ? bits & 0x80000000u : nearest;
  return std::bit_cast<float>(magnitude > 0x7f800000u ? (bits | 0x00400000u) & 0xffff0000u : finite);
}

struct round_to_bf16_kernel {
  MQL4GREC_INLINE static void run(float const* x, index_t n, float* y) {
    for (index_t i = 0; i < n; ++i) y[i] = rounded_to_bf16(x[i]);
  }
};

/// As above, stored in two bytes.
struct store_bf16_kernel {
  MQL4GREC_INLINE static void run(float const* x, index_t n, std::uint16_t* y) {
    for (index_t i = 0; i < n; ++i)
      y[i] = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(rounded_to_bf16(x[i])) >> 16);
  }
};

#if defined(__x86_64__) && defined(__GNUC__)
#define MQL4GREC_BF16 gnu::target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")

using bf16_pair = std::uint32_t;

/// The left factor of a tile: pair p of row r is at data[r · row_stride + p · pair_stride].
struct bf16_factor {
  bf16_pair const* data;
  index_t row_stride, pair_stride;
};

/// The destination of a tile's sums: c = alpha · sums [+ c].
struct bf16_result {
  float* data;
  index_t stride;
  float alpha;
  bool accumulate;
};

/// A mask of the lowest `count` of 16 lanes; empty for count ≤ 0.
MQL4GREC_INLINE std::uint16_t lanes_below(index_t count) {
  return static_cast<std::uint16_t>(count >= lanes ? 0xffffu : count <= 0 ? 0u : (1u << count) - 1u);
}

/// y (16 pairs) = 16 entries each of two neighbouring p, interleaved.
[[MQL4GREC_BF16]] inline void store_interleaved(__m512 even, __m512 odd, bf16_pair* y) {
  __m512i const order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21,
                                         5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  _mm512_storeu_si512(y, _mm512_permutexvar_epi16(order, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(odd, even))));
}

/// Packs x (inner, n), whose rows are neighbours along the inner dimension: y(p, i) = (x(2p, i), x(2p + 1, i)). Columns
/// are packed into panels of 64; panels are panel_size apart, their rows row_size. Lanes beyond n of the last register
/// become 0.
[[MQL4GREC_BF16]] inline void pack_rows_bf16(float const* x, index_t stride, index_t inner, index_t n, bf16_pair* y,
                                             index_t row_size, index_t panel_size) {
  for (index_t p = 0; p < inner; p += 2, x += 2 * stride, y += row_size)
    for (index_t j = 0; j < n; j += lanes) {
      __mmask16 const even = lanes_below(n - j), odd = p + 1 < inner ? even : static_cast<__mmask16>(0);
      store_interleaved(_mm512_maskz_loadu_ps(even, x + j), _mm512_maskz_loadu_ps(odd, x + stride + j),
                        y + j / (4 * lanes) * panel_size + j % (4 * lanes));
    }
}

/// y (n, row_size) = x (n, inner) in pairs along its rows. The last entry of an odd row is paired with 0.
[[MQL4GREC_BF16]] inline void pack_pairs_bf16(float const* x, index_t stride, index_t inner, index_t n, bf16_pair* y,
                                              index_t row_size) {
  for (index_t i = 0; i < n; ++i, x += stride, y += row_size)
    for (index_t p = 0; p < inner; p += 2 * lanes) {
      __m512 const low = _mm512_maskz_loadu_ps(lanes_below(inner - p), x + p);
      __m512 const high = _mm512_maskz_loadu_ps(lanes_below(inner - p - lanes), x + p + lanes);
      _mm512_mask_storeu_epi32(y + p / 2, lanes_below((inner - p + 1) / 2),
                               reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low)));
    }
}

/// y (pairs, row_size) = the transpose of x (up to 16 rows, inner), in pairs along x's rows, 16 pairs side by side.
/// Rows that x doesn't have are zeros.
[[MQL4GREC_BF16]] inline void pack_transposed_bf16(float const* x, index_t stride, index_t inner, index_t n,
                                                   bf16_pair* y, index_t row_size) {
  for (index_t p = 0; p < inner; p += 2 * lanes, y += lanes * row_size) {
    __m512i r[lanes], s[lanes];
    __mmask16 const low = lanes_below(inner - p), high = lanes_below(inner - p - lanes);
    for (int i = 0; i < lanes; ++i) {
      bool const there = i < n;
      float const* const row = x + (there ? i : 0) * stride + p;
      __m512 const first = _mm512_maskz_loadu_ps(there ? low : static_cast<__mmask16>(0), row);
      __m512 const second = _mm512_maskz_loadu_ps(there ? high : static_cast<__mmask16>(0), row + lanes);
      r[i] = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(second, first));
    }
    // a perfect shuffle of 256 words rotates the bits of each word's index by one; four shuffles transpose the 16 × 16
    // block
    for (int round = 0; round < 4; ++round) {
      __m512i const low_half = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
      __m512i const high_half = _mm512_set_epi32(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8);
      for (int i = 0; i < lanes / 2; ++i) {
        s[2 * i] = _mm512_permutex2var_epi32(r[i], low_half, r[i + lanes / 2]);
        s[2 * i + 1] = _mm512_permutex2var_epi32(r[i], high_half, r[i + lanes / 2]);
      }
      for (int i = 0; i < lanes; ++i) r[i] = s[i];
    }
    index_t const pairs = (inner - p + 1) / 2;
    for (int i = 0; i < lanes; ++i)
      if (i < pairs) _mm512_storeu_si512(y + i * row_size, r[i]);
  }
}

/// Computes Rows × Packs·16 sums of a tile; b (pairs, 64) is a panel. Lanes of the last pack outside `last` are neither
/// read nor written.
template <int Rows, int Packs>
[[MQL4GREC_BF16]] void bf16_tile(bf16_factor a, bf16_pair const* b, index_t pairs, bf16_result c, std::uint16_t last) {
  __m512 sum[Rows][Packs];
  for (int r = 0; r < Rows; ++r)
    for (int j = 0; j < Packs; ++j) {
      sum[r][j] = _mm512_setzero_ps();
      __builtin_prefetch(c.data + r * c.stride + j * lanes, 1);  // c is not in the cache and is needed at the end
    }
  bf16_pair const* at = a.data;
  for (index_t p = 0; p < pairs; ++p, at += a.pair_stride, b += 4 * lanes) {
    __m512bh row[Packs];
    for (int j = 0; j < Packs; ++j) row[j] = reinterpret_cast<__m512bh>(_mm512_loadu_si512(b + j * lanes));
    for (int r = 0; r < Rows; ++r) {
      __m512bh const factor = reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(at[r * a.row_stride])));
      for (int j = 0; j < Packs; ++j) sum[r][j] = _mm512_dpbf16_ps(sum[r][j], factor, row[j]);
    }
  }
  __m512 const alpha = _mm512_set1_ps(c.alpha);
  for (int r = 0; r < Rows; ++r)
    for (int j = 0; j < Packs; ++j) {
      float* const place = c.data + r * c.stride + j * lanes;
      __mmask16 const whole = j + 1 < Packs ? static_cast<__mmask16>(0xffff) : static_cast<__mmask16>(last);
      __m512 const before = c.accumulate ? _mm512_maskz_loadu_ps(whole, place) : _mm512_setzero_ps();
      _mm512_mask_storeu_ps(place, whole, _mm512_fmadd_ps(sum[r][j], alpha, before));
    }
}
#undef MQL4GREC_BF16
#endif

}  // namespace detail

}  // namespace mql4grec::cpu
