#pragma once
// Squared distances between a tile of rows and a tile of vectors. A member handles some rows and four vectors. Their
// sums stay in its registers, while columns are loaded into shared memory in transposed order, so that the entries of a
// column that a member needs are consecutive. Squares are added in the order of the columns, as in the reference, for
// every tile size: equal vectors have equal distances.
#include "mql4grec/backend/gpu/primitives/pack.hpp"
#include "mql4grec/backend/gpu/primitives/thread_group.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::gpu::detail {

/// Whether a tile of rows is in shared memory already, from the previous call.
enum class row_tile_state { new_rows, same_rows };

/// `Rows`: rows per member.
template <Real T, int Rows>
class distance_tile {
  static constexpr int side = 16, gap = 4, columns = 32;

 public:
  static constexpr int threads = side * side, rows_each = Rows, codes_each = 4, rows = side * Rows,
                       codes = side * codes_each;
  static constexpr std::size_t shared_bytes() {
    return shared_bytes_of<T>(columns * (rows + gap)) + shared_bytes_of<T>(columns * (codes + gap));
  }

  /// The first row and the first vector of member t within the tile.
  MQL4GREC_HD static int first_row(int t) { return t / side * Rows; }
  MQL4GREC_HD static int first_code(int t) { return t % side * codes_each; }

  struct sums {
    T of[Rows][codes_each];
  };

  template <class ThreadGroup>
  MQL4GREC_HD explicit distance_tile(ThreadGroup& group)
      : x_(group.template share<T>(columns * (rows + gap))), v_(group.template share<T>(columns * (codes + gap))) {}

  /// distances[t] = the distances of member t's rows of x (the tile begins at row `first`) to its vectors (the tile
  /// begins at `code`). Entries beyond the last row or vector are unspecified. With row_tile_state::same_rows, x
  /// and `first` must be those of the previous call.
  template <class ThreadGroup, class X, class V>
  MQL4GREC_HD void compute(ThreadGroup& group, X const& x, index_t first, V const& vectors, index_t code,
                           row_tile_state state, typename ThreadGroup::template local<sums>& distances) const {
    int const width = static_cast<int>(x.columns());
    int const rows_here = at_most(x.rows() - first, rows), codes_here = at_most(vectors.rows() - code, codes);
    group.each([&](int t) { distances[t] = {}; });
    for (int column = 0; column < width; column += columns) {
      int const count = width - column < columns ? width - column : columns;
      group.each([&](int t) {
        if (state == row_tile_state::new_rows || width > columns)
          load_transposed(x.row(first).data + column, x.stride, rows_here, count, t, x_, rows + gap);
        load_transposed(vectors.row(code).data + column, vectors.stride, codes_here, count, t, v_, codes + gap);
      });
      group.each([&](int t) {
        if (first_row(t) < rows_here && first_code(t) < codes_here) add_squares(count, t, distances[t]);
      });
    }
  }

 private:
  MQL4GREC_HD static int at_most(index_t n, int limit) { return n < limit ? static_cast<int>(n) : limit; }

  /// A member's share of copying (n, count) entries in transposed order.
  MQL4GREC_HD static void load_transposed(T const* from, index_t stride, int n, int count, int t, T* to,
                                          int to_stride) {
    int const j = t % columns;
    if (j >= count) return;
    for (int i = t / columns; i < n; i += threads / columns) to[j * to_stride + i] = from[i * stride + j];
  }
  MQL4GREC_HD void add_squares(int count, int t, sums& distances) const {
    sums s = distances;
    T const *x = x_ + first_row(t), *v = v_ + first_code(t);
    for (int j = 0; j < count; ++j, x += rows + gap, v += codes + gap) {
      auto const a = load<Rows>(x);
      auto const b = load<codes_each>(v);
      for (int i = 0; i < Rows; ++i)
        for (int k = 0; k < codes_each; ++k) {
          T const difference = a.at[i] - b.at[k];
          s.of[i][k] += difference * difference;
        }
    }
    distances = s;
  }

  T *x_, *v_;
};

}  // namespace mql4grec::gpu::detail
