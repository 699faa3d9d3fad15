#pragma once
// Sums of all entries. Thread groups sum ranges, then one group sums the partial sums: the order is fixed, so results
// are bit-identical in every run and on every system.
#include "mql4grec/backend/gpu/primitives/thread_group.hpp"

namespace mql4grec::gpu::detail {

/// Σ value(i) for i in [first, last), computed by the members of a group; every member gets it.
template <class T, class ThreadGroup, class Value>
MQL4GREC_HD T sum_by(ThreadGroup& group, index_t first, index_t last, Value const& value) {
  typename ThreadGroup::template local<T> mine;
  group.each([&](int t) {
    T total{};
    for (index_t i = first + t; i < last; i += ThreadGroup::threads) total += value(i);
    mine[t] = total;
  });
  return group.sum(mine);
}

/// sums[number] = Σ value(i) over a range of the n entries; with a single group, over all of them.
template <class T, class Value>
struct sum_entries {
  static constexpr int threads = 256;
  static constexpr std::size_t shared_bytes() { return 0; }
  index_t n, each;
  Value value;
  T* sums;

  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t number) const {
    index_t const first = number * each, last = first + each < n ? first + each : n;
    T const total = sum_by<T>(group, first, last, value);
    group.each([&](int t) {
      if (t == 0) sums[number] = total;
    });
  }
};

template <class T>
struct entry_of {
  T const* x;
  MQL4GREC_HD T operator()(index_t i) const { return x[i]; }
};

/// total = Σ value(i) for i in [0, n), in the backend's memory; doesn't wait.
template <class T, class System, class Value>
void sum_into(backend<System>& b, index_t n, Value const& value, T* total) {
  constexpr index_t max_groups = 512, min_entries = 4096;
  index_t const wanted = (n + min_entries - 1) / min_entries;
  index_t const groups = wanted < 1 ? 1 : wanted < max_groups ? wanted : max_groups;
  scratch_scope<backend<System>> const scope(b.scratch());
  auto const partial = take<T>(b, groups);
  for_each_group(b, groups, sum_entries<T, Value>{n, (n + groups - 1) / groups, value, partial.data});
  for_each_group(b, 1, sum_entries<T, entry_of<T>>{groups, groups, entry_of<T>{partial.data}, total});
}

/// The same sum, returned to the host; waits for the backend's work.
template <class T, class System, class Value>
T sum_over(backend<System>& b, index_t n, Value const& value) {
  scratch_scope<backend<System>> const scope(b.scratch());
  auto const total = take<T>(b, 1);
  sum_into<T>(b, n, value, total.data);
  T result{};
  System::download(b.context(), total.data, &result, sizeof result);
  return result;
}

}  // namespace mql4grec::gpu::detail
