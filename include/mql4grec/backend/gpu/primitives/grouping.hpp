#pragma once
// Sums rows that share a key (a token's row of the embedding table, a code's vector) without atomics. Rows are sorted
// by key, and thread groups sum ranges of that order. A run of equal keys that spans several ranges is combined from
// the ranges' partial sums, in order. The same input gives the same bits on every system.
#include "mql4grec/backend/gpu/primitives/row_order.hpp"

namespace mql4grec::gpu::detail {

/// Sums the runs in one range of the order. Runs that begin and end in the range are added to `to`. `heads` (ranges,
/// columns) receives the sum of a run that began in an earlier range, `tails` the sum of a run that continues in the
/// next one. Each warp handles 32 columns of a range.
template <class T, class In, class Out>
struct add_range {
  static constexpr int threads = 32, places_each = 64;
  static constexpr std::size_t shared_bytes() {
    return shared_bytes_of<int>(places_each) + shared_bytes_of<int>(places_each + 2);
  }
  sorted_rows order;
  In from;
  Out to, heads, tails;
  index_t blocks;  // number of blocks of 32 columns

  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t number) const {
    index_t const range = number / blocks, first = range * places_each;
    int const count = order.size - first < places_each ? static_cast<int>(order.size - first) : places_each;
    int* const rows = group.template share<int>(places_each);
    int* const keys =
        group.template share<int>(places_each + 2) + 1;  // including the key before and the key after the range
    group.each([&](int t) {
      for (int i = t; i < places_each; i += threads) rows[i] = i < count ? order.rows[first + i] : 0;
      for (int i = t - 1; i <= count; i += threads)
        keys[i] = first + i >= 0 && first + i < order.size ? order.keys[first + i] : -1;
    });
    group.each([&](int t) {
      index_t const j = (number - range * blocks) * threads + t;
      if (j < to.columns()) add(range, j, rows, keys, count);
    });
  }

 private:
  MQL4GREC_HD void add(index_t range, index_t j, int const* rows, int const* keys, int count) const {
    constexpr int ahead = 8;  // loads in flight
    bool began_here = keys[-1] != keys[0];
    T sum{};
    for (int first = 0; first < count; first += ahead) {
      T some[ahead];
      for (int i = 0; i < ahead; ++i) some[i] = first + i < count ? from(rows[first + i], j) : T{};
      for (int i = 0; i < ahead && first + i < count; ++i) {
        sum += some[i];
        int const key = keys[first + i];
        if (keys[first + i + 1] == key) continue;
        if (began_here)
          to(key, j) += sum;
        else
          heads(range, j) = sum;
        sum = T{};
        began_here = true;
      }
    }
    if (keys[count] == keys[count - 1]) (began_here ? tails : heads)(range, j) = sum;
  }
};

/// Completes a run that spans several ranges: the tail of the range that it begins in, plus the heads of the ranges
/// after it.
template <class T, class Out>
struct join_ranges {
  static constexpr index_t each = 64;
  sorted_rows order;
  Out to, heads, tails;
  MQL4GREC_HD void operator()(index_t range, index_t j) const {
    index_t const first = range * each, last = first + each - 1;
    if (last + 1 >= order.size || order.begins(last + 1)) return;
    std::int32_t const key = order.keys[last];
    if (order.keys[first] == key && !order.begins(first)) return;  // the run began in an earlier range
    index_t const end = (order.end_of_run(last) + each - 1) / each;
    T sum = tails(range, j);
    for (index_t s = range + 1; s < end; ++s) sum += heads(s, j);
    to(key, j) += sum;
  }
};

/// to(key, j) += Σ from(row, j) over the rows of each key.
template <class T, class System, class In>
void add_rows(backend<System>& b, sorted_rows const& order, In const& from, out_matrix<backend<System>, T> to) {
  using sums = out_matrix<backend<System>, T>;
  using ranges = add_range<T, In, sums>;
  using joins = join_ranges<T, sums>;
  static_assert(joins::each == ranges::places_each);
  if (to.columns() == 0) return;
  scratch_scope<backend<System>> const scope(b.scratch());
  index_t const count = (order.size + joins::each - 1) / joins::each,
                blocks = (to.columns() + ranges::threads - 1) / ranges::threads;
  sums const heads = take<T>(b, count, to.columns()), tails = take<T>(b, count, to.columns());
  for_each_group(b, count * blocks, ranges{order, from, to, heads, tails, blocks});
  if (count > 1) for_each_entry(b, count - 1, to.columns(), joins{order, to, heads, tails});
}

/// counts[key] += the length of its run.
template <class T>
struct count_run {
  sorted_rows order;
  T* counts;
  MQL4GREC_HD void operator()(index_t place) const {
    if (order.begins(place)) counts[order.keys[place]] += static_cast<T>(order.end_of_run(place) - place);
  }
};

}  // namespace mql4grec::gpu::detail
