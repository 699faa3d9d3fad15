#pragma once
// CHECK_CLOSE(actual, expected, tolerance): every |actual − expected| ≤ tolerance · max(1, |expected|), and the shapes
// agree. Takes numbers, tensors of this folder, views, ranges and xtensor arrays in any pairing. A failure names the
// worst entry; NaN is close to nothing.
#include <doctest/doctest.h>

#include <cmath>
#include <iomanip>
#include <ranges>
#include <string>
#include <type_traits>
#include <vector>

#include "mql4grec/core/error.hpp"
#include "support/tensors.hpp"

#define CHECK_CLOSE(...)                                                  \
  do {                                                                    \
    auto const closeness = ::mql4grec::test::compare(__VA_ARGS__);        \
    CHECK_MESSAGE(closeness.holds, #__VA_ARGS__ ": ", closeness.message); \
  } while (false)

namespace mql4grec::test {

/// What is compared: a shape, and numbers row by row.
struct numbers {
  std::vector<index_t> extents;
  std::vector<double> values;
};

template <class T>
double number(T x) {
  return static_cast<double>(x);  // strong ids too
}

inline numbers const& numbers_of(numbers const& x) { return x; }
template <class T>
numbers numbers_of(view<T, host_space, 1> x) {
  numbers all{{x.size()}, {}};
  for (index_t i = 0; i < x.size(); ++i) all.values.push_back(number(x(i)));
  return all;
}
template <class T>
numbers numbers_of(view<T, host_space, 2> x) {
  numbers all{{x.rows(), x.columns()}, {}};
  for (index_t i = 0; i < x.rows(); ++i)
    for (index_t j = 0; j < x.columns(); ++j) all.values.push_back(number(x(i, j)));
  return all;
}
template <class T, class B, int Rank>
numbers numbers_of(tensor_on<T, B, Rank> const& x) {
  return numbers_of(fetched(x));
}
template <class T>
numbers numbers_of(vector<T> const& x) {
  return numbers_of(view<T const, host_space, 1>(x));
}
template <class T>
numbers numbers_of(matrix<T> const& x) {
  return numbers_of(view<T const, host_space, 2>(x));
}
/// Of a device: by way of the host.
template <class T, MemorySpace S, int Rank>
  requires(!std::same_as<S, host_space>)
numbers numbers_of(view<T, S, Rank> x) { return numbers_of(fetched(x)); }
template <class T>
  requires std::is_arithmetic_v<T> || std::is_enum_v<T> numbers numbers_of(T x) { return {{}, {number(x)}}; }
template <std::ranges::input_range R>
numbers numbers_of(R const& range) {
  numbers all;
  if constexpr (requires { range.shape().size(); })
    for (auto extent : range.shape()) all.extents.push_back(static_cast<index_t>(extent));
  else
    all.extents.push_back(static_cast<index_t>(std::ranges::distance(range)));
  for (auto const& x : range) all.values.push_back(number(x));
  return all;
}

/// The larger of two numbers, or NaN if one of them is: std::max drops a NaN in its second argument.
inline double larger(double a, double b) { return std::isnan(a) || a > b ? a : b; }

struct verdict {
  bool holds;
  std::string message;
};

inline std::string shape_text(std::vector<index_t> const& extents) {
  if (extents.empty()) return "a number";
  std::string message = std::to_string(extents[0]);
  for (std::size_t i = 1; i < extents.size(); ++i) message += " × " + std::to_string(extents[i]);
  return message;
}

inline std::string place_text(std::vector<index_t> const& extents, std::size_t at) {
  if (extents.empty()) return "it";
  auto rest = static_cast<index_t>(at);
  std::string message;
  for (std::size_t i = extents.size(); i-- > 0; rest /= extents[i])
    message = std::to_string(rest % extents[i]) + (message.empty() ? "" : ", " + message);
  return "(" + message + ") of " + shape_text(extents);
}

inline verdict compare_numbers(numbers const& actual, numbers const& expected, double tolerance) {
  if (actual.extents != expected.extents)
    return {false, "the shape is " + shape_text(actual.extents) + " instead of " + shape_text(expected.extents)};
  double worst = 0;  // by how many times its allowance an entry differs
  std::size_t at = 0, apart = 0;
  for (std::size_t i = 0; i < actual.values.size(); ++i) {
    double const x = actual.values[i], y = expected.values[i];
    if (x == y) continue;  // infinities too
    double const difference = std::abs(x - y), allowed = tolerance * std::max(1.0, std::abs(y));
    if (difference <= allowed) continue;
    double const excess = std::isnan(difference) ? INFINITY : difference / allowed;
    ++apart;
    if (apart == 1 || excess > worst) worst = excess, at = i;
  }
  if (apart == 0) return {true, {}};
  std::ostringstream message;
  double const x = actual.values[at], y = expected.values[at];
  message << std::setprecision(10) << place_text(actual.extents, at) << " is " << x << " instead of " << y
          << ": the difference is " << x - y << ", allowed " << tolerance * std::max(1.0, std::abs(y)) << " (tolerance "
          << tolerance << "); " << apart << " of " << actual.values.size() << " entries are apart";
  return {false, message.str()};
}

template <class Actual, class Expected>
verdict compare(Actual const& actual, Expected const& expected, double tolerance) {
  return compare_numbers(numbers_of(actual), numbers_of(expected), tolerance);
}

}  // namespace mql4grec::test
