#pragma once
// Mean pooling over packed sequences, with checked shapes.
#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/core/error.hpp"

namespace mql4grec::nn {

/// The operation that mean pooling requires of a backend.
template <class B, class T>
concept MeanPoolOps = Backend<B> &&
    requires(B& b, in_matrix<B, T> x, in_vector<B, index_t> offsets, out_matrix<B, T> y) {
  mean_pool<T>(b, x, offsets, y);
};

/// y (sequences, d) = the mean of each sequence's rows of x (rows, d), where sequence s has the rows offsets(s) …
/// offsets(s+1)−1; zeros for a sequence without rows. Applied to the means of fields, it gives the mean of an item's
/// fields. Throws error when shapes disagree. Offsets must not exceed the rows of x; this is not checked.
template <class T, class B>
void mean_of_sequences(B& b, in_matrix<B, T> x, in_vector<B, index_t> offsets, out_matrix<B, T> y) {
  static_assert(MeanPoolOps<B, T>,
                "this backend has no mean_pool for this scalar; add it in backend/<name>/mean_pool.hpp");
  expects(offsets.size() > 0, "mean_pool: there are no offsets, expected at least one");
  expects(y.rows() == offsets.size() - 1 && y.columns() == x.columns(), "mean_pool: y is ", y.rows(), " × ",
          y.columns(), ", expected ", offsets.size() - 1, " × ", x.columns());
  mean_pool<T>(b, x, offsets, y);
}

}  // namespace mql4grec::nn
