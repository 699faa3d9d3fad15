#pragma once
// Copies selected rows of a matrix.
#include <algorithm>

#include "mql4grec/backend/reference/backend.hpp"

namespace mql4grec::reference {

/// to (n,d) = the rows `which` (n) of from (rows,d)
template <class T>
void gather_rows(backend&, in_matrix<backend, T> from, in_vector<backend, index_t> which, out_matrix<backend, T> to) {
  for (index_t i = 0; i < to.rows(); ++i) std::copy_n(from.row(which(i)).data, to.columns(), to.row(i).data);
}

}  // namespace mql4grec::reference
