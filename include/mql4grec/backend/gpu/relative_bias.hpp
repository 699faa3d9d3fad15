#pragma once
// Attention's relative position bias by distance. Gradients are summed without atomics, in a fixed order.
#include "mql4grec/backend/gpu/primitives/thread_group.hpp"
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

/// One warp per bucket of a head.
template <class T, class In, class Out>
struct relative_bias_gradient {
  static constexpr int threads = 32;
  static constexpr std::size_t shared_bytes() { return 0; }
  index_t const* bucket_of;
  In dbias;
  Out dtable;

  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t number) const {
    index_t const bucket = number / dtable.columns(), h = number - bucket * dtable.columns();
    typename ThreadGroup::template local<T> mine;
    group.each([&](int t) {
      mine[t] = T{};
      for (index_t j = t; j < dbias.columns(); j += threads)
        if (bucket_of[j] == bucket) mine[t] += dbias(h, j);
    });
    T const sum = group.sum(mine);
    group.each([&](int t) {
      if (t == 0) dtable(bucket, h) += sum;
    });
  }
};

}  // namespace detail

/// bias (heads,distances) = the rows of table (buckets,heads) given by bucket_of (distances).
template <Real T, class System>
void relative_bias_forward(backend<System>& b, in_matrix<backend<System>, T> table,
                           in_vector<backend<System>, index_t> bucket_of, out_matrix<backend<System>, T> bias) {
  detail::for_each_entry(b, bias.rows(), bias.columns(),
                         detail::relative_bias_entry<decltype(table), decltype(bias)>{table, bucket_of.data, bias});
}

/// dtable (buckets,heads) += the sums of dbias (heads,distances) over the distances of each bucket.
template <Real T, class System>
void relative_bias_backward(backend<System>& b, in_vector<backend<System>, index_t> bucket_of,
                            in_matrix<backend<System>, T> dbias, out_matrix<backend<System>, T> dtable) {
  detail::for_each_group(
      b, dtable.size(),
      detail::relative_bias_gradient<T, decltype(dbias), decltype(dtable)>{bucket_of.data, dbias, dtable});
}

}  // namespace mql4grec::gpu
