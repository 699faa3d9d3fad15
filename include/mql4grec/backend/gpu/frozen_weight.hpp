#pragma once
// Frozen weights: this backend multiplies fastest by the weight as it is.
#include "mql4grec/backend/contract/weight.hpp"
#include "mql4grec/backend/gpu/runtime/backend.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::gpu {

/// Returns a view of `weight` (out,in), which must outlive it.
template <Real T, class System>
plain_weight<device_space<System>, T> freeze_weight(backend<System>&, in_matrix<backend<System>, T> weight,
                                                    double alpha) {
  return {weight, alpha};
}

}  // namespace mql4grec::gpu
