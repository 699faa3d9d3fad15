#pragma once
#include "mql4grec/backend/gpu/grouping.hpp"
#include "mql4grec/core/ids.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::gpu {

namespace detail {
/// A warp a token.
template <class In, class Out>
struct embedding_row {
  static constexpr int threads = 32;
  static constexpr std::size_t shared_bytes() { return 0; }
  In table;
  token_t const* tokens;
  Out y;

  template <class Team>
  MQL4GREC_HD void operator()(Team& team, index_t i) const {
    auto const from = table.row(index(tokens[i]));
    auto const to = y.row(i);
    team.each([&](int t) {
      for (index_t j = t; j < to.size(); j += threads) to.data[j] = from.data[j];
    });
  }
};
}  // namespace detail

// table (V,d), tokens (T) -> y (T,d)
template <Real T, class System>
void embedding_forward(backend<System>& b, in_matrix<backend<System>, T> table, in_vector<backend<System>, token_t> tokens,
                       out_matrix<backend<System>, T> y) {
  detail::for_each_team(b, tokens.size(), detail::embedding_row<decltype(table), decltype(y)>{table, tokens.data, y});
}

// dtable (V,d) is accumulated; grouping.hpp says in which order.
template <Real T, class System>
void embedding_backward(backend<System>& b, in_vector<backend<System>, token_t> tokens, in_matrix<backend<System>, T> dy,
                        out_matrix<backend<System>, T> dtable) {
  scratch_scope<backend<System>> const scope(b.scratch());
  detail::add_rows<T>(b, detail::sort_rows<token_t>(b, tokens, dtable.rows()), dy, dtable);
}

}  // namespace mql4grec::gpu
