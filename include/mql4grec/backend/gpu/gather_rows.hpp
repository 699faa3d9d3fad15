#pragma once
#include "mql4grec/backend/gpu/team.hpp"

namespace mql4grec::gpu {

namespace detail {
/// A team a row.
template <class In, class Out>
struct gather_row {
  static constexpr int threads = 128;
  static constexpr std::size_t shared_bytes() { return 0; }
  In from;
  index_t const* which;
  Out to;

  template <class Team>
  MQL4GREC_HD void operator()(Team& team, index_t i) const {
    auto const source = from.row(which[i]);
    auto const row = to.row(i);
    team.each([&](int t) {
      for (index_t j = t; j < row.size(); j += threads) row.data[j] = source.data[j];
    });
  }
};
}  // namespace detail

// to (n,d) = the rows `which` (n) of from (rows,d)
template <class T, class System>
void gather_rows(backend<System>& b, in_matrix<backend<System>, T> from, in_vector<backend<System>, index_t> which, out_matrix<backend<System>, T> to) {
  detail::for_each_team(b, to.rows(), detail::gather_row<decltype(from), decltype(to)>{from, which.data, to});
}

}  // namespace mql4grec::gpu
