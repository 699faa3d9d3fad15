#pragma once
#include "mql4grec/backend/contract/concepts.hpp"

namespace mql4grec {

/// A weight that nothing will change any more, as it lies in the model. `freeze_weight<T>(backend, weight, alpha)`
/// gives this or, where a backend multiplies faster by another form, one of its own; see
/// backend/cpu/matmul/frozen_weight.hpp.
template <MemorySpace S, class T>
struct plain_weight {
  view<T const, S, 2> values;  ///< (out, in), the model's own memory
  double alpha = 1;            ///< the product is scaled by this

  index_t rows() const { return values.rows(); }
  index_t columns() const { return values.columns(); }
};

}  // namespace mql4grec
