#pragma once
// Copies and fills inside the backend's memory, in the order of its work. For copies between host and device see
// backend/contract/transfer.hpp.
#include "mql4grec/backend/reference/backend.hpp"

namespace mql4grec::reference {

/// to (n) = from (n)
template <class T>
void copy(backend&, in_vector<backend, T> from, out_vector<backend, T> to) {
  mql4grec::copy(from, to);
}

/// to (n) = value
template <class T>
void fill(backend&, out_vector<backend, T> to, std::type_identity_t<T> value) {
  mql4grec::fill(to, value);
}

}  // namespace mql4grec::reference
