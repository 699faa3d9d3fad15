#pragma once
// A weight that is only read from now on, in the form that multiplies fastest.
#include "mql4grec/backend/contract/concepts.hpp"

namespace mql4grec {
inline namespace contract {

/// A frozen weight in the model's own layout. `freeze_weight<T>(backend, weight, alpha)` returns this type or, where a
/// backend multiplies faster with another layout, a type of its own; see backend/cpu/matmul/frozen_weight.hpp. The
/// weight must not change afterwards, and must outlive this view.
template <MemorySpace S, class T>
struct plain_weight {
  view<T const, S, 2> values;  ///< (out, in), the model's own memory
  double alpha = 1;            ///< factor of the product

  /// The number of outputs.
  index_t rows() const { return values.rows(); }
  /// The number of inputs.
  index_t columns() const { return values.columns(); }
};

}  // namespace contract
}  // namespace mql4grec
