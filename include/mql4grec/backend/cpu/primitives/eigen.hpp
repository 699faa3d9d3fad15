#pragma once
// Views as Eigen matrices.
#include <Eigen/Core>

#include "mql4grec/core/view.hpp"

namespace mql4grec::cpu {

namespace detail {
template <class T>
using eigen_matrix = Eigen::Matrix<std::remove_const_t<T>, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
}

/// An Eigen map of the view's entries, with its stride. Valid as long as the view.
template <class T>
auto as_eigen(view<T, host_space, 2> m) {
  using mapped = std::conditional_t<std::is_const_v<T>, detail::eigen_matrix<T> const, detail::eigen_matrix<T>>;
  return Eigen::Map<mapped, Eigen::Unaligned, Eigen::OuterStride<>>(m.data, m.rows(), m.columns(),
                                                                    Eigen::OuterStride<>(m.stride));
}

}  // namespace mql4grec::cpu
