#pragma once
#include "mql4grec/backend/contract/weight.hpp"
#include "mql4grec/backend/reference/backend.hpp"

namespace mql4grec::reference {

/// weight (out,in) -> itself: loops gain nothing from another form
template <Field T>
plain_weight<host_space, T> freeze_weight(backend&, in_matrix<backend, T> weight, double alpha) {
  return {weight, alpha};
}

}  // namespace mql4grec::reference
