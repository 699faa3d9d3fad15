#pragma once
// Balanced assignment; what is computed stands in backend/reference/sinkhorn.hpp.
#include <cmath>

#include "mql4grec/backend/gpu/nearest_code.hpp"
#include "mql4grec/backend/sinkhorn.hpp"

namespace mql4grec::gpu {

namespace detail {

struct distance_range {
  double lowest, highest;
};

struct widest {
  MQL4GREC_HD distance_range operator()(distance_range a, distance_range b) const {
    return {b.lowest < a.lowest ? b.lowest : a.lowest, b.highest > a.highest ? b.highest : a.highest};
  }
};

template <class In>
struct range_of_entry {
  In distances;
  MQL4GREC_HD distance_range operator()(index_t at) const {
    auto const d = static_cast<double>(distances(at / distances.columns(), at % distances.columns()));
    return {d, d};
  }
};

/// The plan's beginning, but for the factor that makes its sum 1.
template <class In, class Plan>
struct plan_entry {
  In distances;
  double middle, amplitude, first, epsilon;
  Plan plan;
  MQL4GREC_HD void operator()(index_t i, index_t k) const {
    double const exponent = (first - (static_cast<double>(distances(i, k)) - middle) / amplitude) / epsilon;
    plan(i, k) = exponent < mql4grec::detail::sinkhorn_least_exponent ? 0 : std::exp(exponent);
  }
};

template <class Plan>
struct plan_value {
  Plan plan;
  MQL4GREC_HD double operator()(index_t at) const { return plan(at / plan.columns(), at % plan.columns()); }
};

template <class Plan>
struct divide_entry {
  double by;
  Plan plan;
  MQL4GREC_HD void operator()(index_t i, index_t k) const { plan(i, k) /= by; }
};

template <class Plan>
struct scale_plan_row {
  Plan plan;
  MQL4GREC_HD void operator()(index_t i) const {
    double sum = 0;
    for (index_t k = 0; k < plan.columns(); ++k) sum += plan(i, k);
    double const factor = sum >= mql4grec::detail::sinkhorn_least_mass ? 1 / static_cast<double>(plan.rows()) / sum : 0;
    for (index_t k = 0; k < plan.columns(); ++k) plan(i, k) *= factor;
  }
};

template <class Plan>
struct scale_plan_code {
  Plan plan;
  MQL4GREC_HD void operator()(index_t k) const {
    double sum = 0;
    for (index_t i = 0; i < plan.rows(); ++i) sum += plan(i, k);
    double const factor = sum >= mql4grec::detail::sinkhorn_least_mass ? 1 / static_cast<double>(plan.columns()) / sum : 0;
    for (index_t i = 0; i < plan.rows(); ++i) plan(i, k) *= factor;
  }
};

/// The code with most of a row's mass, of equal masses the nearest; the nearest code of all for a row without mass.
template <Real T, class In, class Plan>
struct heaviest_code_row {
  In distances;
  Plan plan;
  code_t* codes;
  MQL4GREC_HD void operator()(index_t i) const {
    double sum = 0, highest = 0;
    for (index_t k = 0; k < plan.columns(); ++k) {
      sum += plan(i, k);
      highest = plan(i, k) > highest ? plan(i, k) : highest;
    }
    index_t best = -1;
    if (sum >= mql4grec::detail::sinkhorn_least_mass)  // nor has one of NaN
      for (index_t k = 0; k < plan.columns(); ++k)
        if (plan(i, k) >= highest * mql4grec::detail::sinkhorn_equal && (best < 0 || distances(i, k) < distances(i, best))) best = k;
    codes[i] = static_cast<code_t>(best >= 0 ? best : smallest<T>(distances.row(i).data, distances.columns()));
  }
};

}  // namespace detail

// distances (n,K) -> plan (n,K)
template <Real T, class System>
void sinkhorn_plan(backend<System>& b, in_matrix<backend<System>, T> distances, double epsilon, int iterations,
                   out_matrix<backend<System>, double> plan, sinkhorn_order order = sinkhorn_order::codes_last) {
  if (plan.size() == 0) return;
  thrust::counting_iterator<index_t> const entries(0);
  auto const range = thrust::transform_reduce(b.policy(), entries, entries + distances.size(), detail::range_of_entry<decltype(distances)>{distances},
                                              detail::distance_range{INFINITY, -INFINITY}, detail::widest{});
  double const middle = (range.highest + range.lowest) / 2, amplitude = range.highest - middle + 1e-5;
  double const first = (range.lowest - middle) / amplitude;
  detail::for_each_entry(b, plan.rows(), plan.columns(),
                         detail::plan_entry<decltype(distances), decltype(plan)>{distances, middle, amplitude, first, epsilon, plan});
  double const total = detail::sum_over<double>(b, plan.size(), detail::plan_value<decltype(plan)>{plan});
  detail::for_each_entry(b, plan.rows(), plan.columns(), detail::divide_entry<decltype(plan)>{total, plan});
  for (int round = 0; round < iterations; ++round) {
    if (order == sinkhorn_order::samples_last) detail::for_each_index(b, plan.columns(), detail::scale_plan_code<decltype(plan)>{plan});
    detail::for_each_index(b, plan.rows(), detail::scale_plan_row<decltype(plan)>{plan});
    if (order == sinkhorn_order::codes_last) detail::for_each_index(b, plan.columns(), detail::scale_plan_code<decltype(plan)>{plan});
  }
}

// distances (n,K) -> codes (n), spread evenly over the codes
template <Real T, class System>
void sinkhorn_assign(backend<System>& b, in_matrix<backend<System>, T> distances, double epsilon, int iterations,
                     out_vector<backend<System>, code_t> codes, sinkhorn_order order = sinkhorn_order::codes_last) {
  scratch_scope<backend<System>> const scope(b.scratch());
  auto const plan = b.scratch().template take<double>(distances.rows(), distances.columns());
  sinkhorn_plan<T>(b, distances, epsilon, iterations, plan, order);
  detail::for_each_index(b, distances.rows(), detail::heaviest_code_row<T, decltype(distances), decltype(plan)>{distances, plan, codes.data});
}

}  // namespace mql4grec::gpu
