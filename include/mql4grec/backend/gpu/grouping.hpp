#pragma once
// Rows that share a key (a token's row of the table, a code's vector) are added up without atomics: rows are brought into the order of
// their keys, and each key's run is one sum, in the order of the rows. The same input gives the same bits on every system.
#include <thrust/sequence.h>
#include <thrust/sort.h>

#include "mql4grec/backend/gpu/backend.hpp"

namespace mql4grec::gpu::detail {

/// n rows in the order of their keys, equal keys in the order of the rows.
struct sorted_rows {
  std::int32_t const* keys;
  std::int32_t const* rows;
  index_t size;
};

template <class Key>
struct key_entry {
  Key const* from;
  std::int32_t* to;
  MQL4GREC_HD void operator()(index_t i) const { to[i] = static_cast<std::int32_t>(index(from[i])); }
};

/// In the backend's scratch.
template <class Key, class System>
sorted_rows sort_rows(backend<System>& b, in_vector<backend<System>, Key> keys) {
  index_t const n = keys.size();
  auto const sorted = b.scratch().template take<std::int32_t>(n), rows = b.scratch().template take<std::int32_t>(n);
  for_each_index(b, n, key_entry<Key>{keys.data, sorted.data});
  thrust::sequence(b.policy(), rows.data, rows.data + n);
  thrust::stable_sort_by_key(b.policy(), sorted.data, sorted.data + n, rows.data);
  return {sorted.data, rows.data, n};
}

/// to(key, j) += Σ from(row, j) over the rows of a run; the first place of the run does all of it.
template <class T, class In, class Out>
struct add_run {
  sorted_rows order;
  In from;
  Out to;
  MQL4GREC_HD void operator()(index_t place, index_t j) const {
    std::int32_t const key = order.keys[place];
    if (place > 0 && order.keys[place - 1] == key) return;
    T sum{};
    for (index_t i = place; i < order.size && order.keys[i] == key; ++i) sum += from(order.rows[i], j);
    to(key, j) += sum;
  }
};

/// counts[key] += the length of its run.
template <class T>
struct count_run {
  sorted_rows order;
  T* counts;
  MQL4GREC_HD void operator()(index_t place) const {
    std::int32_t const key = order.keys[place];
    if (place > 0 && order.keys[place - 1] == key) return;
    index_t end = place;
    while (end < order.size && order.keys[end] == key) ++end;
    counts[key] += static_cast<T>(end - place);
  }
};

}  // namespace mql4grec::gpu::detail
