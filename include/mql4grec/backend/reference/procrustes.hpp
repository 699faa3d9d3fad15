#pragma once
// The rotation of an orthogonal Procrustes problem, by one-sided Jacobi sweeps in double precision.
#include <cassert>
#include <cmath>
#include <limits>

#include "mql4grec/backend/reference/backend.hpp"

namespace mql4grec::reference {

namespace detail {

inline double inner(in_vector<backend, double> x, in_vector<backend, double> y) {
  double sum = 0;
  for (index_t i = 0; i < x.size(); ++i) sum += x(i) * y(i);
  return sum;
}

/// Rotates the pair (x, y) by the angle with cosine c and sine s.
inline void rotate(out_vector<backend, double> x, out_vector<backend, double> y, double c, double s) {
  for (index_t i = 0; i < x.size(); ++i) {
    double const kept = x(i);
    x(i) = c * kept - s * y(i);
    y(i) = s * kept + c * y(i);
  }
}

/// Rotates pairs of rows of w until all are orthogonal, and the same pairs of v (one-sided Jacobi; Hestenes 1958).
inline void make_rows_orthogonal(out_matrix<backend, double> w, out_matrix<backend, double> v) {
  constexpr int max_sweeps = 60;  // about ten suffice
  bool rotated = true;
  for (int sweep = 0; rotated && sweep < max_sweeps; ++sweep) {
    rotated = false;
    for (index_t p = 0; p < w.rows(); ++p)
      for (index_t q = p + 1; q < w.rows(); ++q) {
        double const a = inner(w.row(p), w.row(p)), b = inner(w.row(q), w.row(q)), both = inner(w.row(p), w.row(q));
        if (std::abs(both) <= 4 * std::numeric_limits<double>::epsilon() * std::sqrt(a * b)) continue;
        double const zeta = (b - a) / (2 * both),
                     t = std::copysign(1 / (std::abs(zeta) + std::sqrt(1 + zeta * zeta)), zeta);
        double const c = 1 / std::sqrt(1 + t * t);
        rotate(w.row(p), w.row(q), c, c * t);
        rotate(v.row(p), v.row(q), c, c * t);
        rotated = true;
      }
  }
}

/// Makes row `at` of u a unit vector that is orthogonal to the rows before it: the axis with the largest part outside
/// their span, made orthogonal to them.
inline void complete_row(out_matrix<backend, double> u, index_t at) {
  index_t const d = u.columns();
  index_t best = 0;
  double largest = -1;
  for (index_t axis = 0; axis < d; ++axis) {
    double left = 1;
    for (index_t j = 0; j < at; ++j) left -= u(j, axis) * u(j, axis);
    if (left > largest) largest = left, best = axis;
  }
  auto const row = u.row(at);
  fill(row, 0);
  row(best) = 1;
  for (int twice = 0; twice < 2; ++twice) {  // the second pass removes rounding errors of the first
    for (index_t j = 0; j < at; ++j) {
      double const inner_product = inner(row, u.row(j));
      for (index_t i = 0; i < d; ++i) row(i) -= inner_product * u(j, i);
    }
    double const length = std::sqrt(inner(row, row));
    for (index_t i = 0; i < d; ++i) row(i) /= length;
  }
}

/// Sorts the rows of w, which are orthogonal to each other, by decreasing length and normalizes them; v's rows are
/// permuted in the same way. Rows that are numerically zero come last and are replaced to complete the basis.
inline void normalize_rows(out_matrix<backend, double> w, out_matrix<backend, double> v) {
  index_t const d = w.rows();
  double longest = 0;
  for (index_t at = 0; at < d; ++at) {
    index_t next = at;
    for (index_t i = at + 1; i < d; ++i)
      if (inner(w.row(i), w.row(i)) > inner(w.row(next), w.row(next))) next = i;
    for (auto const& m : {w, v})
      for (index_t j = 0; j < d; ++j) std::swap(m(at, j), m(next, j));
    double const length = std::sqrt(inner(w.row(at), w.row(at)));
    longest = std::max(longest, length);
    if (length > longest * 1e-14)
      for (index_t j = 0; j < d; ++j) w(at, j) /= length;
    else
      complete_row(w, at);
  }
}

}  // namespace detail

/// rotation (d,d) = the orthogonal R that minimizes ‖XR − Y‖, given product (d,d) = XᵀY: R = UVᵀ of the product's
/// singular value decomposition UΣVᵀ (Schönemann 1966). When singular values are zero, R is one of several solutions.
/// Computed in double.
template <Real T>
void procrustes_rotation(backend& b, in_matrix<backend, T> product, out_matrix<backend, T> rotation) {
  index_t const d = product.rows();
  assert(product.columns() == d && rotation.rows() == d && rotation.columns() == d);
  scratch_scope<backend> const scope(b.scratch());
  auto const u = take<double>(b, d, d), v = take<double>(b, d, d);  // transposed
  for (index_t i = 0; i < d; ++i)
    for (index_t j = 0; j < d; ++j) {
      u(i, j) = static_cast<double>(product(j, i));
      v(i, j) = i == j;
    }
  detail::make_rows_orthogonal(u, v);
  detail::normalize_rows(u, v);
  for (index_t i = 0; i < d; ++i)
    for (index_t j = 0; j < d; ++j) {
      double sum = 0;
      for (index_t k = 0; k < d; ++k) sum += u(k, i) * v(k, j);
      rotation(i, j) = static_cast<T>(sum);
    }
}

}  // namespace mql4grec::reference
