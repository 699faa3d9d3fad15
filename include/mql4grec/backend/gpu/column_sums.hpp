#pragma once
// Sums over the rows of a table: gradients of biases and gains. Teams add up stretches of rows, then one thread a column adds the
// stretches in their order: no atomics, the same bits every time.
#include "mql4grec/backend/gpu/team.hpp"

namespace mql4grec::gpu::detail {

/// partial(stretch, j) = Σ value(i, j) over the stretch's rows.
template <class T, class Value, class M>
struct sum_stretch {
  static constexpr int threads = 128;
  static constexpr index_t rows_each = 64;
  static constexpr std::size_t shared_bytes() { return 0; }
  index_t rows;
  Value value;
  M partial;

  template <class Team>
  MQL4GREC_HD void operator()(Team& team, index_t stretch) const {
    index_t const first = stretch * rows_each, last = first + rows_each < rows ? first + rows_each : rows;
    team.each([&](int t) {
      for (index_t j = t; j < partial.columns(); j += threads) {
        T sum{};
        for (index_t i = first; i < last; ++i) sum += value(i, j);
        partial(stretch, j) = sum;
      }
    });
  }
};

template <class T, class M>
struct add_column {
  M partial;
  T* sums;
  MQL4GREC_HD void operator()(index_t j) const {
    T sum{};
    for (index_t i = 0; i < partial.rows(); ++i) sum += partial(i, j);
    sums[j] += sum;
  }
};

/// sums[j] += Σ value(·, j)
template <class T, class System, class Value>
void add_column_sums(backend<System>& b, index_t rows, index_t columns, Value const& value, out_vector<backend<System>, T> sums) {
  scratch_scope<backend<System>> const scope(b.scratch());
  using partial_sums = out_matrix<backend<System>, T>;
  using stretches = sum_stretch<T, Value, partial_sums>;
  partial_sums const partial = b.scratch().template take<T>((rows + stretches::rows_each - 1) / stretches::rows_each, columns);
  for_each_team(b, partial.rows(), stretches{rows, value, partial});
  for_each_index(b, columns, add_column<T, partial_sums>{partial, sums.data});
}

}  // namespace mql4grec::gpu::detail
