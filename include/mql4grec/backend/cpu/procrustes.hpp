#pragma once
// Eigen's divide and conquer; the reference's sweeps take seconds at the width of text embeddings.
#include <Eigen/SVD>
#include <cassert>

#include "mql4grec/backend/cpu/backend.hpp"
#include "mql4grec/backend/cpu/eigen.hpp"
#include "mql4grec/backend/reference/procrustes.hpp"

namespace mql4grec::cpu {

template <Real T>
void procrustes_rotation(backend&, in_matrix<backend, T> product, out_matrix<backend, T> rotation) {
  assert(product.columns() == product.rows() && rotation.rows() == product.rows() && rotation.columns() == product.rows());
  if (product.size() == 0) return;
  Eigen::BDCSVD<Eigen::MatrixXd> const parts(as_eigen(product).template cast<double>(),
                                             Eigen::ComputeFullU | Eigen::ComputeFullV);
  as_eigen(rotation) = (parts.matrixU() * parts.matrixV().transpose()).template cast<T>();
}

}  // namespace mql4grec::cpu
