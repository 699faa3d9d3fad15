#pragma once
// The building blocks of attention's kernels: tiles of a head's rows in shared memory, and the three matrix products of
// such tiles. Each member of a thread group holds some entries of a product in registers. Rows in shared memory are
// padded so that members that read neighbouring rows don't conflict in a bank.
#include <cstdint>
#include <type_traits>

#include "mql4grec/backend/gpu/primitives/thread_group.hpp"
#include "mql4grec/backend/gpu/primitives/unrolled.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::gpu::detail {

/// Four consecutive entries of a row, moved by one instruction.
template <Real T>
struct alignas(16) quad {
  T of[4];
};

/// The tile of (query, key) pairs that a group processes at a time, eight pairs per thread. Sequences with few queries,
/// such as a decoder's in training, use tiles of one warp each, which needs no synchronization with other warps.
template <int Threads>
struct attention_tile {
  static constexpr int threads = Threads;
  static constexpr int queries = Threads / 4, keys = 32;
  static constexpr int columns = 64;  ///< of a head in shared memory at a time
  /// Rows that a product processes at a time, four columns per thread.
  static constexpr int rows_at_once = Threads / 16;

  /// The number of entries from `first` to the end of n, at most `limit`.
  MQL4GREC_HD static int part(int n, int first, int limit) { return n - first < limit ? n - first : limit; }
};
using wide_tile = attention_tile<128>;
using narrow_tile = attention_tile<32>;

/// Whether these sequences use narrow tiles. Affects speed only, and depends only on sizes that the host has.
constexpr bool is_narrow(index_t sequences, index_t queries) { return queries <= sequences * narrow_tile::queries; }

/// Calls task(tile) with the type of tile for these sizes.
template <class Task>
void with_tiles_for(index_t sequences, index_t queries, Task&& task) {
  is_narrow(sequences, queries) ? task(narrow_tile()) : task(wide_tile());
}

/// The columns of one head in the rows of a sequence.
template <class T>
struct head_rows {
  T* first;
  int stride;

  template <class M>
  MQL4GREC_HD head_rows(M const& x, index_t row, index_t column)
      : first(x.data + row * x.stride + column), stride(static_cast<int>(x.stride)) {}
  MQL4GREC_HD T* at(int row, int column) const { return first + (static_cast<index_t>(row) * stride + column); }
  /// Whether its rows are 16-byte aligned, so that quads can be moved.
  MQL4GREC_HD bool is_aligned() const {
    return (reinterpret_cast<std::uintptr_t>(first) | static_cast<unsigned>(stride) * sizeof(T)) % 16 == 0;
  }
};

/// Up to `Rows` rows of a head in shared memory, stored as quads.
template <Real T, class Tile, int Rows>
class row_tile {
  static constexpr int quads = Tile::columns / 4, stride = quads + 1;

 public:
  static constexpr std::size_t shared_bytes() { return shared_bytes_of<quad<T>>(Rows * stride); }
  template <class ThreadGroup>
  MQL4GREC_HD explicit row_tile(ThreadGroup& group) : entries_(group.template share<quad<T>>(Rows * stride)) {}

  MQL4GREC_HD quad<T> const& operator()(int row, int quad_index) const { return entries_[row * stride + quad_index]; }

  /// Member t's share of copying (rows, columns) entries, from row `first` and column `column` on. Fills with zeros up
  /// to a multiple of 8 rows and of 4 columns.
  template <class ThreadGroup>
  MQL4GREC_HD void load(int t, head_rows<T const> const& from, int first, int rows, int column, int columns) const {
    int const filled = (rows + 7) / 8 * 8;
    if (from.is_aligned() && columns % 4 == 0)
      load_quads<ThreadGroup>(t, from, first, rows, column, columns, filled);
    else
      load_entries<ThreadGroup>(t, from, first, rows, column, columns, filled);
  }

 private:
  template <class ThreadGroup>
  MQL4GREC_HD void load_quads(int t, head_rows<T const> const& from, int first, int rows, int column, int columns,
                              int filled) const {
    constexpr int at_once = 16 / static_cast<int>(sizeof(T));
    int const quad_index = t % quads;
    if (4 * quad_index >= columns) return;
    constexpr int rows_at_once = Tile::threads / quads;
    T const* const from_row = from.at(first + t / quads, column + 4 * quad_index);
    int const step = rows_at_once * from.stride;
    unrolled<Rows / rows_at_once>([&](auto n) {
      int const row = t / quads + n * rows_at_once;
      quad<T>& to = entries_[row * stride + quad_index];
      if (row < rows)
        for (int e = 0; e < 4; e += at_once) ThreadGroup::template copy_async<16>(from_row + n * step + e, to.of + e);
      else if (row < filled)
        to = {};
    });
  }
  template <class ThreadGroup>
  MQL4GREC_HD void load_entries(int t, head_rows<T const> const& from, int first, int rows, int column, int columns,
                                int filled) const {
    int const width = (columns + 3) / 4 * 4;
#if defined(__CUDA_ARCH__)
#pragma unroll 1
#endif
    for (int n = t; n < filled * Tile::columns; n += Tile::threads) {
      int const row = n / Tile::columns, j = n % Tile::columns;
      if (j >= width) continue;
      T* const to = entries_[row * stride + j / 4].of + j % 4;
      if (row < rows && j < columns)
        ThreadGroup::template copy_async<sizeof(T)>(from.at(first + row, column + j), to);
      else
        *to = T{};
    }
  }

  quad<T>* entries_;
};

/// Member t's entries of a tile of scores: two queries (t / 8, and the one half a tile later), and for each of them
/// every eighth key from t % 8 on. Eight neighbouring members share a query.
template <Real T, class Tile>
struct tile_scores {
  static constexpr int queries = 2, keys = 4, sharers = 8;
  static_assert(queries * Tile::threads / sharers == Tile::queries && keys * sharers == Tile::keys);
  T of[queries][keys];

  MQL4GREC_HD static int query(int t, int a) { return t / sharers + Tile::threads / sharers * a; }
  MQL4GREC_HD static int key(int t, int b) { return t % sharers + sharers * b; }
};

/// A (queries, keys) table in shared memory: one number per pair of the tile.
template <Real T, class Tile>
class pair_tile {
  static constexpr int stride = Tile::keys + 8;

 public:
  static constexpr std::size_t shared_bytes() { return shared_bytes_of<T>(Tile::queries * stride); }
  template <class ThreadGroup>
  MQL4GREC_HD explicit pair_tile(ThreadGroup& group) : entries_(group.template share<T>(Tile::queries * stride)) {}

  MQL4GREC_HD T& operator()(int query, int key) const { return entries_[query * stride + key]; }
  MQL4GREC_HD quad<T> const& keys_of(int query, int quad_index) const {
    return *reinterpret_cast<quad<T> const*>(entries_ + query * stride + 4 * quad_index);
  }

 private:
  T* entries_;
};

// ---- products ----
// The number of rows per member is a compile-time constant, so that they stay in registers. Loops of unknown length are
// unrolled little: other groups hide the latency of loads better than a longer loop body would, and the instruction
// cache is limited.

template <int Queries, int Keys, Real T, class Tile>
MQL4GREC_HD void add_some_dots(row_tile<T, Tile, Tile::queries> const& x, row_tile<T, Tile, Tile::keys> const& y,
                               int quad_count, int t, tile_scores<T, Tile>& scores) {
  using of_tile = tile_scores<T, Tile>;
  int const i = of_tile::query(t, 0), j = of_tile::key(t, 0);
  of_tile sums = scores;
#if defined(__CUDA_ARCH__)
#pragma unroll 1
#endif
  for (int g = 0; g < quad_count; ++g) {
    quad<T> of_query[Queries], of_key[Keys];
    unrolled<Queries>([&](auto a) { of_query[a] = x(i + of_tile::query(0, a), g); });
    unrolled<Keys>([&](auto b) { of_key[b] = y(j + of_tile::key(0, b), g); });
    unrolled<Queries>([&](auto a) {
      unrolled<Keys>(
          [&](auto b) { unrolled<4>([&](auto e) { sums.of[a][b] += of_query[a].of[e] * of_key[b].of[e]; }); });
    });
  }
  scores = sums;
}
template <int Queries, Real T, class Tile>
MQL4GREC_HD void add_dots_of_keys(row_tile<T, Tile, Tile::queries> const& x, row_tile<T, Tile, Tile::keys> const& y,
                                  int keys, int quad_count, int t, tile_scores<T, Tile>& scores) {
  if (keys <= 8)
    add_some_dots<Queries, 1>(x, y, quad_count, t, scores);
  else if (keys <= 16)
    add_some_dots<Queries, 2>(x, y, quad_count, t, scores);
  else if (keys <= 24)
    add_some_dots<Queries, 3>(x, y, quad_count, t, scores);
  else
    add_some_dots<Queries, 4>(x, y, quad_count, t, scores);
}
/// scores (queries, keys) += x (queries, columns) · yᵀ (keys, columns): member t's entries. Entries outside the given
/// sizes are unspecified.
template <Real T, class Tile>
MQL4GREC_HD void add_dots(row_tile<T, Tile, Tile::queries> const& x, row_tile<T, Tile, Tile::keys> const& y,
                          int queries, int keys, int columns, int t, tile_scores<T, Tile>& scores) {
  int const quad_count = (columns + 3) / 4, filled = (queries + 7) / 8 * 8;
  if (scores.query(t, 1) < filled)
    add_dots_of_keys<2>(x, y, keys, quad_count, t, scores);
  else if (scores.query(t, 0) < filled)
    add_dots_of_keys<1>(x, y, keys, quad_count, t, scores);
}

/// What a product does to its destination.
enum class output_mode { overwrite, accumulate };

/// The destination of a product: a tile's rows of a head.
template <Real T, class Tile>
struct product_output {
  head_rows<T> to;
  int rows, column, columns;
  output_mode mode;

  /// Writes a member's sums: four rows, `apart` rows from each other, of four columns.
  MQL4GREC_HD void store(int row, int apart, int quad_index, quad<T> (&sums)[4]) const {
    if (to.is_aligned() && columns % 4 == 0)
      store_quads(row, apart, quad_index, sums);
    else
      store_entries(row, apart, quad_index, sums);
  }
  /// Member t's share of writing zeros.
  MQL4GREC_HD void clear(int t) const {
#if defined(__CUDA_ARCH__)
#pragma unroll 1
#endif
    for (int row = 0; row < rows; ++row)
#if defined(__CUDA_ARCH__)
#pragma unroll 1
#endif
      for (int j = t; j < columns; j += Tile::threads) *to.at(row, column + j) = T{};
  }

 private:
  MQL4GREC_HD void store_quads(int row, int apart, int quad_index, quad<T> (&sums)[4]) const {
    T* const first = to.at(row, column + 4 * quad_index);
    int const step = apart * to.stride;
    unrolled<4>([&](auto a) {
      if (row + a * apart >= rows) return;
      auto& place = *reinterpret_cast<quad<T>*>(first + a * step);
      if (mode == output_mode::accumulate) {
        quad<T> const before = place;
        unrolled<4>([&](auto e) { sums[a].of[e] += before.of[e]; });
      }
      place = sums[a];
    });
  }
  MQL4GREC_HD void store_entries(int row, int apart, int quad_index, quad<T> const (&sums)[4]) const {
    unrolled<4>([&](auto e) {
      if (4 * quad_index + e >= columns) return;
      unrolled<4>([&](auto a) {
        if (row + a * apart >= rows) return;
        T& place = *to.at(row + a * apart, column + 4 * quad_index + e);
        place = mode == output_mode::accumulate ? place + sums[a].of[e] : sums[a].of[e];
      });
    });
  }
};

template <int Rows, Real T, class Tile>
MQL4GREC_HD void add_some_rows(pair_tile<T, Tile> const& p, row_tile<T, Tile, Tile::keys> const& x, int keys, int i,
                               int quad_index, quad<T> (&sums)[4]) {
#if defined(__CUDA_ARCH__)
#pragma unroll 1
#endif
  for (int j = 0; j < keys; j += 4) {
    quad<T> of_row[Rows];
    unrolled<Rows>([&](auto a) { of_row[a] = p.keys_of(i + Tile::rows_at_once * a, j / 4); });
    unrolled<4>([&](auto k) {
      quad<T> const of_key = x(j + k, quad_index);
      unrolled<Rows>([&](auto a) { unrolled<4>([&](auto e) { sums[a].of[e] += of_row[a].of[k] * of_key.of[e]; }); });
    });
  }
}
/// out (queries, columns) = p (queries, keys) · x (keys, columns): member t's entries, four columns of every eighth row
/// (every second row in a narrow tile). p must be 0 beyond the last key.
template <Real T, class Tile>
MQL4GREC_HD void store_product(pair_tile<T, Tile> const& p, row_tile<T, Tile, Tile::keys> const& x, int keys, int t,
                               product_output<T, Tile> const& out) {
  constexpr int apart = Tile::rows_at_once;
  static_assert(4 * apart == Tile::queries);
  int const quad_index = t % 16, i = t / 16;
  if (4 * quad_index >= out.columns) return;
  quad<T> sums[4] = {};
  if (out.rows <= apart)
    add_some_rows<1>(p, x, keys, i, quad_index, sums);
  else if (out.rows <= 2 * apart)
    add_some_rows<2>(p, x, keys, i, quad_index, sums);
  else if (out.rows <= 3 * apart)
    add_some_rows<3>(p, x, keys, i, quad_index, sums);
  else
    add_some_rows<4>(p, x, keys, i, quad_index, sums);
  out.store(i, apart, quad_index, sums);
}
/// out (keys, columns) = pᵀ (queries, keys) · x (queries, columns): member t's entries, four rows of four columns at a
/// time.
template <Real T, class Tile>
MQL4GREC_HD void store_transposed_product(pair_tile<T, Tile> const& p, row_tile<T, Tile, Tile::queries> const& x,
                                          int queries, int t, product_output<T, Tile> const& out) {
  int const quad_index = t % 16;
  if (4 * quad_index >= out.columns) return;
#if defined(__CUDA_ARCH__)
#pragma unroll 1
#endif
  for (int j = t / 16; 4 * j < out.rows; j += Tile::rows_at_once) {
    quad<T> sums[4] = {};
#if defined(__CUDA_ARCH__)
#pragma unroll 2
#endif
    for (int i = 0; i < queries; ++i) {
      quad<T> const of_query = p.keys_of(i, j), row = x(i, quad_index);
      unrolled<4>([&](auto a) { unrolled<4>([&](auto e) { sums[a].of[e] += of_query.of[a] * row.of[e]; }); });
    }
    out.store(4 * j, 1, quad_index, sums);
  }
}

}  // namespace mql4grec::gpu::detail
