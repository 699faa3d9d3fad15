#pragma once
// Eigen's divide and conquer; the reference's sweeps take seconds at the width of text embeddings.
#include "mql4grec/backend/cpu/backend.hpp"
#include "mql4grec/backend/reference/procrustes.hpp"

namespace mql4grec::cpu {

template <Real T>
  requires(std::same_as<T, float> || std::same_as<T, double>)
void procrustes_rotation(backend&, in_matrix<backend, T> product, out_matrix<backend, T> rotation);

}  // namespace mql4grec::cpu

#if !MQL4GREC_COMPILED
#include "mql4grec/backend/cpu/procrustes_by_eigen.hpp"
#endif
