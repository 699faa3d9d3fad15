#pragma once
// Matrix products, as three loops.
#include <cassert>
#include <utility>

#include "mql4grec/backend/contract/matmul.hpp"
#include "mql4grec/backend/reference/backend.hpp"

namespace mql4grec::reference {

/// C (m,n) = [C +] alpha · op(A) (m,k) · op(B) (k,n); a batch of them, see product
template <Field T>
void matmul(backend& where, in_matrix<backend, T> a, in_matrix<backend, T> b, out_matrix<backend, T> c, product how) {
  if (index_t const batch = std::exchange(how.batch, 1); batch > 1)
    return for_each_product(a, b, c, batch, [&](auto x, auto y, auto z) { matmul<T>(where, x, y, z, how); });
  auto const inner = how.transpose_a ? a.rows() : a.columns();
  assert(inner == (how.transpose_b ? b.columns() : b.rows()));
  for (index_t i = 0; i < c.rows(); ++i)
    for (index_t j = 0; j < c.columns(); ++j) {
      T sum{};
      for (index_t p = 0; p < inner; ++p)
        sum += (how.transpose_a ? a(p, i) : a(i, p)) * (how.transpose_b ? b(j, p) : b(p, j));
      c(i, j) = constant<T>(how.alpha) * sum + (how.accumulate ? c(i, j) : T{});
    }
}

}  // namespace mql4grec::reference
