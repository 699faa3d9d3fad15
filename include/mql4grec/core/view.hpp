#pragma once
// Non-owning views of vectors and matrices. A view is valid as long as the memory it refers to. Rows may be `stride`
// entries apart, so that a block of columns (q, k or v in one merged product) is a view too; entries within a row are
// always contiguous.
#include <cassert>
#include <span>
#include <type_traits>

#include "mql4grec/core/macros.hpp"
#include "mql4grec/core/scalar.hpp"
#include "mql4grec/core/space.hpp"

namespace mql4grec {
inline namespace core {

/// A view of rank 1 or 2; T may be const. Converts implicitly to a view of const entries. Indices are checked by assert
/// only.
template <class T, MemorySpace Space, int Rank>
  requires(Rank == 1 || Rank == 2)
struct view;

namespace detail {
template <class From, class To>
concept AddsConst = std::is_same_v<From const, To> && !std::is_same_v<From, To>;
}

/// (n) contiguous entries.
template <class T, MemorySpace Space>
struct view<T, Space, 1> {
  using value_type = std::remove_const_t<T>;

  T* data = nullptr;
  index_t extents[1] = {0};

  constexpr view() = default;
  /// n entries from `first` on.
  MQL4GREC_HD constexpr view(T* first, index_t n) : data(first), extents{n} {}
  template <detail::AddsConst<T> U>
  MQL4GREC_HD constexpr view(view<U, Space, 1> other) : data(other.data), extents{other.extents[0]} {}

  /// The number of entries.
  MQL4GREC_HD constexpr index_t size() const { return extents[0]; }
  /// Entry i.
  MQL4GREC_HD constexpr T& operator()(index_t i) const {
    assert(0 <= i && i < extents[0]);
    return data[i];
  }
  /// The entries first … first + count − 1.
  MQL4GREC_HD constexpr view part(index_t first, index_t count) const {
    assert(0 <= first && 0 <= count && first + count <= extents[0]);
    return {data + first, count};
  }
};

/// A matrix (rows, columns), row-major.
template <class T, MemorySpace Space>
struct view<T, Space, 2> {
  using value_type = std::remove_const_t<T>;

  T* data = nullptr;
  index_t extents[2] = {0, 0};
  index_t stride =
      0;  ///< distance between the beginnings of two rows, in entries; at least extents[1], or 0: all rows are the same

  constexpr view() = default;
  /// A contiguous matrix.
  MQL4GREC_HD constexpr view(T* first, index_t rows, index_t columns) : view(first, rows, columns, columns) {}
  /// A matrix whose rows are row_stride entries apart.
  MQL4GREC_HD constexpr view(T* first, index_t rows, index_t columns, index_t row_stride)
      : data(first), extents{rows, columns}, stride(row_stride) {}
  template <detail::AddsConst<T> U>
  MQL4GREC_HD constexpr view(view<U, Space, 2> other)
      : view(other.data, other.extents[0], other.extents[1], other.stride) {}

  MQL4GREC_HD constexpr index_t rows() const { return extents[0]; }
  MQL4GREC_HD constexpr index_t columns() const { return extents[1]; }
  /// The number of entries.
  MQL4GREC_HD constexpr index_t size() const { return extents[0] * extents[1]; }
  /// Whether the entries have no gaps between rows.
  MQL4GREC_HD constexpr bool contiguous() const { return stride == extents[1] || extents[0] <= 1; }
  /// The entry in row i and column j.
  MQL4GREC_HD constexpr T& operator()(index_t i, index_t j) const {
    assert(0 <= i && i < extents[0] && 0 <= j && j < extents[1]);
    return data[i * stride + j];
  }
  /// Row i.
  MQL4GREC_HD constexpr view<T, Space, 1> row(index_t i) const { return {data + i * stride, extents[1]}; }
  /// The rows first … first + count − 1.
  MQL4GREC_HD constexpr view row_block(index_t first, index_t count) const {
    assert(0 <= first && 0 <= count && first + count <= extents[0]);
    return {data + first * stride, count, extents[1], stride};
  }
  /// The columns first … first + count − 1.
  MQL4GREC_HD constexpr view column_block(index_t first, index_t count) const {
    assert(0 <= first && 0 <= count && first + count <= extents[1]);
    return {data + first, extents[0], count, stride};
  }
  /// All entries as one vector. The view must be contiguous.
  MQL4GREC_HD constexpr view<T, Space, 1> flat() const {
    assert(contiguous());
    return {data, size()};
  }
};

/// Views of host memory.
template <class T>
using host_vector_view = view<T, host_space, 1>;
template <class T>
using host_matrix_view = view<T, host_space, 2>;

/// A view of a span's entries.
template <class T>
constexpr host_vector_view<T> view_of(std::span<T> entries) {
  return {entries.data(), static_cast<index_t>(entries.size())};
}
/// A span of a view's entries.
template <class T>
constexpr std::span<T> as_span(host_vector_view<T> v) {
  return {v.data, to_size(v.size())};
}

}  // namespace core
}  // namespace mql4grec
