#pragma once
// Balanced assignment by Sinkhorn's algorithm. The plan is a kernel matrix with a factor for each row and each code:
// plan(i, k) = u(i) · kernel(i, k) · v(k). A round changes the factors and reads the kernel once. When factors are far
// from 1 they are multiplied into the kernel, which then is the plan itself, so that nothing overflows or underflows
// that wouldn't in the reference. The first round always does so, because its range is the widest.
#include <cassert>
#include <cmath>

#include "mql4grec/backend/cpu/nearest_code.hpp"
#include "mql4grec/backend/cpu/operations.hpp"
#include "mql4grec/backend/cpu/primitives/math.hpp"
#include "mql4grec/backend/reference/sinkhorn.hpp"

namespace mql4grec::cpu {

namespace detail {

/// e^x with a relative error below 1e-15 for −708 ≤ x ≤ 709. x = n·ln 2 + r: the series up to the 13th power on |r| ≤
/// ln 2 / 2, whose next term is below 5e-18, times 2ⁿ, which is added to the exponent bits.
MQL4GREC_INLINE double exp_of_double(double x) {
  constexpr double to_integer =
      6755399441055744.0;  // 1.5·2⁵²: adding it rounds to the nearest integer, in the low bits
  double const shifted = x * 1.4426950408889634 + to_integer;
  double const n = shifted - to_integer;
  double const r = (x - n * 0.693147180369123816490) -
                   n * 1.90821492927058770002e-10;  // ln 2 in two parts: n times the first part is exact
  double p = 1.0 / 6227020800;
  p = p * r + 1.0 / 479001600;
  p = p * r + 1.0 / 39916800;
  p = p * r + 1.0 / 3628800;
  p = p * r + 1.0 / 362880;
  p = p * r + 1.0 / 40320;
  p = p * r + 1.0 / 5040;
  p = p * r + 1.0 / 720;
  p = p * r + 1.0 / 120;
  p = p * r + 1.0 / 24;
  p = p * r + 1.0 / 6;
  p = p * r + 0.5;
  p = p * r * r + r + 1;
  std::uint64_t const exponent = (std::bit_cast<std::uint64_t>(shifted) << 52) + 0x3ff0000000000000u;
  return p * std::bit_cast<double>(exponent);
}

MQL4GREC_INLINE double sum_of_lanes(double (&part)[lanes]) {
  for (index_t half = lanes / 2; half > 0; half /= 2)
    for (index_t l = 0; l < half; ++l) part[l] += part[l + half];
  return part[0];
}

/// Σ x; n is a multiple of `lanes`.
MQL4GREC_INLINE double sum_of_doubles(double const* x, index_t n) {
  double part[lanes] = {};
  for (index_t i = 0; i < n; i += lanes)
    for (index_t l = 0; l < lanes; ++l) part[l] += x[i + l];
  return sum_of_lanes(part);
}

/// Σ x ∘ y; n is a multiple of `lanes`.
MQL4GREC_INLINE double dot_of_doubles(double const* x, double const* y, index_t n) {
  double part[lanes] = {};
  for (index_t i = 0; i < n; i += lanes)
    for (index_t l = 0; l < lanes; ++l) part[l] += x[i + l] * y[i + l];
  return sum_of_lanes(part);
}

/// The minimum and maximum of a row and of the previous result.
template <class T>
struct range_kernel {
  struct result {
    T lowest, highest;
  };
  MQL4GREC_INLINE static result run(T const* x, index_t n, result so_far) {
    T low[lanes], high[lanes];
    for (index_t l = 0; l < lanes; ++l) low[l] = so_far.lowest, high[l] = so_far.highest;
    index_t i = 0;
    for (; i + lanes <= n; i += lanes)
      for (index_t l = 0; l < lanes; ++l) {
        low[l] = x[i + l] < low[l] ? x[i + l] : low[l];
        high[l] = x[i + l] > high[l] ? x[i + l] : high[l];
      }
    for (index_t l = 0; i + l < n; ++l) {
      low[l] = x[i + l] < low[l] ? x[i + l] : low[l];
      high[l] = x[i + l] > high[l] ? x[i + l] : high[l];
    }
    for (index_t l = 1; l < lanes; ++l) {
      low[0] = low[l] < low[0] ? low[l] : low[0];
      high[0] = high[l] > high[0] ? high[l] : high[0];
    }
    return {low[0], high[0]};
  }
};

/// Computes a row of the kernel, padded with zeros, and returns its sum. An entry is e^(slope · (lowest − d)): the
/// reference's plan before the division by its sum.
template <class T>
struct sinkhorn_kernel_row {
  MQL4GREC_INLINE static double run(T const* distances, index_t n, double lowest, double slope, double* row,
                                    index_t stride) {
    for (index_t k = 0; k < n; ++k) {
      double const exponent = slope * (lowest - static_cast<double>(distances[k]));
      bool const none =
          exponent < mql4grec::contract::detail::sinkhorn_min_exponent;  // false for NaN, which is preserved
      double const power = exp_of_double(none ? 0.0 : exponent);
      row[k] = none ? 0.0 : power;
    }
    for (index_t k = n; k < stride; ++k) row[k] = 0;
    return sum_of_doubles(row, stride);
  }
};

/// The kernel (n, stride), its factors u (n) and v (stride), and the codes' masses (stride), without the factor v.
struct sinkhorn_state {
  double *kernel, *u, *v, *masses;
  index_t n, stride;
};

/// masses(k) = Σ u(i) · kernel(i, k)
struct sinkhorn_masses_kernel {
  MQL4GREC_INLINE static void run(sinkhorn_state s) {
    for (index_t k = 0; k < s.stride; ++k) s.masses[k] = 0;
    for (index_t i = 0; i < s.n; ++i) {
      double const u = s.u[i];  // a copy, because the compiler must assume that masses may alias u
      for (index_t k = 0; k < s.stride; ++k) s.masses[k] += u * s.kernel[i * s.stride + k];
    }
  }
};

/// Scales the rows to 1/n and sums the codes' masses. Returns the smallest and the largest factor of a row, including
/// 1. IntoPlan: all factors are multiplied into the kernel, which becomes the plan.
template <bool IntoPlan>
struct sinkhorn_rows_kernel {
  MQL4GREC_INLINE static range_kernel<double>::result run(sinkhorn_state s) {
    range_kernel<double>::result range{1, 1};
    for (index_t k = 0; k < s.stride; ++k) s.masses[k] = 0;
    for (index_t i = 0; i < s.n; ++i) {
      double* const row = s.kernel + i * s.stride;
      if constexpr (IntoPlan)
        for (index_t k = 0; k < s.stride; ++k) row[k] *= s.v[k];
      double const sum = IntoPlan ? sum_of_doubles(row, s.stride) : dot_of_doubles(row, s.v, s.stride);
      bool const none = sum * s.u[i] < mql4grec::contract::detail::sinkhorn_min_mass;
      double const scaled = none ? 0 : 1 / (static_cast<double>(s.n) * sum);
      if constexpr (IntoPlan)
        for (index_t k = 0; k < s.stride; ++k) row[k] *= scaled;
      double const u = IntoPlan && !none ? 1 : scaled;
      for (index_t k = 0; k < s.stride; ++k) s.masses[k] += u * row[k];
      s.u[i] = u;
      if (none) continue;
      range.lowest = u < range.lowest ? u : range.lowest;
      range.highest = u > range.highest ? u : range.highest;
    }
    if constexpr (IntoPlan)
      for (index_t k = 0; k < s.stride; ++k) s.v[k] = 1;
    return range;
  }
};

/// Scales the codes to 1/K. Returns whether a factor of a code, or of `range`, is so far from 1 that the next round
/// should multiply the factors into the kernel.
inline bool scale_codes(sinkhorn_state s, index_t k, range_kernel<double>::result range) {
  for (index_t c = 0; c < k; ++c) {
    bool const none = s.masses[c] * s.v[c] < mql4grec::contract::detail::sinkhorn_min_mass;
    s.v[c] = none ? 0 : 1 / (static_cast<double>(k) * s.masses[c]);
    if (none) continue;
    range.lowest = std::min(range.lowest, s.v[c]);
    range.highest = std::max(range.highest, s.v[c]);
  }
  return range.lowest < 1e-8 ||
         range.highest > 1e8;  // a mass of 1e-300 divided by such a factor is still a normal number
}

/// The code with the largest mass in a row; of equal masses the nearest code; −1 for a row without mass. Overwrites row
/// (stride) with the plan's entries.
template <class T>
struct largest_share_code_kernel {
  MQL4GREC_INLINE static index_t run(double* row, double u, double const* v, index_t stride, T const* distances,
                                     index_t n) {
    for (index_t k = 0; k < stride; ++k) row[k] *= u * v[k];
    if (sum_of_doubles(row, stride) < mql4grec::contract::detail::sinkhorn_min_mass) return -1;
    double const min_mass =
        range_kernel<double>::run(row, stride, {0, 0}).highest * mql4grec::contract::detail::sinkhorn_equal;
    index_t best = -1;
    for (index_t k = 0; k < n; ++k)
      if (row[k] >= min_mass && (best < 0 || distances[k] < distances[best])) best = k;
    return best;
  }
};

/// Computes the kernel of all distances; returns its sum.
template <class T>
double fill_kernel(in_matrix<backend, T> distances, double epsilon, sinkhorn_state s) {
  typename range_kernel<T>::result range{distances(0, 0), distances(0, 0)};
  for (index_t i = 0; i < s.n; ++i)
    range = dispatch<range_kernel<T>>(distances.row(i).data, distances.columns(), range);
  double const lowest = static_cast<double>(range.lowest), highest = static_cast<double>(range.highest);
  double const amplitude = highest - (highest + lowest) / 2 + 1e-5, slope = 1 / (amplitude * epsilon);
  double total = 0;
  for (index_t i = 0; i < s.n; ++i)
    total += dispatch<sinkhorn_kernel_row<T>>(distances.row(i).data, distances.columns(), lowest, slope,
                                              s.kernel + i * s.stride, s.stride);
  return total;
}

/// Runs all rounds. The initial plan is the kernel divided by its sum.
inline void sinkhorn_rounds(sinkhorn_state s, index_t k, double total, sinkhorn_options const& options) {
  std::fill_n(s.u, s.n, 1.0);
  std::fill_n(s.v, s.stride, 1 / total);
  int iterations = options.iterations;
  bool const rows_last = options.order == sinkhorn_order::samples_last && iterations > 0;
  if (rows_last) {
    dispatch<sinkhorn_masses_kernel>(s);
    scale_codes(s, k, {1, 1});
    --iterations;  // the rest of the last round, scaling the rows, changes no row's largest code
  }
  bool wide = true;
  for (int round = 0; round < iterations; ++round)
    wide = scale_codes(s, k, wide ? dispatch<sinkhorn_rows_kernel<true>>(s) : dispatch<sinkhorn_rows_kernel<false>>(s));
}

}  // namespace detail

template <Real T>
  requires(std::same_as<T, float> || std::same_as<T, double>)
void sinkhorn_assign(backend& b, in_matrix<backend, T> distances, sinkhorn_options const& options,
                     out_vector<backend, code_t> codes) {
  assert(options.epsilon > 0 && options.iterations >= 0 && (distances.rows() == 0 || distances.columns() > 0));
  if (distances.rows() == 0) return;
  scratch_scope<backend> const scope(b.scratch());
  auto const doubles = [&](index_t count) { return take<double>(b, count).data; };
  index_t const n = distances.rows(), k = distances.columns(), stride = detail::padded(k);
  detail::sinkhorn_state const s{doubles(n * stride), doubles(n), doubles(stride), doubles(stride), n, stride};
  double const total = detail::fill_kernel<T>(distances, options.epsilon, s);
  if (!std::isfinite(total)) return argmin_rows<T>(b, distances, codes);
  detail::sinkhorn_rounds(s, k, total, options);
  for (index_t i = 0; i < n; ++i) {
    index_t const code = dispatch<detail::largest_share_code_kernel<T>>(
        s.kernel + i * stride, s.u[i], static_cast<double const*>(s.v), stride, distances.row(i).data, k);
    codes(i) = static_cast<code_t>(code);
    if (code < 0) argmin_rows<T>(b, distances.row_block(i, 1), codes.part(i, 1));
  }
}

}  // namespace mql4grec::cpu
