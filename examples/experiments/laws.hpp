#pragma once
// Laws fitted to the rows of a table.
#include <string>
#include <utility>
#include <vector>

namespace mql4grec::experiments {

/// y ~ x^exponent.
struct power_law {
  double exponent;
  double half_width;  ///< of the exponent's 95 % interval by Student's t; not a number from two points
};

/// Least squares of log y on log x; points that aren't positive are left out. The exponent isn't a number if fewer than
/// two values of x are left. The interval takes errors as independent and of one size.
power_law fit_power_law(std::vector<std::pair<double, double>> const& points);

/// "N^-0.12 ± 0.03"; empty if there is no exponent.
std::string text_of(power_law const& law, std::string const& variable);

}  // namespace mql4grec::experiments
