#pragma once
// Attention's relative position bias by distance: no queries × keys tensor is stored.
#include "mql4grec/backend/reference/backend.hpp"

namespace mql4grec::reference {

/// bias (heads,distances) = the rows of table (buckets,heads) given by bucket_of (distances).
template <Field T>
void relative_bias_forward(backend&, in_matrix<backend, T> table, in_vector<backend, index_t> bucket_of,
                           out_matrix<backend, T> bias) {
  for (index_t h = 0; h < bias.rows(); ++h)
    for (index_t j = 0; j < bias.columns(); ++j) bias(h, j) = table(bucket_of(j), h);
}

/// dtable (buckets,heads) += the sums of dbias (heads,distances) over the distances of each bucket.
template <Field T>
void relative_bias_backward(backend&, in_vector<backend, index_t> bucket_of, in_matrix<backend, T> dbias,
                            out_matrix<backend, T> dtable) {
  for (index_t h = 0; h < dbias.rows(); ++h)
    for (index_t j = 0; j < dbias.columns(); ++j) dtable(bucket_of(j), h) += dbias(h, j);
}

}  // namespace mql4grec::reference
