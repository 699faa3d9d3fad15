#pragma once
// Sums over the rows of a table, for gradients of biases and gains. Thread groups sum ranges of rows, then other groups
// sum the partial sums. There are no atomics: the order of additions is fixed, so results are bit-identical in every
// run and on every system.
#include "mql4grec/backend/gpu/primitives/thread_group.hpp"
#include "mql4grec/backend/gpu/primitives/unrolled.hpp"

namespace mql4grec::gpu::detail {

/// partial(range, j) = Σ value(i, j) over the range's rows.
template <class T, class Value, class M>
struct sum_range {
  static constexpr int threads = 128;
  static constexpr index_t rows_each = 64;
  static constexpr std::size_t shared_bytes() { return 0; }
  index_t rows;
  Value value;
  M partial;

  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t range) const {
    index_t const first = range * rows_each, last = first + rows_each < rows ? first + rows_each : rows;
    group.each([&](int t) {
      for (index_t j = t; j < partial.columns(); j += threads) {
        T sum{};
        for (index_t i = first; i < last; ++i) sum += value(i, j);
        partial(range, j) = sum;
      }
    });
  }
};

/// to(j) += Σ partial(·, j). A thread group handles 32 columns. Each of its 16 subgroups sums a contiguous share of the
/// rows; the shares are then added in order.
template <class T, class M, class To>
struct add_columns {
  static constexpr int threads = 512, columns_each = 32, groups = threads / columns_each, ahead = 4;
  static constexpr std::size_t shared_bytes() { return shared_bytes_of<T>(threads); }
  M partial;
  To to;

  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t block) const {
    T* const sums = group.template share<T>(threads);
    index_t const first = block * columns_each, each = (partial.rows() + groups - 1) / groups;
    group.each([&](int t) {
      index_t const j = first + t % columns_each, begin = t / columns_each * each,
                    end = begin + each < partial.rows() ? begin + each : partial.rows();
      T sum{};
      if (j < partial.columns())
        for (index_t i = begin; i < end; i += ahead) {
          T some[ahead];  // loaded together
          unrolled<ahead>([&](auto a) { some[a] = i + a < end ? partial(i + a, j) : T{}; });
          unrolled<ahead>([&](auto a) { sum += some[a]; });
        }
      sums[t] = sum;
    });
    group.each([&](int t) {
      if (t >= columns_each || first + t >= partial.columns()) return;
      T sum = sums[t];
      for (int g = 1; g < groups; ++g) sum += sums[t + g * columns_each];
      to(first + t) += sum;
    });
  }
};

template <class T, class System, class M, class To>
void add_partial_sums(backend<System>& b, M const& partial, To const& to) {
  using kernel = add_columns<T, M, To>;
  for_each_group(b, (partial.columns() + kernel::columns_each - 1) / kernel::columns_each, kernel{partial, to});
}

/// sums[j] += Σ value(·, j)
template <class T, class System, class Value>
void add_column_sums(backend<System>& b, index_t rows, index_t columns, Value const& value,
                     out_vector<backend<System>, T> sums) {
  scratch_scope<backend<System>> const scope(b.scratch());
  using partial_sums = out_matrix<backend<System>, T>;
  using ranges = sum_range<T, Value, partial_sums>;
  partial_sums const partial = take<T>(b, (rows + ranges::rows_each - 1) / ranges::rows_each, columns);
  for_each_group(b, partial.rows(), ranges{rows, value, partial});
  add_partial_sums<T>(b, partial, sums);
}

}  // namespace mql4grec::gpu::detail
