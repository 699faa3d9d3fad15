#pragma once
// Embedding lookup. The gradient dtable is accumulated.
#include <cassert>

#include "mql4grec/backend/reference/backend.hpp"
#include "mql4grec/core/ids.hpp"

namespace mql4grec::reference {

/// y (T,d) = the rows of table (V,d) given by tokens (T).
template <Field T>
void embedding_forward(backend&, in_matrix<backend, T> table, in_vector<backend, token_t> tokens,
                       out_matrix<backend, T> y) {
  for (index_t i = 0; i < tokens.size(); ++i) {
    assert(index(tokens(i)) < table.rows());
    for (index_t j = 0; j < table.columns(); ++j) y(i, j) = table(index(tokens(i)), j);
  }
}

/// dtable (V,d) += the rows of dy (T,d), each at its token. Tokens repeat: rows are added in the order of the tokens.
template <Field T>
void embedding_backward(backend&, in_vector<backend, token_t> tokens, in_matrix<backend, T> dy,
                        out_matrix<backend, T> dtable) {
  for (index_t i = 0; i < tokens.size(); ++i)
    for (index_t j = 0; j < dtable.columns(); ++j) dtable(index(tokens(i)), j) += dy(i, j);
}

}  // namespace mql4grec::reference
