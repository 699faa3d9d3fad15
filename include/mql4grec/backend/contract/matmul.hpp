#pragma once
// The options of a matrix product.
#include "mql4grec/core/view.hpp"

namespace mql4grec {
inline namespace contract {

/// The options of a matrix product C = [C +] alpha · op(A) · op(B).
struct product {
  bool transpose_a = false;  ///< op(A) = Aᵀ
  bool transpose_b = false;  ///< op(B) = Bᵀ
  bool accumulate = false;   ///< add to C instead of overwriting it
  double alpha = 1;          ///< scales the product, not C's previous value
  /// A, B and C are stacks of so many matrices, one below the other: each C is the product of its own A and B. See
  /// products_at_once.
  index_t batch = 1;
};

/// Calls multiply(a, b, c) for the matrices of each product of a batch.
template <class In, class Out, class Multiply>
void for_each_product(In a, In b, Out c, index_t batch, Multiply&& multiply) {
  auto const one = [batch](auto stack, index_t i) {
    index_t const rows = stack.rows() / batch;
    return stack.row_block(i * rows, rows);
  };
  for (index_t i = 0; i < batch; ++i) multiply(one(a, i), one(b, i), one(c, i));
}

}  // namespace contract
}  // namespace mql4grec
