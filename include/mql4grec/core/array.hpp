#pragma once
// The host array of the public interface is xtensor's. xtensor 0.26 moved its headers; only this file handles both
// locations.
#if __has_include(<xtensor/containers/xtensor.hpp>)
#include <xtensor/containers/xtensor.hpp>
#else
#include <xtensor/xtensor.hpp>
#endif

#include "mql4grec/core/view.hpp"

namespace mql4grec {
inline namespace core {

/// A dense row-major array in host memory.
template <class T, std::size_t Rank>
using host_array = xt::xtensor<T, Rank>;

/// A view of all entries, valid as long as the array.
template <class T>
host_vector_view<T> view_of(host_array<T, 1>& a) {
  return {a.data(), static_cast<index_t>(a.size())};
}
/// The same, const.
template <class T>
host_vector_view<T const> view_of(host_array<T, 1> const& a) {
  return {a.data(), static_cast<index_t>(a.size())};
}
/// The same for a matrix.
template <class T>
host_matrix_view<T> view_of(host_array<T, 2>& a) {
  return {a.data(), static_cast<index_t>(a.shape(0)), static_cast<index_t>(a.shape(1))};
}
/// The same for a matrix, const.
template <class T>
host_matrix_view<T const> view_of(host_array<T, 2> const& a) {
  return {a.data(), static_cast<index_t>(a.shape(0)), static_cast<index_t>(a.shape(1))};
}

}  // namespace core
}  // namespace mql4grec
