#pragma once
// Embedding lookup, with checked shapes. Token values are not checked.
#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/ids.hpp"

namespace mql4grec::nn {

/// The operations that a table of token vectors requires of a backend.
template <class B, class T>
concept EmbeddingOps = Backend<B> &&
    requires(B& b, in_matrix<B, T> x, in_vector<B, token_t> tokens, out_matrix<B, T> y) {
  embedding_forward<T>(b, x, tokens, y);
  embedding_backward<T>(b, tokens, x, y);
};

/// y (T, d) = the rows of table (V, d) given by tokens (T). Throws error when shapes disagree. Tokens must be below V;
/// this is not checked.
template <class T, class B>
void embedding(B& b, in_matrix<B, T> table, in_vector<B, token_t> tokens, out_matrix<B, T> y) {
  static_assert(EmbeddingOps<B, T>,
                "this backend has no embedding for this scalar; add it in backend/<name>/embedding.hpp");
  expects(y.rows() == tokens.size() && y.columns() == table.columns(), "embedding: y is ", y.rows(), " × ", y.columns(),
          ", expected ", tokens.size(), " × ", table.columns());
  embedding_forward<T>(b, table, tokens, y);
}

/// dtable (V, d) += the rows of dy (T, d), each at its token. Throws error when shapes disagree.
template <class T, class B>
void embedding_gradient(B& b, in_vector<B, token_t> tokens, in_matrix<B, T> dy, out_matrix<B, T> dtable) {
  static_assert(EmbeddingOps<B, T>,
                "this backend has no embedding for this scalar; add it in backend/<name>/embedding.hpp");
  expects(dy.rows() == tokens.size() && dy.columns() == dtable.columns(), "embedding: dy is ", dy.rows(), " × ",
          dy.columns(), ", expected ", tokens.size(), " × ", dtable.columns());
  embedding_backward<T>(b, tokens, dy, dtable);
}

}  // namespace mql4grec::nn
