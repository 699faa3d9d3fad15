// Laws fitted to the rows of a table.
#include "laws.hpp"

#include <array>
#include <cmath>

#include "report/text.hpp"

namespace mql4grec::experiments {

namespace {

/// The 97.5 % quantile of Student's t with n degrees of freedom: from tables up to ten, then the first terms of its
/// expansion around the normal distribution (Abramowitz and Stegun, 26.7.5).
double student_quantile(std::size_t n) {
  constexpr std::array few = {12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228};
  if (n <= few.size()) return few[n - 1];
  constexpr double z = 1.96, cube = z * z * z, fifth = cube * z * z;
  double const f = static_cast<double>(n);
  return z + (cube + z) / (4 * f) + (5 * fifth + 16 * cube + 3 * z) / (96 * f * f);
}

}  // namespace

power_law fit_power_law(std::vector<std::pair<double, double>> const& points) {
  std::vector<std::pair<double, double>> logs;
  for (auto const& [x, y] : points)
    if (x > 0 && y > 0) logs.emplace_back(std::log(x), std::log(y));
  double const n = static_cast<double>(logs.size());
  double mean_x = 0, mean_y = 0, xx = 0, xy = 0, errors = 0;
  for (auto const& [x, y] : logs) mean_x += x / n, mean_y += y / n;
  for (auto const& [x, y] : logs) {
    xx += (x - mean_x) * (x - mean_x);
    xy += (x - mean_x) * (y - mean_y);
  }
  if (!(xx > 1e-9)) return {std::nan(""), std::nan("")};
  double const slope = xy / xx;
  for (auto const& [x, y] : logs) {
    double const e = y - mean_y - slope * (x - mean_x);
    errors += e * e;
  }
  return {slope, logs.size() > 2 ? student_quantile(logs.size() - 2) * std::sqrt(errors / (n - 2) / xx) : std::nan("")};
}

std::string text_of(power_law const& law, std::string const& variable) {
  if (!std::isfinite(law.exponent)) return "";
  auto const text = variable + "^" + program::fixed(law.exponent, 3);
  return std::isfinite(law.half_width) ? text + " ± " + program::fixed(law.half_width, 3) : text;
}

}  // namespace mql4grec::experiments
