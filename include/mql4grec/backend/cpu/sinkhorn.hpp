#pragma once
// The plan is a kernel with a factor for each row and each code, plan(i, k) = u(i) · kernel(i, k) · v(k); a round changes the factors
// and reads the kernel once. Factors that get far from 1 are worked into the kernel, which is then the plan itself, so that
// nothing overflows or vanishes that wouldn't in the reference. The first round always does so: it has the widest range.
#include <cassert>
#include <cmath>

#include "mql4grec/backend/cpu/math.hpp"
#include "mql4grec/backend/cpu/nearest_code.hpp"
#include "mql4grec/backend/reference/sinkhorn.hpp"

namespace mql4grec::cpu {

namespace detail {

/// e^x, relative error below 1e-15, for −708 ≤ x ≤ 709. x = n·ln 2 + r; the series to the 13th power on |r| ≤ ln 2 / 2, whose next
/// term is below 5e-18, times 2ⁿ written into the exponent bits.
MQL4GREC_INLINE double exp_of_double(double x) {
  constexpr double to_integer = 6755399441055744.0;  // 1.5·2⁵²: adding it rounds to the nearest integer, in the low bits
  double const shifted = x * 1.4426950408889634 + to_integer;
  double const n = shifted - to_integer;
  double const r = (x - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10;  // ln 2 in two parts: n times the first is exact
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

/// Σ x ∘ y; n is a multiple of `lanes`.
MQL4GREC_INLINE double dot_of_doubles(double const* x, double const* y, index_t n) {
  double part[lanes] = {};
  for (index_t i = 0; i < n; i += lanes)
    for (index_t l = 0; l < lanes; ++l) part[l] += x[i + l] * y[i + l];
  return sum_of_lanes(part);
}

/// The smallest and the largest of a row.
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

/// A row of the kernel, and its sum: e^(first − slope · (d − middle)), which is what the reference's plan is before it is divided by
/// its sum.
template <class T>
struct sinkhorn_kernel_row {
  MQL4GREC_INLINE static double run(T const* distances, index_t n, double middle, double amplitude, double first, double epsilon,
                                    double* row, index_t stride) {
    for (index_t k = 0; k < n; ++k) {
      double const exponent = (first - (static_cast<double>(distances[k]) - middle) / amplitude) / epsilon;
      bool const none = exponent < mql4grec::detail::sinkhorn_least_exponent;  // and NaN is not
      double const power = exp_of_double(none ? 0.0 : exponent);
      row[k] = none ? 0.0 : power;
    }
    for (index_t k = n; k < stride; ++k) row[k] = 0;
    double part[lanes] = {};
    for (index_t k = 0; k < stride; k += lanes)
      for (index_t l = 0; l < lanes; ++l) part[l] += row[k + l];
    return sum_of_lanes(part);
  }
};

/// kernel (n, stride) with its factors u (n) and v (stride), and the codes' masses over v.
struct sinkhorn_state {
  double *kernel, *u, *v, *mass;
  index_t n, stride;
};

/// mass(k) = Σ u(i) · kernel(i, k)
struct sinkhorn_masses {
  MQL4GREC_INLINE static void run(sinkhorn_state s) {
    for (index_t k = 0; k < s.stride; ++k) s.mass[k] = 0;
    for (index_t i = 0; i < s.n; ++i)
      for (index_t k = 0; k < s.stride; ++k) s.mass[k] += s.u[i] * s.kernel[i * s.stride + k];
  }
};

/// Scales the rows to 1/n, and sums up the codes' masses over v on the way.
struct sinkhorn_rows {
  MQL4GREC_INLINE static void run(sinkhorn_state s) {
    for (index_t k = 0; k < s.stride; ++k) s.mass[k] = 0;
    for (index_t i = 0; i < s.n; ++i) {
      double const* const row = s.kernel + i * s.stride;
      double const sum = dot_of_doubles(row, s.v, s.stride);
      double const u = sum * s.u[i] >= mql4grec::detail::sinkhorn_least_mass ? 1 / (static_cast<double>(s.n) * sum) : 0;
      s.u[i] = u;
      for (index_t k = 0; k < s.stride; ++k) s.mass[k] += u * row[k];
    }
  }
};

/// The same, and makes the kernel the plan: its rows take their factors and the codes', which are 1 from then on.
struct sinkhorn_rows_into_plan {
  MQL4GREC_INLINE static void run(sinkhorn_state s) {
    for (index_t k = 0; k < s.stride; ++k) s.mass[k] = 0;
    for (index_t i = 0; i < s.n; ++i) {
      double* const row = s.kernel + i * s.stride;
      for (index_t k = 0; k < s.stride; ++k) row[k] *= s.v[k];
      double part[lanes] = {};
      for (index_t k = 0; k < s.stride; k += lanes)
        for (index_t l = 0; l < lanes; ++l) part[l] += row[k + l];
      double const sum = sum_of_lanes(part);
      double const u = sum * s.u[i] >= mql4grec::detail::sinkhorn_least_mass ? 1 / (static_cast<double>(s.n) * sum) : 0;
      s.u[i] = 1;
      for (index_t k = 0; k < s.stride; ++k) {
        row[k] *= u;
        s.mass[k] += row[k];
      }
    }
    for (index_t k = 0; k < s.stride; ++k) s.v[k] = 1;
  }
};

}
}
