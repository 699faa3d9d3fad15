#pragma once
// The nearest of K vectors for many rows. A thread group processes a tile of rows and iterates over the codebook
// (distance_tile.hpp). Each member keeps the nearest vector that it has found; the members that share a row then choose
// the first of the nearest ones. No array of size n × K is written. Consecutive levels are processed by the same group,
// since a row's codes depend only on the row.
#include <algorithm>
#include <limits>
#include <span>

#include "mql4grec/backend/gpu/nearest_code/distance_tile.hpp"
#include "mql4grec/backend/gpu/primitives/grouping.hpp"
#include "mql4grec/core/ids.hpp"

namespace mql4grec::gpu {

namespace detail {

/// The lowest entry of a row and its position, the first one among equals. Initially infinity at position 0, so a row
/// of infinities has its lowest entry there.
template <Real T>
struct lowest_entry {
  T value;
  int at;

  MQL4GREC_HD static lowest_entry none() { return {std::numeric_limits<T>::infinity(), 0}; }
  MQL4GREC_HD void update(T other, int where) {  // of entries that come in their order
    if (other < value) value = other, at = where;
  }
};
struct lower_entry {
  template <Real T>
  MQL4GREC_HD lowest_entry<T> operator()(lowest_entry<T> a, lowest_entry<T> b) const {
    return b.value < a.value || (b.value == a.value && b.at < a.at) ? b : a;
  }
};

template <Real T, int Rows, class In, class Out>
struct distances_of_rows {
  using tile = distance_tile<T, Rows>;
  static constexpr int threads = tile::threads;
  static constexpr std::size_t shared_bytes() { return tile::shared_bytes(); }
  In x, vectors;
  Out distances;

  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t number) const {
    index_t const first = number * tile::rows;
    tile const by_tile(group);
    typename ThreadGroup::template local<typename tile::sums> found;
    for (index_t code = 0; code < vectors.rows(); code += tile::codes) {
      by_tile.compute(group, x, first, vectors, code, code > 0 ? row_tile_state::same_rows : row_tile_state::new_rows,
                      found);
      group.each([&](int t) {
        index_t const row = first + tile::first_row(t), k = code + tile::first_code(t);
        for (int i = 0; i < Rows; ++i)
          for (int c = 0; c < tile::codes_each; ++c)
            if (row + i < x.rows() && k + c < vectors.rows()) distances(row + i, k + c) = found[t].of[i][c];
      });
    }
  }
};

/// The position of the first smallest of n entries. When entry 0 is NaN, the result is 0, as in a loop that compares
/// with <.
template <Real T, class ThreadGroup>
MQL4GREC_HD int smallest_by(ThreadGroup& group, T const* x, int n) {
  typename ThreadGroup::template local<lowest_entry<T>> mine;
  group.each([&](int t) {
    auto low = lowest_entry<T>::none();
    for (int k = t; k < n; k += ThreadGroup::threads) low.update(x[k], k);
    mine[t] = low;
  });
  auto const low = group.reduce(mine, lower_entry{});
  return x[0] != x[0] ? 0 : low.at;
}

/// One warp per row.
template <Real T, class In>
struct argmin_of_row {
  static constexpr int threads = 32;
  static constexpr std::size_t shared_bytes() { return 0; }
  In distances;
  code_t* codes;

  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t i) const {
    int const at = smallest_by<T>(group, distances.row(i).data, static_cast<int>(distances.columns()));
    group.each([&](int t) {
      if (t == 0) codes[i] = static_cast<code_t>(at);
    });
  }
};

inline constexpr int max_levels = 8;  ///< levels per kernel launch

template <class V>
struct codebook_list {
  V vectors[max_levels];
  int count;
};

/// Computes codes (levels, n) and, for the last level, distances (n) unless null. When X's entries aren't const, x
/// becomes the residual after all levels.
template <Real T, int Rows, class X, class V>
struct nearest_codes_of_rows {
  using tile = distance_tile<T, Rows>;
  using lowest = lowest_entry<T>;
  static constexpr int threads = tile::threads,
                       members = tile::codes / tile::codes_each;  // members: those that share a row
  static constexpr std::size_t shared_bytes() {
    return tile::shared_bytes() + shared_bytes_of<lowest>(tile::rows * (members + 1));
  }
  static constexpr bool writes_residual = !std::is_const_v<std::remove_pointer_t<decltype(X::data)>>;
  X x;
  codebook_list<V> levels;
  code_t* codes;
  index_t codes_stride;
  T* distances;

  struct lowest_of_rows {
    lowest of[Rows];
  };

  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t number) const {
    index_t const first = number * tile::rows;
    tile const by_tile(group);
    lowest* const table = group.template share<lowest>(
        tile::rows * (members + 1));  // a row's members are consecutive; the extra column avoids bank conflicts
    for (int level = 0; level < levels.count; ++level) {
      V const vectors = levels.vectors[level];
      compute_nearest(group, by_tile, first, vectors, table);
      reduce_members(group, first, table, codes + level * codes_stride);
      if constexpr (writes_residual) subtract(group, first, vectors, table);
    }
  }

 private:
  MQL4GREC_HD int rows_from(index_t first) const {
    return x.rows() - first < tile::rows ? static_cast<int>(x.rows() - first) : tile::rows;
  }

  template <class ThreadGroup>
  MQL4GREC_HD void compute_nearest(ThreadGroup& group, tile const& by_tile, index_t first, V const& vectors,
                                   lowest* table) const {
    int const k = static_cast<int>(vectors.rows());
    typename ThreadGroup::template local<typename tile::sums> found;
    typename ThreadGroup::template local<lowest_of_rows> nearest;
    group.each([&](int t) {
      for (auto& low : nearest[t].of) low = lowest::none();
    });
    for (int code = 0; code < k; code += tile::codes) {
      by_tile.compute(group, x, first, vectors, code, code > 0 ? row_tile_state::same_rows : row_tile_state::new_rows,
                      found);
      group.each([&](int t) {
        for (int i = 0; i < Rows; ++i)
          for (int c = 0, at = code + tile::first_code(t); c < tile::codes_each; ++c, ++at)
            if (at < k) nearest[t].of[i].update(found[t].of[i][c], at);
      });
    }
    group.each([&](int t) {
      for (int i = 0; i < Rows; ++i)
        table[(tile::first_row(t) + i) * (members + 1) + tile::first_code(t) / tile::codes_each] = nearest[t].of[i];
    });
  }
  /// Writes each row's nearest entry to table[row · (members + 1)] and its code to `to`.
  template <class ThreadGroup>
  MQL4GREC_HD void reduce_members(ThreadGroup& group, index_t first, lowest* table, code_t* to) const {
    group.each([&](int t) {
      if (t >= rows_from(first)) return;
      lowest* const of_row = table + t * (members + 1);
      lowest low = of_row[0];
      for (int member = 1; member < members; ++member) low = lower_entry{}(low, of_row[member]);
      of_row[0] = low;
      to[first + t] = static_cast<code_t>(low.at);
      if (distances) distances[first + t] = low.value;
    });
  }
  template <class ThreadGroup>
  MQL4GREC_HD void subtract(ThreadGroup& group, index_t first, V const& vectors, lowest const* table) const {
    int const rows = rows_from(first), width = static_cast<int>(x.columns());
    group.each([&](int t) {
      for (int i = t / 32; i < rows; i += threads / 32) {
        auto const v = vectors.row(table[i * (members + 1)].at);
        auto const rest = x.row(first + i);
        for (int j = t % 32; j < width; j += 32) rest.data[j] -= v.data[j];
      }
    });
  }
};

/// Calls task.operator()<Rows>() with the number of rows per member: small when there are few rows, so that there are
/// enough groups.
template <class Task>
void with_rows_a_member(index_t rows, Task&& task) {
  constexpr index_t many = 8192;
  rows < many ? task.template operator()<1>() : task.template operator()<4>();
}

template <Real T, class System, class X>
void find_codes(backend<System>& b, std::span<in_matrix<backend<System>, T> const> levels, X const& x,
                out_matrix<backend<System>, code_t> codes, T* distances) {
  using vectors = in_matrix<backend<System>, T>;
  for (std::size_t done = 0; done < levels.size(); done += max_levels) {
    auto const part = levels.subspan(done, std::min<std::size_t>(max_levels, levels.size() - done));
    codebook_list<vectors> list{{}, static_cast<int>(part.size())};
    std::ranges::copy(part, list.vectors);
    code_t* const to = codes.row(static_cast<index_t>(done)).data;
    with_rows_a_member(x.rows(), [&]<int Rows>() {
      using kernel = nearest_codes_of_rows<T, Rows, X, vectors>;
      for_each_group(b, (x.rows() + kernel::tile::rows - 1) / kernel::tile::rows,
                     kernel{x, list, to, codes.stride, distances});
    });
  }
}

template <class In, class Out>
struct subtract_code_row {
  static constexpr int threads = 32;
  static constexpr std::size_t shared_bytes() { return 0; }
  In vectors;
  code_t const* codes;
  Out x;

  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t i) const {
    auto const v = vectors.row(index(codes[i]));
    auto const rest = x.row(i);
    group.each([&](int t) {
      for (index_t j = t; j < rest.size(); j += threads) rest.data[j] -= v.data[j];
    });
  }
};

}  // namespace detail

/// distances (n,K) = ‖x − v‖² for x (n,w) and vectors (K,w).
template <Real T, class System>
void squared_distances(backend<System>& b, in_matrix<backend<System>, T> x, in_matrix<backend<System>, T> vectors,
                       out_matrix<backend<System>, T> distances) {
  detail::with_rows_a_member(x.rows(), [&]<int Rows>() {
    using kernel = detail::distances_of_rows<T, Rows, in_matrix<backend<System>, T>, out_matrix<backend<System>, T>>;
    detail::for_each_group(b, (x.rows() + kernel::tile::rows - 1) / kernel::tile::rows, kernel{x, vectors, distances});
  });
}

/// codes (n) = the position of the smallest entry in each row of distances (n,K), the first one among equals.
template <Real T, class System>
void argmin_rows(backend<System>& b, in_matrix<backend<System>, T> distances,
                 out_vector<backend<System>, code_t> codes) {
  detail::for_each_group(b, distances.rows(), detail::argmin_of_row<T, decltype(distances)>{distances, codes.data});
}

/// codes (n) = the nearest of vectors (K,w) to each row of x (n,w), the first one among equals; distances (n) = its
/// squared distance.
template <Real T, class System>
void nearest_code(backend<System>& b, in_matrix<backend<System>, T> x, in_matrix<backend<System>, T> vectors,
                  out_vector<backend<System>, code_t> codes, out_vector<backend<System>, T> distances) {
  detail::find_codes<T>(b, {&vectors, 1}, x, {codes.data, 1, codes.size()}, distances.data);
}

/// codes (levels,n): for each level, the codebook vector (K,w) nearest to the residual of the levels before. `residual`
/// (n,w) becomes the residual after all levels.
template <Real T, class System>
void nearest_codes(backend<System>& b, std::span<in_matrix<backend<System>, T> const> codebooks,
                   out_matrix<backend<System>, T> residual, out_matrix<backend<System>, code_t> codes) {
  detail::find_codes<T>(b, codebooks, residual, codes, nullptr);
}

/// x (n,w) −= the rows of vectors (K,w) given by codes (n).
template <Real T, class System>
void subtract_codes(backend<System>& b, in_matrix<backend<System>, T> vectors, in_vector<backend<System>, code_t> codes,
                    out_matrix<backend<System>, T> x) {
  detail::for_each_group(b, x.rows(),
                         detail::subtract_code_row<decltype(vectors), decltype(x)>{vectors, codes.data, x});
}

/// Adds each row of x (n,w) to the row of sums (K,w) given by its code, and 1 to the code's entry of counts (K).
template <Real T, class System>
void add_to_codes(backend<System>& b, in_matrix<backend<System>, T> x, in_vector<backend<System>, code_t> codes,
                  out_matrix<backend<System>, T> sums, out_vector<backend<System>, T> counts) {
  scratch_scope<backend<System>> const scope(b.scratch());
  auto const order = detail::sort_rows<code_t>(b, codes, sums.rows());
  detail::add_rows<T>(b, order, x, sums);
  detail::for_each_index(b, order.size, detail::count_run<T>{order, counts.data});
}

}  // namespace mql4grec::gpu
