#pragma once
#include "mql4grec/backend/gpu/grouping.hpp"
#include "mql4grec/core/ids.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::gpu {

namespace detail {
template <class In, class Out>
struct embedding_entry {
  In table;
  token_t const* tokens;
  Out y;
  MQL4GREC_HD void operator()(index_t i, index_t j) const { y(i, j) = table(index(tokens[i]), j); }
};
}  // namespace detail

// table (V,d), tokens (T) -> y (T,d)
template <Real T, class System>
void embedding_forward(backend<System>& b, in_matrix<backend<System>, T> table, in_vector<backend<System>, token_t> tokens,
                       out_matrix<backend<System>, T> y) {
  detail::for_each_entry(b, tokens.size(), table.columns(), detail::embedding_entry<decltype(table), decltype(y)>{table, tokens.data, y});
}

// dtable (V,d) is accumulated; a token's rows are added in their order.
template <Real T, class System>
void embedding_backward(backend<System>& b, in_vector<backend<System>, token_t> tokens, in_matrix<backend<System>, T> dy,
                        out_matrix<backend<System>, T> dtable) {
  scratch_scope<backend<System>> const scope(b.scratch());
  auto const order = detail::sort_rows<token_t>(b, tokens);
  detail::for_each_entry(b, order.size, dtable.columns(), detail::add_run<T, decltype(dy), decltype(dtable)>{order, dy, dtable});
}

}  // namespace mql4grec::gpu
