#pragma once
namespace mql4grec {

/// What is asked of a matrix product C = [C +] alpha · op(A) · op(B).
struct product {
  bool transpose_a = false;
  bool transpose_b = false;
  bool accumulate = false;  ///< add to C instead of overwriting it
  double alpha = 1;
};

}  // namespace mql4grec
