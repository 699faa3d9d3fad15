#pragma once
// Products of small matrices: those inside one attention head, and those with packed weights. With tens of rows and
// columns, a library's call overhead equals its work. Sums stay in registers over the whole inner dimension.
//
// The tile uses vector types, because compilers don't keep arrays of plain floats in registers. Their size is that of
// the instruction set's registers: g++ keeps wider ones in memory. A macro defines the tile for each instruction set,
// because g++ lowers vector types to the enclosing function's registers before it inlines: the wrappers of dispatch.hpp
// would have no effect.
#include <algorithm>
#include <cstring>
#include <utility>

#include "mql4grec/backend/cpu/runtime/dispatch.hpp"

namespace mql4grec::cpu {

namespace detail {

/// The left factor (m, k), with any strides, so that it can be a transposed matrix.
struct small_factor {
  float const* data;
  index_t row_stride, column_stride;
};

/// The right factor (k, n); n is a multiple of `lanes`. Columns are in groups of `lanes`: entry (p, j) is at data[p ·
/// stride + j / lanes · group + j % lanes]. For a row-major matrix `group` is `lanes`.
struct small_right_factor {
  float const* data;
  index_t stride, group = lanes;

  /// The place of column j in row 0.
  float const* column(index_t j) const { return data + j / lanes * group + j % lanes; }
};

/// The result (m, n), row-major.
struct small_result {
  float* data;
  index_t stride;
};

/// The sizes of a product: (m, n) = (m, k) · (k, n).
struct small_sizes {
  index_t m, n, k;
};

// Computes Rows × Registers registers of sums: c = a · b, from the first row of a and the first column of b on.
// Operands are references: copies of structs that have just been written are read wider than written, which waits for
// stores.
#define MQL4GREC_UNROLL _Pragma("GCC unroll 8")
#define MQL4GREC_TILE(name, register_bytes, ...)                                                                     \
  template <int Rows, int Registers>                                                                                 \
  __VA_ARGS__ inline void name(small_factor const& a, small_right_factor const& b, small_result const& c, index_t k, \
                               float const* ahead) {                                                                 \
    typedef float reg __attribute__((vector_size(register_bytes)));                                                  \
    constexpr index_t floats = register_bytes / sizeof(float);                                                       \
    reg sum[Rows][Registers];                                                                                        \
    MQL4GREC_UNROLL for (int r = 0; r < Rows; ++r) MQL4GREC_UNROLL for (int j = 0; j < Registers; ++j) sum[r][j] =   \
        reg{};                                                                                                       \
    for (index_t p = 0; p < k; ++p) {                                                                                \
      reg row[Registers];                                                                                            \
      MQL4GREC_UNROLL for (int j = 0; j < Registers; ++j)                                                            \
          std::memcpy(&row[j], b.column(j* floats) + p * b.stride, sizeof(reg));                                     \
      __builtin_prefetch(ahead + p * b.stride);                                                                      \
      MQL4GREC_UNROLL for (int r = 0; r < Rows; ++r) {                                                               \
        float const factor = a.data[r * a.row_stride + p * a.column_stride];                                         \
        MQL4GREC_UNROLL for (int j = 0; j < Registers; ++j) sum[r][j] += factor * row[j];                            \
      }                                                                                                              \
    }                                                                                                                \
    MQL4GREC_UNROLL for (int r = 0; r < Rows; ++r) MQL4GREC_UNROLL for (int j = 0; j < Registers; ++j)               \
        std::memcpy(c.data + r * c.stride + j * floats, &sum[r][j], sizeof(reg));                                    \
  }
MQL4GREC_TILE(tile_baseline, 16)
#if defined(__x86_64__) && defined(__GNUC__)
MQL4GREC_TILE(tile_avx2, 32, __attribute__((target("avx2,fma"))))
MQL4GREC_TILE(tile_avx512, 64, __attribute__((target("avx512f,avx2,fma"))))
#endif
#undef MQL4GREC_TILE
#undef MQL4GREC_UNROLL

/// The tile of an instruction set. `sums` registers are left for sums beside those for a row of b and an entry of a;
/// tiles of more rows than one fits are `registers` wide.
struct baseline_tile {
#if defined(__aarch64__)
  static constexpr int sums = 24;  // 32 registers
#else
  static constexpr int sums = 12;
#endif
  static constexpr int floats = 4, registers = 4;
  template <int Rows, int Registers, class... Args>
  static void run(Args const&... args) {
    tile_baseline<Rows, Registers>(args...);
  }
};
#if defined(__x86_64__) && defined(__GNUC__)
struct avx2_tile {
  static constexpr int floats = 8, sums = 12, registers = 2;
  template <int Rows, int Registers, class... Args>
  static void run(Args const&... args) {
    tile_avx2<Rows, Registers>(args...);
  }
};
struct avx512_tile {
  static constexpr int floats = 16, sums = 24, registers = 4;
  template <int Rows, int Registers, class... Args>
  static void run(Args const&... args) {
    tile_avx512<Rows, Registers>(args...);
  }
};
#endif

/// Computes all rows of Registers · floats columns in tiles of nearly equal height: tiles of few rows have too few
/// sums to hide the latency.
template <class Tile, int Registers, int MaxRows>
void small_product_columns(small_factor a, small_right_factor b, small_result c, small_sizes of) {
  constexpr index_t width = Registers * Tile::floats;
  index_t const tiles = (of.m + MaxRows - 1) / MaxRows;
  index_t const height = tiles == 1 ? of.m : of.m / tiles, higher = of.m - tiles * height;
  for (index_t t = 0; t < tiles; ++t) {
    index_t const rows = t < higher ? height + 1 : height;
    float const* const ahead = b.column(width + t * lanes % width);
    [&]<int... Before>(std::integer_sequence<int, Before...>) {
      (void)((rows == Before + 1 ? (Tile::template run<Before + 1, Registers>(a, b, c, of.k, ahead), true) : false) ||
             ...);
    }
    (std::make_integer_sequence<int, MaxRows>{});
    a.data += rows * a.row_stride;
    c.data += rows * c.stride;
  }
}

template <class Tile>
void small_product_with(small_factor a, small_right_factor b, small_result c, small_sizes of) {
  if (of.m == 0) return;
  index_t j = 0;
  auto const columns = [&]<int Registers>() {
    constexpr int max_rows = std::min(8, Tile::sums / Registers), width = Registers * Tile::floats;
    if (Registers > Tile::registers && of.m > max_rows) return;
    for (; j + width <= of.n; j += width)
      small_product_columns<Tile, Registers, max_rows>(a, {b.column(j), b.stride, b.group}, {c.data + j, c.stride}, of);
  };
  columns.template operator()<8>();
  columns.template operator()<4>();  // narrower ones only where multiples of 16 columns leave such a rest
  if constexpr (Tile::floats == lanes) columns.template operator()<3>();
  if constexpr (2 * Tile::floats >= lanes) columns.template operator()<2>();
  if constexpr (Tile::floats == lanes) columns.template operator()<1>();
}

/// c (m, n) = a (m, k) · b (k, n), overwritten; n is a multiple of `lanes`.
inline void small_product(small_factor a, small_right_factor b, small_result c, small_sizes of) {
#if defined(__x86_64__) && defined(__GNUC__)
  switch (chosen_instruction_set()) {
    case instruction_set::amx:
    case instruction_set::avx512: return small_product_with<avx512_tile>(a, b, c, of);
    case instruction_set::avx2: return small_product_with<avx2_tile>(a, b, c, of);
    case instruction_set::baseline: break;
  }
#endif
  small_product_with<baseline_tile>(a, b, c, of);
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
