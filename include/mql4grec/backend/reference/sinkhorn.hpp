#pragma once
// Balanced assignment by Sinkhorn's algorithm. Fifty rounds at ε = 0.003 don't converge: the order of the scalings
// matters.
#include <algorithm>
#include <cassert>
#include <cmath>

#include "mql4grec/backend/contract/sinkhorn.hpp"
#include "mql4grec/backend/reference/nearest_code.hpp"

namespace mql4grec::reference {

namespace detail {

/// The initial plan (n,K): e^(−d/ε) of the distances centred to [−1, 1], divided by its sum. The factor e^(−lowest/ε)
/// cancels in that division and is left out, so nothing overflows however small ε is.
template <Real T>
void fill_plan(in_matrix<backend, T> distances, double epsilon, out_matrix<backend, double> plan) {
  double lowest = INFINITY, highest = -INFINITY, total = 0;
  for (index_t i = 0; i < plan.rows(); ++i)
    for (index_t k = 0; k < plan.columns(); ++k) {
      lowest = std::min(lowest, static_cast<double>(distances(i, k)));
      highest = std::max(highest, static_cast<double>(distances(i, k)));
    }
  double const middle = (highest + lowest) / 2, amplitude = highest - middle + 1e-5,
               first = (lowest - middle) / amplitude;
  for (index_t i = 0; i < plan.rows(); ++i)
    for (index_t k = 0; k < plan.columns(); ++k) {
      double const exponent = (first - (static_cast<double>(distances(i, k)) - middle) / amplitude) / epsilon;
      plan(i, k) = exponent < mql4grec::contract::detail::sinkhorn_min_exponent ? 0 : std::exp(exponent);
      total += plan(i, k);
    }
  for (index_t i = 0; i < plan.rows(); ++i)
    for (index_t k = 0; k < plan.columns(); ++k) plan(i, k) /= total;
}

/// The factor that scales a sum to `target`; 0 for an empty row or code, which stays empty.
inline double sinkhorn_factor(double sum, double target) {
  return sum >= mql4grec::contract::detail::sinkhorn_min_mass ? target / sum : 0;
}

inline void scale_rows(out_matrix<backend, double> plan) {
  for (index_t i = 0; i < plan.rows(); ++i) {
    double sum = 0;
    for (index_t k = 0; k < plan.columns(); ++k) sum += plan(i, k);
    double const factor = sinkhorn_factor(sum, 1 / static_cast<double>(plan.rows()));
    for (index_t k = 0; k < plan.columns(); ++k) plan(i, k) *= factor;
  }
}
inline void scale_codes(out_matrix<backend, double> plan) {
  for (index_t k = 0; k < plan.columns(); ++k) {
    double sum = 0;
    for (index_t i = 0; i < plan.rows(); ++i) sum += plan(i, k);
    double const factor = sinkhorn_factor(sum, 1 / static_cast<double>(plan.columns()));
    for (index_t i = 0; i < plan.rows(); ++i) plan(i, k) *= factor;
  }
}

/// The code with the largest mass in a row; of equal masses the nearest code; −1 for a row without mass.
template <Real T>
index_t largest_share_code(in_vector<backend, double> row, in_vector<backend, T> distances) {
  double sum = 0, highest = 0;
  for (index_t k = 0; k < row.size(); ++k) {
    sum += row(k);
    highest = std::max(highest, row(k));
  }
  if (!(sum >= mql4grec::contract::detail::sinkhorn_min_mass)) return -1;  // true for NaN too
  index_t best = -1;
  for (index_t k = 0; k < row.size(); ++k)
    if (row(k) >= highest * mql4grec::contract::detail::sinkhorn_equal && (best < 0 || distances(k) < distances(best)))
      best = k;
  return best;
}

}  // namespace detail

/// plan (n,K) from distances (n,K), in which each row has a mass of nearly 1/n and each code of nearly 1/K
/// (Sinkhorn–Knopp; Cuturi 2013). The initial plan is e^(−d/ε) / Σ of the distances centred to [−1, 1]: middle = (max +
/// min) / 2, amplitude = max − middle + 1e-5. Its rows and its codes are scaled to these masses options.iterations
/// times.
///
/// With ε ≥ 0.003 all values are within the range of a double. With a smaller ε, masses can underflow (below 1e-300):
/// such a row or code then has no mass. If a distance isn't finite, the plan is NaN.
template <Real T>
void sinkhorn_plan(backend&, in_matrix<backend, T> distances, sinkhorn_options const& options,
                   out_matrix<backend, double> plan) {
  assert(options.epsilon > 0 && options.iterations >= 0);
  detail::fill_plan<T>(distances, options.epsilon, plan);
  for (int round = 0; round < options.iterations; ++round) {
    if (options.order == sinkhorn_order::samples_last) detail::scale_codes(plan);
    detail::scale_rows(plan);
    if (options.order == sinkhorn_order::codes_last) detail::scale_codes(plan);
  }
}

/// codes (n) = an assignment of the rows of distances (n,K), spread evenly over the codes: the code with the largest
/// mass in the row's plan; of equal masses the nearest, and of equally near ones the first. A row without mass gets its
/// nearest code, as does every row when a distance isn't finite. No row gets a code without mass.
template <Real T>
void sinkhorn_assign(backend& b, in_matrix<backend, T> distances, sinkhorn_options const& options,
                     out_vector<backend, code_t> codes) {
  assert(distances.rows() == 0 || distances.columns() > 0);
  scratch_scope<backend> const scope(b.scratch());
  auto const plan = take<double>(b, distances.rows(), distances.columns());
  sinkhorn_plan<T>(b, distances, options, plan);
  for (index_t i = 0; i < plan.rows(); ++i) {
    index_t const code = detail::largest_share_code<T>(plan.row(i), distances.row(i));
    codes(i) = static_cast<code_t>(code);
    if (code < 0) argmin_rows<T>(b, distances.row_block(i, 1), codes.part(i, 1));
  }
}

}  // namespace mql4grec::reference
