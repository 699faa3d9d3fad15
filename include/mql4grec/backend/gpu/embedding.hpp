#pragma once
// Embedding lookup. The gradient sums rows in a fixed order, without atomics.
#include "mql4grec/backend/gpu/gather_rows.hpp"
#include "mql4grec/backend/gpu/primitives/grouping.hpp"
#include "mql4grec/core/ids.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::gpu {

/// y (T,d) = the rows of table (V,d) given by tokens (T).
template <Real T, class System>
void embedding_forward(backend<System>& b, in_matrix<backend<System>, T> table,
                       in_vector<backend<System>, token_t> tokens, out_matrix<backend<System>, T> y) {
  detail::for_each_group(b, tokens.size(),
                         detail::gather_row<32, decltype(table), token_t, decltype(y)>{table, tokens.data, y});
}

/// dtable (V,d) += the rows of dy (T,d), each at its token; see primitives/grouping.hpp for the order of the sums.
template <Real T, class System>
void embedding_backward(backend<System>& b, in_vector<backend<System>, token_t> tokens,
                        in_matrix<backend<System>, T> dy, out_matrix<backend<System>, T> dtable) {
  scratch_scope<backend<System>> const scope(b.scratch());
  detail::add_rows<T>(b, detail::sort_rows<token_t>(b, tokens, dtable.rows()), dy, dtable);
}

}  // namespace mql4grec::gpu
