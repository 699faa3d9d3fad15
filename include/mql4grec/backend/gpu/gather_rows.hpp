#pragma once
// Copies selected rows of a matrix.
#include "mql4grec/backend/gpu/primitives/thread_group.hpp"
#include "mql4grec/core/ids.hpp"

namespace mql4grec::gpu {

namespace detail {

MQL4GREC_HD constexpr index_t row_of(index_t number) { return number; }
template <StrongId Id>
MQL4GREC_HD constexpr index_t row_of(Id id) {
  return index(id);
}

/// One thread group per row of the result.
template <int Threads, class In, class Key, class Out>
struct gather_row {
  static constexpr int threads = Threads;
  static constexpr std::size_t shared_bytes() { return 0; }
  In from;
  Key const* which;
  Out to;

  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t i) const {
    auto const source = from.row(row_of(which[i]));
    auto const row = to.row(i);
    group.each([&](int t) {
      for (index_t j = t; j < row.size(); j += threads) row.data[j] = source.data[j];
    });
  }
};

}  // namespace detail

/// to (n,d) = the rows `which` (n) of from (rows,d)
template <class T, class System>
void gather_rows(backend<System>& b, in_matrix<backend<System>, T> from, in_vector<backend<System>, index_t> which,
                 out_matrix<backend<System>, T> to) {
  detail::for_each_group(b, to.rows(),
                         detail::gather_row<128, decltype(from), index_t, decltype(to)>{from, which.data, to});
}

}  // namespace mql4grec::gpu
