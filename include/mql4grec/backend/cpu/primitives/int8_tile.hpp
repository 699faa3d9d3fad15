#pragma once
// Products of 8-bit integers. A row of the left factor has one scale, a column of the right factor another; sums are
// exact 32-bit integers. Four neighbouring entries along the inner dimension share a 32-bit word: the left factor's are
// unsigned (shifted by 128), the right factor's signed, as the instructions require. AVX512_VNNI and AVX-VNNI add four
// products at once; AVX2 adds pairs in 16 bits first, so there the right factor has 7 bits: 2 · 255 · 63 < 2¹⁵.
//
// As in bf16_tile.hpp, the target attribute is on the kernels themselves, and they contain no lambdas.
#include <bit>
#include <cstdint>
#include <cstring>

#include "mql4grec/backend/cpu/runtime/dispatch.hpp"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#endif

namespace mql4grec::cpu {

namespace detail {

/// Rounds a row to bytes: x(p) ≈ scale · (y(p) − 128), with the largest magnitude at ±127. Entries from n to the next
/// multiple of 4 become 128. If an entry is infinite or not a number, so is the scale.
struct quantize_row_kernel {
  MQL4GREC_INLINE static void run(float const* x, index_t n, std::uint8_t* y, float* scale) {
    std::uint32_t part[lanes] = {};  // bits of magnitudes, which are ordered like the magnitudes
    auto const magnitude = [](float v) { return std::bit_cast<std::uint32_t>(v) & 0x7fffffffu; };
    index_t i = 0;
    for (; i + lanes <= n; i += lanes)
      for (index_t l = 0; l < lanes; ++l) part[l] = magnitude(x[i + l]) > part[l] ? magnitude(x[i + l]) : part[l];
    for (index_t l = 0; i + l < n; ++l) part[l] = magnitude(x[i + l]) > part[l] ? magnitude(x[i + l]) : part[l];
    std::uint32_t highest_bits = 0;
    for (index_t l = 0; l < lanes; ++l) highest_bits = part[l] > highest_bits ? part[l] : highest_bits;
    float const highest = std::bit_cast<float>(highest_bits);
    *scale = highest / 127.f;
    float const factor = highest > 1e-30f ? 127.f / highest : 0.f;
    // adding 1.5·2²³ rounds to the nearest integer, in the low bits
    constexpr float to_integer = 12582912.f + 128.f;
    for (index_t p = 0; p < n; ++p)
      y[p] = static_cast<std::uint8_t>(std::bit_cast<std::uint32_t>(x[p] * factor + to_integer));
    for (index_t p = n; p < (n + 3) / 4 * 4; ++p) y[p] = 128;
  }
};

/// The left factor: `rows` of bytes, `stride` bytes apart, with a scale each.
struct int8_left {
  std::uint8_t const* data;
  index_t stride;
  float const* scales;
};

/// A panel of the right factor: (quads, columns of the panel) words, with a scale and 128 · Σ weights a column.
struct int8_panel {
  std::int32_t const* data;
  index_t quads;
  float const* scales;
  std::int32_t const* offsets;
};

/// The result of a tile. Entries of a row from `columns` on aren't written.
struct int8_result {
  float* data;
  index_t stride, columns;
};

#if defined(__x86_64__) && defined(__GNUC__)
/// The columns of a panel: two registers of 8 sums, or four of 16.
constexpr index_t int8_panel_columns(int8_instructions level) {
  return level == int8_instructions::avx512_vnni ? 4 * lanes : lanes;
}

#define MQL4GREC_VNNI gnu::target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")

// Arrays of sums have these types, because g++ keeps arrays of __m512i, whose entries are 64-bit integers, in memory.
typedef std::int32_t int8_sums_512 __attribute__((vector_size(64)));
typedef float floats_512 __attribute__((vector_size(64)));
typedef std::int32_t int8_sums_256 __attribute__((vector_size(32)));

/// Computes Rows × 64 entries of c. Entries from `columns` on aren't written.
template <int Rows>
[[MQL4GREC_VNNI]] void int8_tile_avx512_vnni(int8_left a, int8_panel b, int8_result c) {
  int8_sums_512 sum[Rows][4] = {};
  std::uint8_t const* at = a.data;
  std::int32_t const* word = b.data;
  for (index_t q = 0; q < b.quads; ++q, at += 4, word += 4 * lanes) {
    __m512i row[4];
    for (int j = 0; j < 4; ++j) row[j] = _mm512_loadu_si512(word + j * lanes);
    for (int r = 0; r < Rows; ++r) {
      std::int32_t four;
      std::memcpy(&four, at + r * a.stride, sizeof four);
      __m512i const factor = _mm512_set1_epi32(four);
      for (int j = 0; j < 4; ++j) sum[r][j] = int8_sums_512(_mm512_dpbusd_epi32(__m512i(sum[r][j]), factor, row[j]));
    }
  }
  for (int r = 0; r < Rows; ++r) {
    __m512 const row_scale = _mm512_set1_ps(a.scales[r]);
    for (int j = 0; j < 4; ++j) {
      index_t const left = c.columns - j * lanes;
      auto const written = static_cast<__mmask16>(left >= lanes ? 0xffff : left <= 0 ? 0 : (1 << left) - 1);
      int8_sums_512 const whole = sum[r][j] - int8_sums_512(_mm512_loadu_si512(b.offsets + j * lanes));
      __m512 const value = __m512(__builtin_convertvector(whole, floats_512));
      _mm512_mask_storeu_ps(c.data + r * c.stride + j * lanes, written,
                            _mm512_mul_ps(value, _mm512_mul_ps(_mm512_loadu_ps(b.scales + j * lanes), row_scale)));
    }
  }
}
#undef MQL4GREC_VNNI

// The tiles of 256 bits differ in how they add four products. Computes Rows × 16 entries of c. Entries from `columns`
// on aren't written.
#define MQL4GREC_INT8_TILE(name, features, ADD)                                                             \
  template <int Rows>                                                                                       \
  [[gnu::target(features)]] void name(int8_left a, int8_panel b, int8_result c) {                           \
    int8_sums_256 sum[Rows][2] = {};                                                                        \
    std::uint8_t const* at = a.data;                                                                        \
    std::int32_t const* word = b.data;                                                                      \
    for (index_t q = 0; q < b.quads; ++q, at += 4, word += lanes) {                                         \
      __m256i const row[2] = {_mm256_loadu_si256(reinterpret_cast<__m256i const*>(word)),                   \
                              _mm256_loadu_si256(reinterpret_cast<__m256i const*>(word + lanes / 2))};      \
      for (int r = 0; r < Rows; ++r) {                                                                      \
        std::int32_t four;                                                                                  \
        std::memcpy(&four, at + r * a.stride, sizeof four);                                                 \
        __m256i const factor = _mm256_set1_epi32(four);                                                     \
        for (int j = 0; j < 2; ++j) sum[r][j] = int8_sums_256(ADD(__m256i(sum[r][j]), factor, row[j]));     \
      }                                                                                                     \
    }                                                                                                       \
    float values[lanes];                                                                                    \
    for (int r = 0; r < Rows; ++r) {                                                                        \
      __m256 const row_scale = _mm256_set1_ps(a.scales[r]);                                                 \
      for (int j = 0; j < 2; ++j) {                                                                         \
        index_t const first = j * lanes / 2;                                                                \
        __m256i const offset = _mm256_loadu_si256(reinterpret_cast<__m256i const*>(b.offsets + first));     \
        __m256 const whole = _mm256_cvtepi32_ps(_mm256_sub_epi32(__m256i(sum[r][j]), offset));              \
        __m256 const y = _mm256_mul_ps(whole, _mm256_mul_ps(_mm256_loadu_ps(b.scales + first), row_scale)); \
        _mm256_storeu_ps(c.columns >= lanes ? c.data + r * c.stride + first : values + first, y);           \
      }                                                                                                     \
      if (c.columns < lanes)                                                                                \
        std::memcpy(c.data + r * c.stride, values, static_cast<std::size_t>(c.columns) * sizeof(float));    \
    }                                                                                                       \
  }
#define MQL4GREC_ADD_PAIRS(sum, a, b) \
  _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), _mm256_set1_epi16(1)))
MQL4GREC_INT8_TILE(int8_tile_avx2, "avx2,fma", MQL4GREC_ADD_PAIRS)
MQL4GREC_INT8_TILE(int8_tile_avx_vnni, "avx2,fma,avxvnni", _mm256_dpbusd_avx_epi32)
#undef MQL4GREC_ADD_PAIRS
#undef MQL4GREC_INT8_TILE

/// The tile of each level.
template <int8_instructions Level, int Rows>
void int8_tile(int8_left a, int8_panel b, int8_result c) {
  if constexpr (Level == int8_instructions::avx512_vnni)
    int8_tile_avx512_vnni<Rows>(a, b, c);
  else if constexpr (Level == int8_instructions::avx_vnni)
    int8_tile_avx_vnni<Rows>(a, b, c);
  else
    int8_tile_avx2<Rows>(a, b, c);
}

/// c (m, columns) = a · b for all rows, as many at a time as registers allow.
template <int8_instructions Level>
void int8_columns(int8_left a, int8_panel b, int8_result c, index_t m) {
  constexpr int max_rows = Level == int8_instructions::avx2 ? 4 : 6;  // avx2 needs two more registers
  index_t i = 0;
  auto const rows = [&]<int Rows>() {
    int8_tile<Level, Rows>({a.data + i * a.stride, a.stride, a.scales + i}, b,
                           {c.data + i * c.stride, c.stride, c.columns});
    i += Rows;
  };
  while (i + max_rows <= m) rows.template operator()<max_rows>();
  if (i + 4 <= m) rows.template operator()<4>();
  if (i + 2 <= m) rows.template operator()<2>();
  if (i < m) rows.template operator()<1>();
}
#endif

}  // namespace detail

}  // namespace mql4grec::cpu
