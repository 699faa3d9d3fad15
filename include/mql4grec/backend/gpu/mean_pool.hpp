#pragma once
// The mean of each packed sequence's rows. A column is summed by one member, in the order of the rows.
#include "mql4grec/backend/gpu/primitives/thread_group.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::gpu {

namespace detail {

/// One thread group per sequence.
template <Real T, class In, class Out>
struct mean_pool_rows {
  static constexpr int threads = 128;
  static constexpr std::size_t shared_bytes() { return 0; }
  In x;
  index_t const* offsets;
  Out y;

  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t s) const {
    index_t const first = offsets[s], end = offsets[s + 1];
    group.each([&](int t) {
      for (index_t j = t; j < y.columns(); j += threads) {
        T sum{};
        for (index_t i = first; i < end; ++i) sum += x(i, j);
        y(s, j) = end > first ? sum / static_cast<T>(end - first) : T{};
      }
    });
  }
};

}  // namespace detail

/// y (sequences,d) = the mean of the rows offsets(s) … offsets(s+1)−1 of x (rows,d); zeros for a sequence without rows.
template <Real T, class System>
void mean_pool(backend<System>& b, in_matrix<backend<System>, T> x, in_vector<backend<System>, index_t> offsets,
               out_matrix<backend<System>, T> y) {
  detail::for_each_group(b, y.rows(), detail::mean_pool_rows<T, decltype(x), decltype(y)>{x, offsets.data, y});
}

}  // namespace mql4grec::gpu
