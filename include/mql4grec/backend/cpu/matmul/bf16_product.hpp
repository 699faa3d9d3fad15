#pragma once
// Matrix products of factors rounded to bfloat16, in cache-sized blocks. The right factor is packed for a range of the
// inner dimension and of c's columns; this block stays in the second-level cache. Then blocks of the left factor's rows
// are packed and multiplied by its panels one by one; a panel stays in the first-level cache.
#include <algorithm>

#include "mql4grec/backend/cpu/matmul/weight_panels.hpp"
#include "mql4grec/backend/cpu/primitives/bf16_tile.hpp"
#include "mql4grec/backend/cpu/runtime/backend.hpp"

namespace mql4grec::cpu::detail {

/// A copy of x in the scratch, rounded to bfloat16.
inline in_matrix<backend, float> rounded_to_bf16(backend& b, in_matrix<backend, float> x) {
  auto const y = take<float>(b, x.rows(), x.columns());
  for (index_t i = 0; i < x.rows(); ++i) dispatch<round_to_bf16_kernel>(x.row(i).data, x.columns(), y.row(i).data);
  return y;
}

/// The dimension of a factor's memory along which a product sums.
enum class inner_dimension { rows, columns };

/// y = x rounded to bfloat16, in two bytes an entry. y may have one more row or column than x; it becomes 0.
inline void store_as_bf16(in_matrix<backend, float> x, out_matrix<backend, std::uint16_t> y) {
  for (index_t i = 0; i < x.rows(); ++i) {
    dispatch<store_bf16_kernel>(x.row(i).data, x.columns(), y.row(i).data);
    if (x.columns() < y.columns()) y(i, x.columns()) = 0;
  }
  if (x.rows() < y.rows()) std::fill_n(y.row(x.rows()).data, y.columns(), std::uint16_t{0});
}

/// The next even number.
constexpr index_t even(index_t n) { return (n + 1) / 2 * 2; }

/// A copy of x in the scratch, rounded to bfloat16, in two bytes an entry. If the inner dimension is odd, a row or
/// column of 0 is appended: oneDNN would multiply an infinity at the end by another 0 of its own.
inline in_matrix<backend, std::uint16_t> stored_as_bf16(backend& b, in_matrix<backend, float> x,
                                                        inner_dimension along) {
  bool const rows = along == inner_dimension::rows;
  auto const y = take<std::uint16_t>(b, rows ? even(x.rows()) : x.rows(), rows ? x.columns() : even(x.columns()));
  store_as_bf16(x, y);
  return y;
}

#if defined(__x86_64__) && defined(__GNUC__)
inline constexpr index_t bf16_panel = 4 * lanes;  ///< columns of a panel

constexpr index_t pairs_of(index_t inner) { return (inner + 1) / 2; }

/// Computes all rows of Packs·16 columns of c.
template <int Packs>
void bf16_columns(bf16_factor a, bf16_pair const* b, index_t pairs, bf16_result c, std::uint16_t last, index_t m) {
  constexpr int max_rows = 6;
  index_t i = 0;
  auto const rows = [&]<int Rows>() {
    bf16_tile<Rows, Packs>({a.data + i * a.row_stride, a.row_stride, a.pair_stride}, b, pairs,
                           {c.data + i * c.stride, c.stride, c.alpha, c.accumulate}, last);
    i += Rows;
  };
  while (i + max_rows <= m) rows.template operator()<max_rows>();
  if (i + 4 <= m) rows.template operator()<4>();
  if (i + 2 <= m) rows.template operator()<2>();
  if (i < m) rows.template operator()<1>();
}

/// c (m, n) = alpha · a (m, pairs) · panels [+ c]. Panels of 64 columns, (pairs, 64) each, are stored one after
/// another.
inline void bf16_panels(bf16_factor a, bf16_pair const* panels, index_t pairs, bf16_result c, index_t m, index_t n) {
  for (index_t j = 0; j < n; j += bf16_panel, panels += pairs * bf16_panel, c.data += bf16_panel) {
    index_t const columns = std::min(bf16_panel, n - j), packs = (columns + lanes - 1) / lanes;
    std::uint16_t const last = lanes_below(columns - (packs - 1) * lanes);
    switch (packs) {
      case 1: bf16_columns<1>(a, panels, pairs, c, last, m); break;
      case 2: bf16_columns<2>(a, panels, pairs, c, last, m); break;
      case 3: bf16_columns<3>(a, panels, pairs, c, last, m); break;
      default: bf16_columns<4>(a, panels, pairs, c, last, m);
    }
  }
}

/// The maximum number of pairs that `pack_left` writes.
constexpr index_t left_size(index_t rows, index_t inner) { return (rows + lanes) * (pairs_of(inner) + 2 * lanes); }

/// op(x) (rows, inner) in pairs, as a tile's left factor.
inline bf16_factor pack_left(product_factor const& of, index_t rows, index_t inner, bf16_pair* y) {
  auto const& x = of.x;
  if (of.transposed) {  // rows of x can be paired without transposition
    index_t const row_size = (rows + lanes - 1) / lanes * lanes;
    pack_rows_bf16(x.data, x.stride, inner, rows, y, row_size, bf16_panel);
    return {y, 1, row_size};
  }
  index_t const row_size = (pairs_of(inner) + lanes - 1) / lanes * lanes +
                           lanes;  // not a power of two, for which all rows would share a cache set
  pack_pairs_bf16(x.data, x.stride, inner, rows, y, row_size);
  return {y, row_size, 1};
}

/// op(x) (inner, n) in panels.
inline void pack_right(product_factor const& of, index_t inner, index_t n, bf16_pair* y) {
  index_t const panel_size = pairs_of(inner) * bf16_panel;
  auto const& x = of.x;
  if (!of.transposed) return pack_rows_bf16(x.data, x.stride, inner, n, y, bf16_panel, panel_size);
  for (index_t j = 0; j < n; j += lanes)
    pack_transposed_bf16(x.data + j * x.stride, x.stride, inner, std::min(lanes, n - j),
                         y + j / bf16_panel * panel_size + j % bf16_panel, bf16_panel);
}

/// c = [c +] alpha · op(a) · op(b) with factors rounded to bfloat16. Requires has_fast_bf16() and an inner dimension
/// above 0.
inline void bf16_product(backend& where, in_matrix<backend, float> a, in_matrix<backend, float> b,
                         out_matrix<backend, float> c, product how) {
  constexpr index_t max_rows = 96, max_inner = 512, max_columns = 1024;
  scratch_scope<backend> const scope(where.scratch());
  index_t const m = c.rows(), n = c.columns(), k = how.transpose_a ? a.rows() : a.columns();
  index_t const inner = std::min(k, max_inner),
                columns = (std::min(n, max_columns) + bf16_panel - 1) / bf16_panel * bf16_panel;
  product_factor const left_factor{a, how.transpose_a}, right_factor{b, how.transpose_b};
  auto const right = take<bf16_pair>(where, pairs_of(inner) * columns);
  auto const left = take<bf16_pair>(where, left_size(std::min(m, max_rows), inner));
  for (index_t j = 0; j < n; j += max_columns)
    for (index_t p = 0; p < k; p += max_inner) {
      index_t const some_columns = std::min(max_columns, n - j), some_inner = std::min(max_inner, k - p);
      pack_right(right_factor.from(p, j), some_inner, some_columns, right.data);
      for (index_t i = 0; i < m; i += max_rows) {
        index_t const some_rows = std::min(max_rows, m - i);
        auto const factor = pack_left(left_factor.from(i, p), some_rows, some_inner, left.data);
        bf16_panels(factor, right.data, pairs_of(some_inner),
                    {c.row(i).data + j, c.stride, static_cast<float>(how.alpha), how.accumulate || p > 0}, some_rows,
                    some_columns);
      }
    }
}
#endif

}  // namespace mql4grec::cpu::detail
