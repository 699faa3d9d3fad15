#pragma once
// Small tensors for tests: `vector{1.f, 2.f}` and `matrix{{1.f, 2.f}, {3.f, 4.f}}` are literals, `on(backend,
// tensor)` gives a backend its own copy, which converts to the views that operations take.
#include <algorithm>
#include <complex>
#include <initializer_list>
#include <limits>
#include <span>
#include <vector>

#include "mql4grec/backend/contract/buffer.hpp"
#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/backend/contract/transfer.hpp"
#include "mql4grec/core/ids.hpp"
#include "mql4grec/core/random.hpp"

namespace mql4grec::test {

struct shape {
  index_t rows = 0, columns = 0;
  index_t size() const { return rows * columns; }
  bool operator==(shape const&) const = default;
};

template <class T>
struct vector {
  std::vector<T> values;

  vector(std::initializer_list<T> entries) : values(entries) {}
  explicit vector(std::vector<T> entries) : values(std::move(entries)) {}
  index_t size() const { return std::ssize(values); }
  shape extents() const { return {size(), 1}; }
  T const& operator()(index_t i) const { return values[static_cast<std::size_t>(i)]; }
  operator view<T const, host_space, 1>() const { return {values.data(), size()}; }
};

template <class T>
struct matrix {
  shape extent;
  std::vector<T> values;  // row-major

  matrix() = default;  // otherwise nvcc interprets {} as a list of one empty row
  matrix(std::initializer_list<std::initializer_list<T>> rows)
      : extent{std::ssize(rows), rows.size() ? std::ssize(*rows.begin()) : 0} {
    for (auto const& row : rows) values.insert(values.end(), row);
  }
  matrix(shape s, std::vector<T> entries) : extent(s), values(std::move(entries)) {}
  index_t rows() const { return extent.rows; }
  index_t columns() const { return extent.columns; }
  shape extents() const { return extent; }
  T const& operator()(index_t i, index_t j) const { return values[static_cast<std::size_t>(i * extent.columns + j)]; }
  operator view<T const, host_space, 2>() const { return {values.data(), rows(), columns()}; }
};

// ---- tensors made by rule
// --------------------------------------------------------------------------------------------------

/// Independent normal entries; for another scalar the same numbers, rounded.
template <Field T = double>
vector<T> random_normal(index_t n, std::uint64_t seed) {
  random_stream random(seed, 0);
  std::vector<T> values(static_cast<std::size_t>(n));
  for (T& value : values) value = mql4grec::constant<T>(random.normal());
  return vector<T>(std::move(values));
}
template <Field T = double>
matrix<T> random_normal(shape s, std::uint64_t seed) {
  return {s, random_normal<T>(s.size(), seed).values};
}
template <class T>
matrix<T> constant(shape s, T value) {
  return {s, std::vector<T>(static_cast<std::size_t>(s.size()), value)};
}
template <class T>
vector<T> constant(index_t n, T value) {
  return vector<T>(std::vector<T>(static_cast<std::size_t>(n), value));
}
/// n tokens below `vocabulary`; they repeat.
inline vector<token_t> random_tokens(index_t n, index_t vocabulary, std::uint64_t seed) {
  random_stream random(seed, 1);
  std::vector<token_t> values(static_cast<std::size_t>(n));
  for (token_t& value : values) value = static_cast<token_t>(random.below(vocabulary));
  return vector<token_t>(std::move(values));
}
/// Lengths of packed sequences -> where each begins, and where the last one ends.
inline vector<index_t> offsets_of(std::span<index_t const> lengths) {
  std::vector<index_t> offsets{0};
  for (index_t length : lengths) offsets.push_back(offsets.back() + length);
  return vector<index_t>(std::move(offsets));
}

/// The same numbers as another scalar.
template <class U, class T>
vector<U> as(vector<T> const& from) {
  std::vector<U> values;
  for (T const& value : from.values) values.push_back(static_cast<U>(value));
  return vector<U>(std::move(values));
}
template <class U, class T>
matrix<U> as(matrix<T> const& from) {
  return {from.extent, as<U>(vector<T>(from.values)).values};
}

// ---- tensors of a backend
// --------------------------------------------------------------------------------------------------

/// Memory of a backend with a shape; rows may lie further apart than they are long, and the gaps then hold NaN.
template <class T, class B, int Rank>
class tensor_on {
 public:
  using space = typename B::memory_space;

  tensor_on(B& b, shape s, index_t gap, T everywhere)
      : tensor_on(b, s, gap, std::vector<T>(static_cast<std::size_t>(s.rows * (s.columns + gap)), everywhere)) {}
  /// Everything, the gaps too, row by row.
  tensor_on(B& b, shape s, index_t gap, std::vector<T> const& all)
      : extent_(s), stride_(s.columns + gap), memory_(b.template allocate<T>(s.rows * stride_)) {
    copy(view_of(std::span(all)), memory_.view_all());
  }

  shape extents() const { return extent_; }
  index_t rows() const { return extent_.rows; }
  index_t columns() const { return extent_.columns; }
  index_t size() const { return extent_.size(); }
  auto operator*() { return window<T>(memory_.view_all().data); }
  auto operator*() const { return window<T const>(memory_.view_all().data); }
  operator view<T, space, Rank>() { return **this; }
  operator view<T const, space, Rank>() const { return **this; }

  /// Whether the gaps between rows still hold what they held.
  bool gaps_untouched() const {
    host_copy<T, space> const all(memory_.view_all());
    for (index_t i = 0; i < extent_.rows; ++i)
      for (index_t j = extent_.columns; j < stride_; ++j)
        if (auto const entry = all.view_all()(i * stride_ + j); entry == entry) return false;  // not NaN
    return true;
  }

 private:
  template <class U>
  view<U, space, Rank> window(U* data) const {
    if constexpr (Rank == 1)
      return {data, extent_.rows};
    else
      return {data, extent_.rows, extent_.columns, stride_};
  }

  shape extent_;
  index_t stride_;
  buffer<T, space> memory_;
};

template <class T>
T poison() {
  if constexpr (std::numeric_limits<T>::has_quiet_NaN)
    return std::numeric_limits<T>::quiet_NaN();
  else if constexpr (core::detail::is_complex<T>)
    return T(poison<typename T::value_type>());
  else
    return T{};
}

/// An output that hasn't been written yet: every entry is NaN, so that a missing one is found.
template <class T, Backend B>
tensor_on<T, B, 2> poisoned(B& b, shape s, index_t gap = 0) {
  return {b, s, gap, poison<T>()};
}
template <class T, Backend B>
tensor_on<T, B, 1> poisoned(B& b, index_t n) {
  return {b, {n, 1}, 0, poison<T>()};
}

template <Backend B, class T>
tensor_on<T, B, 1> on(B& b, vector<T> const& from) {
  return {b, {from.size(), 1}, 0, from.values};
}
template <Backend B, class T>
tensor_on<T, B, 2> on(B& b, matrix<T> const& from, index_t gap = 0) {
  std::vector<T> all(static_cast<std::size_t>(from.rows() * (from.columns() + gap)), poison<T>());
  for (index_t i = 0; i < from.rows(); ++i)
    std::copy_n(from.values.data() + i * from.columns(), from.columns(), all.data() + i * (from.columns() + gap));
  return {b, from.extent, gap, all};
}

/// What a backend's tensor holds, back in the host's memory.
template <class T, MemorySpace S>
vector<std::remove_const_t<T>> fetched(view<T, S, 1> x) {
  std::vector<std::remove_const_t<T>> values(static_cast<std::size_t>(x.size()));
  copy(view<T const, S, 1>(x), view_of(std::span(values)));
  return vector<std::remove_const_t<T>>(std::move(values));
}
template <class T, MemorySpace S>
matrix<std::remove_const_t<T>> fetched(view<T, S, 2> x) {
  matrix<std::remove_const_t<T>> all({x.rows(), x.columns()}, {});
  for (index_t i = 0; i < x.rows(); ++i) {
    auto const row = fetched(x.row(i));
    all.values.insert(all.values.end(), row.values.begin(), row.values.end());
  }
  return all;
}
template <class T, class B, int Rank>
auto fetched(tensor_on<T, B, Rank> const& x) {
  return fetched(*x);
}

}  // namespace mql4grec::test
