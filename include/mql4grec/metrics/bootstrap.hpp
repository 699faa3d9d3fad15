#pragma once
// Confidence intervals of a metric over users by the bootstrap (Efron & Tibshirani 1993, chapter 13): users are drawn
// with replacement, and the interval contains the central part of the means. It covers the choice of the users, not
// that of the seed a model was trained with.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/random.hpp"

namespace mql4grec::metrics {

/// A mean with a confidence interval.
struct interval {
  double mean = 0;           ///< of all users
  double low = 0, high = 0;  ///< ends of the interval
  bool operator==(interval const&) const = default;
};

/// Options of the bootstrap.
struct bootstrap_options {
  index_t samples = 1000;    ///< sets of users that are drawn
  double confidence = 0.95;  ///< probability of the interval, in (0, 1)
  std::uint64_t seed = 42;   ///< of the draws
};

/// The mean of one value per user with its percentile interval. Equal options and numbers of users draw the same users.
/// Throws error without users, and for options out of range.
[[nodiscard]] inline interval bootstrap_mean(std::span<double const> values, bootstrap_options const& options = {}) {
  expects(!values.empty(), "bootstrap: no users");
  expects(options.samples >= 1, "bootstrap: ", options.samples, " samples, expected at least 1");
  expects(options.confidence > 0 && options.confidence < 1, "bootstrap: a confidence of ", options.confidence,
          ", expected 0 < confidence < 1");
  auto const n = static_cast<double>(values.size());
  double sum = 0;
  for (auto const value : values) sum += value;
  std::vector<double> means;
  for (index_t s = 0; s < options.samples; ++s) {
    random_stream random(options.seed, static_cast<std::uint64_t>(s));
    double drawn = 0;
    for (std::size_t i = 0; i < values.size(); ++i) drawn += values[to_size(random.below(std::ssize(values)))];
    means.push_back(drawn / n);
  }
  std::ranges::sort(means);
  auto const quantile = [&](double q) {
    return means[to_size(static_cast<index_t>(std::llround(q * static_cast<double>(means.size() - 1))))];
  };
  double const tail = (1 - options.confidence) / 2;
  return {.mean = sum / n, .low = quantile(tail), .high = quantile(1 - tail)};
}

/// The mean difference a − b of two systems on the same users, with its interval (paired bootstrap). If the interval
/// excludes 0, another choice of users would hardly reverse the order. Throws error if the numbers of users differ, and
/// as bootstrap_mean.
[[nodiscard]] inline interval bootstrap_difference(std::span<double const> a, std::span<double const> b,
                                                   bootstrap_options const& options = {}) {
  expects(a.size() == b.size(), "bootstrap: ", a.size(), " and ", b.size(), " users, expected the same users");
  std::vector<double> difference;
  for (std::size_t i = 0; i < a.size(); ++i) difference.push_back(a[i] - b[i]);
  return bootstrap_mean(difference, options);
}

}  // namespace mql4grec::metrics
