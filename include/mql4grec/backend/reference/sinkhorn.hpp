#pragma once
#include <algorithm>
#include <cassert>
#include <cmath>

#include "mql4grec/backend/contract/sinkhorn.hpp"
#include "mql4grec/backend/reference/nearest_code.hpp"

namespace mql4grec::reference {

namespace detail {

/// The plan's beginning, (n,K): e^(−d/ε) of the distances centred to [−1, 1], over its sum. What e^(−lowest/ε) would
/// multiply it by goes away with the sum, so it is left out: nothing overflows, however small ε is.
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
      plan(i, k) = exponent < mql4grec::detail::sinkhorn_least_exponent ? 0 : std::exp(exponent);
      total += plan(i, k);
    }
  for (index_t i = 0; i < plan.rows(); ++i)
    for (index_t k = 0; k < plan.columns(); ++k) plan(i, k) /= total;
}

/// What a sum is multiplied by to become the target; a sum that is none stays none.
inline double sinkhorn_factor(double sum, double target) {
  return sum >= mql4grec::detail::sinkhorn_least_mass ? target / sum : 0;
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

/// The code with most of a row's mass, of equal masses the nearest; −1 for a row without mass.
template <Real T>
index_t heaviest_code(in_vector<backend, double> row, in_vector<backend, T> distances) {
  double sum = 0, highest = 0;
  for (index_t k = 0; k < row.size(); ++k) {
    sum += row(k);
    highest = std::max(highest, row(k));
  }
  if (!(sum >= mql4grec::detail::sinkhorn_least_mass)) return -1;  // nor has one of NaN
  index_t best = -1;
  for (index_t k = 0; k < row.size(); ++k)
    if (row(k) >= highest * mql4grec::detail::sinkhorn_equal && (best < 0 || distances(k) < distances(best))) best = k;
  return best;
}

}  // namespace detail

/// distances (n,K) -> plan (n,K), whose rows have nearly the mass 1/n each and whose codes 1/K (Sinkhorn–Knopp; Cuturi
/// 2013): the plan e^(−d/ε) / Σ of the distances centred to [−1, 1] — middle = (max + min) / 2, amplitude = max −
/// middle
/// + 1e-5 — has its rows and its codes scaled to that, `iterations` times.
///
/// With ε ≥ 0.003 all of it is within a double's range. With a smaller ε, masses can vanish (below 1e-300): such a row
/// or code has none then. Distances that aren't all finite make a plan of NaN.
template <Real T>
void sinkhorn_plan(backend&, in_matrix<backend, T> distances, double epsilon, int iterations,
                   out_matrix<backend, double> plan, sinkhorn_order order = sinkhorn_order::codes_last) {
  assert(epsilon > 0 && iterations >= 0);
  detail::fill_plan<T>(distances, epsilon, plan);
  for (int round = 0; round < iterations; ++round) {
    if (order == sinkhorn_order::samples_last) detail::scale_codes(plan);
    detail::scale_rows(plan);
    if (order == sinkhorn_order::codes_last) detail::scale_codes(plan);
  }
}

/// distances (n,K) -> codes (n), spread evenly over the codes: where most of a row's mass in the plan is, of equal
/// masses the nearest, of equally near ones the first. A row without mass, and every row when distances aren't all
/// finite, gets its nearest code; a code without mass is nobody's choice.
template <Real T>
void sinkhorn_assign(backend& b, in_matrix<backend, T> distances, double epsilon, int iterations,
                     out_vector<backend, code_t> codes, sinkhorn_order order = sinkhorn_order::codes_last) {
  assert(distances.rows() == 0 || distances.columns() > 0);
  scratch_scope<backend> const scope(b.scratch());
  auto const plan = b.scratch().template take<double>(distances.rows(), distances.columns());
  sinkhorn_plan<T>(b, distances, epsilon, iterations, plan, order);
  for (index_t i = 0; i < plan.rows(); ++i) {
    index_t const code = detail::heaviest_code<T>(plan.row(i), distances.row(i));
    codes(i) = static_cast<code_t>(code);
    if (code < 0) argmin_rows<T>(b, distances.row_block(i, 1), codes.part(i, 1));
  }
}

}  // namespace mql4grec::reference
