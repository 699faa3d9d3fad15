#pragma once
#include "mql4grec/backend/gpu/backend.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::gpu {

namespace detail {

template <class In, class Out>
struct relative_bias_entry {
  In table;
  index_t const* bucket_of;
  Out bias;
  MQL4GREC_HD void operator()(index_t h, index_t j) const { bias(h, j) = table(bucket_of[j], h); }
};

template <class T, class In, class Out>
struct relative_bias_gradient_entry {
  index_t const* bucket_of;
  In dbias;
  Out dtable;
  MQL4GREC_HD void operator()(index_t bucket, index_t h) const {
    T sum{};
    for (index_t j = 0; j < dbias.columns(); ++j)
      if (bucket_of[j] == bucket) sum += dbias(h, j);
    dtable(bucket, h) += sum;
  }
};

}  // namespace detail

// table (buckets,heads), bucket_of (distances) -> bias (heads,distances)
template <Real T, class System>
void relative_bias_forward(backend<System>& b, in_matrix<backend<System>, T> table, in_vector<backend<System>, index_t> bucket_of,
                           out_matrix<backend<System>, T> bias) {
  detail::for_each_entry(b, bias.rows(), bias.columns(),
                         detail::relative_bias_entry<decltype(table), decltype(bias)>{table, bucket_of.data, bias});
}

// dtable (buckets,heads) is accumulated.
template <Real T, class System>
void relative_bias_backward(backend<System>& b, in_vector<backend<System>, index_t> bucket_of, in_matrix<backend<System>, T> dbias,
                            out_matrix<backend<System>, T> dtable) {
  detail::for_each_entry(b, dtable.rows(), dtable.columns(),
                         detail::relative_bias_gradient_entry<T, decltype(dbias), decltype(dtable)>{bucket_of.data, dbias, dtable});
}

}  // namespace mql4grec::gpu
