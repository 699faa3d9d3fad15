#pragma once
// The rotation of an orthogonal Procrustes problem, with Eigen's SVD in double precision.
#include <Eigen/SVD>
#include <cassert>

#include "mql4grec/backend/cpu/operations.hpp"
#include "mql4grec/backend/cpu/primitives/eigen.hpp"

namespace mql4grec::cpu {

template <Real T>
  requires(std::same_as<T, float> || std::same_as<T, double>)
void procrustes_rotation(backend&, in_matrix<backend, T> product, out_matrix<backend, T> rotation) {
  assert(product.columns() == product.rows() && rotation.rows() == product.rows() &&
         rotation.columns() == product.rows());
  if (product.size() == 0) return;
  Eigen::BDCSVD<Eigen::MatrixXd> const parts(as_eigen(product).template cast<double>(),
                                             Eigen::ComputeFullU | Eigen::ComputeFullV);
  as_eigen(rotation) = (parts.matrixU() * parts.matrixV().transpose()).template cast<T>();
}

}  // namespace mql4grec::cpu
