#pragma once
// The mean of each packed sequence's rows.
#include "mql4grec/backend/reference/backend.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::reference {

/// y (sequences,d) = the mean of the rows offsets(s) … offsets(s+1)−1 of x (rows,d); zeros for a sequence without rows.
template <Field T>
void mean_pool(backend&, in_matrix<backend, T> x, in_vector<backend, index_t> offsets, out_matrix<backend, T> y) {
  for (index_t s = 0; s < y.rows(); ++s)
    for (index_t j = 0; j < y.columns(); ++j) {
      T sum{};
      for (index_t i = offsets(s); i < offsets(s + 1); ++i) sum += x(i, j);
      index_t const rows = offsets(s + 1) - offsets(s);
      y(s, j) = rows > 0 ? sum / constant<T>(static_cast<double>(rows)) : T{};
    }
}

}  // namespace mql4grec::reference
