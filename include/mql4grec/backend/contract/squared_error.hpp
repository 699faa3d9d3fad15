#pragma once
// The results of the squared error's backward pass.
#include "mql4grec/backend/contract/concepts.hpp"

namespace mql4grec {
inline namespace contract {

/// The results of squared_error_backward, overwritten.
template <MemorySpace S, class T>
struct squared_error_results {
  view<T, S, 2> dx;     ///< (rows, d): scale · (x − target); may be x
  view<T, S, 1> error;  ///< (1): Σ (x − target)²
};

}  // namespace contract
}  // namespace mql4grec
