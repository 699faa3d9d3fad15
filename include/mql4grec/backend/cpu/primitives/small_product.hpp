#pragma once
// Products of the matrices inside one attention head: with tens of rows and columns, a library's call overhead equals
// its work. Sums stay in registers over the whole inner dimension.
//
// The tile uses vector types, because compilers don't keep arrays of plain floats in registers. A macro defines it for
// each instruction set, because g++ lowers vector types to the enclosing function's registers before it inlines: the
// wrappers of dispatch.hpp would have no effect.
#include <algorithm>
#include <cstring>

#include "mql4grec/backend/cpu/runtime/dispatch.hpp"

namespace mql4grec::cpu {

namespace detail {

/// A matrix (m, k) with any strides, so that it can be a transposed one.
struct small_factor {
  float const* data;
  index_t row_stride, column_stride;
};

typedef float pack __attribute__((vector_size(lanes * sizeof(float))));

// Computes Rows × Packs·16 sums: c = a · b. Packs are separate variables, since arrays of them would be stored in
// memory.
#define MQL4GREC_TILE(name, ...)                                                                                  \
  template <int Rows, int Packs>                                                                                  \
  __VA_ARGS__ inline void name(float const* a, index_t a_row, index_t a_column, float const* b, index_t b_stride, \
                               index_t k, float* c, index_t c_stride) {                                           \
    pack sum[Rows][Packs];                                                                                        \
    for (int r = 0; r < Rows; ++r)                                                                                \
      for (int j = 0; j < Packs; ++j) sum[r][j] = pack{};                                                         \
    for (index_t p = 0; p < k; ++p) {                                                                             \
      pack row[Packs];                                                                                            \
      for (int j = 0; j < Packs; ++j) std::memcpy(&row[j], b + p * b_stride + j * lanes, sizeof(pack));           \
      for (int r = 0; r < Rows; ++r) {                                                                            \
        float const factor = a[r * a_row + p * a_column];                                                         \
        for (int j = 0; j < Packs; ++j) sum[r][j] += factor * row[j];                                             \
      }                                                                                                           \
    }                                                                                                             \
    for (int r = 0; r < Rows; ++r)                                                                                \
      for (int j = 0; j < Packs; ++j) std::memcpy(c + r * c_stride + j * lanes, &sum[r][j], sizeof(pack));        \
  }
MQL4GREC_TILE(tile_baseline)
#if defined(__x86_64__) && defined(__GNUC__)
MQL4GREC_TILE(tile_avx2, __attribute__((target("avx2,fma"))))
MQL4GREC_TILE(tile_avx512, __attribute__((target("avx512f,avx2,fma"))))
#endif
#undef MQL4GREC_TILE

/// The tile of an instruction set, and how many sums of one pack its registers hold besides a row of b.
struct baseline_tile {
  static constexpr int sums = 2;
  template <int Rows, int Packs, class... Args>
  static void run(Args... args) {
    tile_baseline<Rows, Packs>(args...);
  }
};
#if defined(__x86_64__) && defined(__GNUC__)
struct avx2_tile {
  static constexpr int sums = 4;
  template <int Rows, int Packs, class... Args>
  static void run(Args... args) {
    tile_avx2<Rows, Packs>(args...);
  }
};
struct avx512_tile {
  static constexpr int sums = 24;
  template <int Rows, int Packs, class... Args>
  static void run(Args... args) {
    tile_avx512<Rows, Packs>(args...);
  }
};
#endif

/// Computes all rows of Packs·16 columns, as many rows at a time as registers allow: independent sums hide the latency.
template <class Tile, int Packs>
void small_product_columns(small_factor a, float const* b, index_t b_stride, float* c, index_t c_stride, index_t m,
                           index_t k) {
  constexpr int max_rows = std::min(8, Tile::sums / Packs);
  index_t i = 0;
  auto const rows = [&]<int Rows>() {
    Tile::template run<Rows, Packs>(a.data + i * a.row_stride, a.row_stride, a.column_stride, b, b_stride, k,
                                    c + i * c_stride, c_stride);
    i += Rows;
  };
  while (i + max_rows <= m) rows.template operator()<max_rows>();
  if constexpr (max_rows > 4)
    if (i + 4 <= m) rows.template operator()<4>();
  if constexpr (max_rows > 2)
    while (i + 2 <= m) rows.template operator()<2>();
  while (i < m) rows.template operator()<1>();
}

template <class Tile>
void small_product_with(small_factor a, float const* b, index_t b_stride, float* c, index_t c_stride, index_t m,
                        index_t n, index_t k) {
  index_t j = 0;
  auto const columns = [&]<int Packs>() {
    small_product_columns<Tile, Packs>(a, b + j, b_stride, c + j, c_stride, m, k);
    j += Packs * lanes;
  };
  if constexpr (Tile::sums > 4) {
    while (j + 4 * lanes <= n) columns.template operator()<4>();
    if (j + 3 * lanes <= n) columns.template operator()<3>();
    if (j + 2 * lanes <= n) columns.template operator()<2>();
  }
  while (j < n) columns.template operator()<1>();
}

/// c (m, n) = a (m, k) · b (k, n), overwritten; n is a multiple of `lanes`.
inline void small_product(small_factor a, float const* b, index_t b_stride, float* c, index_t c_stride, index_t m,
                          index_t n, index_t k) {
#if defined(__x86_64__) && defined(__GNUC__)
  switch (chosen_instruction_set()) {
    case instruction_set::avx512: return small_product_with<avx512_tile>(a, b, b_stride, c, c_stride, m, n, k);
    case instruction_set::avx2: return small_product_with<avx2_tile>(a, b, b_stride, c, c_stride, m, n, k);
    case instruction_set::baseline: break;
  }
#endif
  small_product_with<baseline_tile>(a, b, b_stride, c, c_stride, m, n, k);
}

/// The next multiple of `lanes`.
constexpr index_t padded(index_t n) { return (n + lanes - 1) / lanes * lanes; }

/// y (columns, y_stride) = xᵀ of x (rows, columns), in 4 × 4 blocks. y's columns from `rows` to the next multiple of
/// `lanes` become 0. `columns` must be a multiple of 4.
inline void transpose(float const* x, index_t x_stride, index_t rows, index_t columns, float* y, index_t y_stride) {
  typedef float quad __attribute__((vector_size(16)));
  index_t i = 0;
  for (; i + 4 <= rows; i += 4)
    for (index_t j = 0; j < columns; j += 4) {
      quad r[4];
      for (int q = 0; q < 4; ++q) std::memcpy(&r[q], x + (i + q) * x_stride + j, sizeof r[q]);
      quad const a = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5),
                 b = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7);
      quad const c = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5),
                 d = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
      r[0] = __builtin_shufflevector(a, c, 0, 1, 4, 5);
      r[1] = __builtin_shufflevector(a, c, 2, 3, 6, 7);
      r[2] = __builtin_shufflevector(b, d, 0, 1, 4, 5);
      r[3] = __builtin_shufflevector(b, d, 2, 3, 6, 7);
      for (int q = 0; q < 4; ++q) std::memcpy(y + (j + q) * y_stride + i, &r[q], sizeof r[q]);
    }
  for (index_t j = 0; j < columns; ++j) {
    for (index_t rest = i; rest < rows; ++rest) y[j * y_stride + rest] = x[rest * x_stride + j];
    for (index_t rest = rows; rest < padded(rows); ++rest) y[j * y_stride + rest] = 0.f;
  }
}

}  // namespace detail

}  // namespace mql4grec::cpu
