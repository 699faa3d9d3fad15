#pragma once
// Statistics of features, computed in one pass before training.
#include <algorithm>
#include <bit>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "mql4grec/core/checksum.hpp"
#include "mql4grec/embed/features.hpp"

namespace mql4grec::embed {

/// The input of feature_scaling: (x − mean) / √variance has mean 0 in every column and variance 1 over all entries.
struct feature_statistics {
  std::vector<float> mean;     ///< (width): the mean of each column
  double variance = 0;         ///< mean over all entries of (x − mean of its column)²
  std::uint64_t checksum = 0;  ///< of all rows in their order, as checksum_of_rows()
};

namespace detail {

/// The position of the first NaN or infinity, or −1. The check uses the bits of the exponent, because a compiler may
/// assume that there are no NaNs.
inline index_t first_not_finite(host_vector_view<float const> row) {
  constexpr std::uint32_t exponent = 0x7F800000u;
  auto const bad = [&](index_t j) { return (std::bit_cast<std::uint32_t>(row.data[j]) & exponent) == exponent; };
  std::uint32_t any = 0;
  for (index_t j = 0; j < row.size(); ++j)
    // No early exit: the compiler vectorises this loop.
    any |= static_cast<std::uint32_t>(bad(j));
  for (index_t j = 0; any != 0; ++j)
    if (bad(j)) return j;
  return -1;
}

/// Sums over rows of x − x₀ and (x − x₀)², where x₀ is the first row. The shift by x₀ avoids catastrophic cancellation:
/// the variance includes the first row's own deviation, so the cancelled terms are at most n times the result. Equal
/// rows give exactly 0.
class column_sums {
 public:
  explicit column_sums(host_vector_view<float const> first_row)
      : origin_(first_row.data, first_row.data + first_row.size()), sums_(origin_.size()), squares_(origin_.size()) {}

  void add(host_vector_view<float const> row) {
    double const* const origin = origin_.data();
    double *const sums = sums_.data(), *const squares = squares_.data();
    for (index_t j = 0; j < row.size(); ++j) {
      double const moved = static_cast<double>(row.data[j]) - origin[j];
      sums[j] += moved;
      squares[j] += moved * moved;
    }
    ++rows_;
  }
  feature_statistics result() const {
    auto const n = static_cast<double>(rows_);
    feature_statistics found;
    double squares = 0;
    for (std::size_t j = 0; j < origin_.size(); ++j) {
      double const mean = sums_[j] / n;  // of x − x₀
      found.mean.push_back(static_cast<float>(origin_[j] + mean));
      squares += std::max(0.0, squares_[j] - sums_[j] * mean);
    }
    found.variance = squares / (n * static_cast<double>(origin_.size()));
    return found;
  }

 private:
  std::vector<double> origin_, sums_, squares_;  // (width) each
  index_t rows_ = 0;
};

/// The location of a row for error messages: that of the source if it has place_of(), otherwise "row 3".
template <FeatureSource F>
std::string place_of_row(F const& features, index_t row) {
  if constexpr (requires { features.place_of(row); })
    return features.place_of(row);
  else
    return "row " + std::to_string(row);
}

}  // namespace detail

namespace detail {

/// Calls task(first row, rows) for all rows, in blocks of 1 MiB, regardless of the size of the catalog.
template <FeatureSource F, class Task>
void for_each_block_of_rows(F const& features, Task&& task) {
  index_t const rows = features.rows(), width = features.width();
  index_t const block =
      std::clamp<index_t>((index_t{1} << 18) / std::max<index_t>(1, width), 1, std::max<index_t>(1, rows));
  std::vector<float> memory(to_size(block * width));
  for (index_t first = 0; first < rows; first += block) {
    host_matrix_view<float> const x(memory.data(), std::min(block, rows - first), width);
    features.read(first, x);
    task(first, x);
  }
}

/// Continues the checksum of rows by those of a block.
inline std::uint64_t add_to_checksum(std::uint64_t sum, host_matrix_view<float> rows) {
  return mql4grec::checksum(std::as_bytes(as_span(rows.flat())), sum);
}

}  // namespace detail

/// A checksum of all rows in their order, to compare the features of several processes. Reads all rows once.
template <FeatureSource F>
[[nodiscard]] std::uint64_t checksum_of_rows(F const& features) {
  std::uint64_t sum = 0;
  detail::for_each_block_of_rows(features,
                                 [&](index_t, host_matrix_view<float> x) { sum = detail::add_to_checksum(sum, x); });
  return sum;
}

/// The number of different rows, counted up to `enough`; −0 and 0 are equal. Rows are compared by a 64-bit hash, so
/// that they don't have to be kept in memory.
template <FeatureSource F>
[[nodiscard]] index_t distinct_rows(F const& features, index_t enough) {
  index_t const rows = features.rows(), width = features.width();
  index_t const block =
      std::clamp<index_t>((index_t{1} << 16) / std::max<index_t>(1, width), 1, std::max<index_t>(1, rows));
  std::vector<float> memory(to_size(block * width));
  std::unordered_set<std::size_t> seen;
  for (index_t first = 0; first < rows; first += block) {
    host_matrix_view<float> const x(memory.data(), std::min(block, rows - first), width);
    features.read(first, x);
    for (index_t i = 0; i < x.rows(); ++i) {
      auto const row = as_span(x.row(i));
      for (float& value : row) value += 0.f;
      seen.insert(std::hash<std::string_view>()({reinterpret_cast<char const*>(row.data()), row.size_bytes()}));
      if (std::ssize(seen) >= enough) return enough;
    }
  }
  return std::ssize(seen);
}

/// Reads all rows once, in blocks, and returns their statistics. Throws error for the first entry that isn't finite
/// (the message contains its row and column), and when there are no rows or no columns. Messages start with `name`.
template <FeatureSource F>
[[nodiscard]] feature_statistics measure_features(F const& features, std::string_view name) {
  index_t const rows = features.rows(), width = features.width();
  expects(rows >= 1 && width >= 1, name, ": ", rows, " rows of ", width, " entries, expected at least one of each");
  std::vector<float> origin(to_size(width));
  features.read(0, {origin.data(), 1, width});
  detail::column_sums sums({origin.data(), width});
  std::uint64_t checksum = 0;
  detail::for_each_block_of_rows(features, [&](index_t first, host_matrix_view<float> x) {
    checksum = detail::add_to_checksum(checksum, x);
    for (index_t i = 0; i < x.rows(); ++i) {
      index_t const bad = detail::first_not_finite(x.row(i));
      if (bad >= 0) [[unlikely]]
        raise(name, ": ", detail::place_of_row(features, first + i), ", column ", bad, ": ", x(i, bad),
              ", expected a finite number");
      sums.add(x.row(i));
    }
  });
  auto found = sums.result();
  found.checksum = checksum;
  return found;
}

/// The statistics of features that a quantizer is to be trained on. Throws error as measure_features(), and when all
/// rows are equal.
template <FeatureSource F>
[[nodiscard]] feature_statistics check_finite(F const& features, std::string_view name) {
  auto found = measure_features(features, name);
  expects(found.variance > 0, name, ": all ", features.rows(),
          " rows are equal, their variance is 0; nothing can be learnt from them");
  return found;
}

}  // namespace mql4grec::embed
