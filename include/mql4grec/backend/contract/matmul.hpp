#pragma once
// The options of a matrix product.
namespace mql4grec {
inline namespace contract {

/// The options of a matrix product C = [C +] alpha · op(A) · op(B).
struct product {
  bool transpose_a = false;  ///< op(A) = Aᵀ
  bool transpose_b = false;  ///< op(B) = Bᵀ
  bool accumulate = false;   ///< add to C instead of overwriting it
  double alpha = 1;          ///< scales the product, not C's previous value
};

}  // namespace contract
}  // namespace mql4grec
