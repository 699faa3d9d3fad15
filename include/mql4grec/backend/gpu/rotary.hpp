#pragma once
// Rotary positions, forward pass only; see backend/reference/rotary.hpp for the layout.
#include "mql4grec/backend/contract/rotary.hpp"
#include "mql4grec/backend/gpu/runtime/backend.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::gpu {

namespace detail {

/// Rotates one pair of columns; j counts the pairs of a row.
template <Real T, class In, class Out>
struct rotate_pair {
  In cosines, sines;
  index_t const* positions;
  Out x;
  MQL4GREC_HD void operator()(index_t i, index_t j) const {
    index_t const half = cosines.columns(), c = j % half, left = j / half * 2 * half + c;
    T const cosine = cosines(positions[i], c), sine = sines(positions[i], c);
    T const a = x(i, left), b = x(i, left + half);
    x(i, left) = a * cosine - b * sine;
    x(i, left + half) = b * cosine + a * sine;
  }
};

}  // namespace detail

/// Rotates the pairs of columns of every head of x (rows, heads·width), in place. positions (rows) are the rows of the
/// table.
template <Real T, class System>
void rotary_forward(backend<System>& b, rotary_table<device_space<System>, T> const& table,
                    in_vector<backend<System>, index_t> positions, out_matrix<backend<System>, T> x) {
  detail::for_each_entry(b, x.rows(), x.columns() / 2,
                         detail::rotate_pair<T, in_matrix<backend<System>, T>, decltype(x)>{table.cosines, table.sines,
                                                                                            positions.data, x});
}

}  // namespace mql4grec::gpu
