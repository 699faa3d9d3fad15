#pragma once
// Operands of LayerNorm.
#include "mql4grec/backend/contract/concepts.hpp"

namespace mql4grec {
inline namespace contract {

/// The inputs of LayerNorm.
template <MemorySpace S, class T>
struct layer_norm_inputs {
  view<T const, S, 2> x;           ///< (rows, d)
  view<T const, S, 1> gain, bias;  ///< (d)
};

}  // namespace contract
}  // namespace mql4grec
