#pragma once
// Frozen weights: this backend keeps them as they are.
#include "mql4grec/backend/contract/weight.hpp"
#include "mql4grec/backend/reference/backend.hpp"

namespace mql4grec::reference {

/// Returns a view of `weight` (out,in), which must outlive it: loops gain nothing from another layout.
template <Field T>
plain_weight<host_space, T> freeze_weight(backend&, in_matrix<backend, T> weight, double alpha) {
  return {weight, alpha};
}

}  // namespace mql4grec::reference
