#pragma once
// Rows that share a key (a token's row of the table, a code's vector) are added up without atomics: rows are brought into the order of
// their keys, and teams add up stretches of that order. A run that goes on over several stretches is put together from their sums, in
// their order. The same input gives the same bits on every system.
#include "mql4grec/backend/gpu/row_order.hpp"

namespace mql4grec::gpu::detail {

/// The sums of the runs that begin and end in a stretch of the order go where they belong; `heads` (stretches, columns) gets the sum of a run that
/// began before, `tails` the sum of one that goes on. A warp 32 columns of a stretch.
template <class T, class In, class Out>
struct add_stretch {
  static constexpr int threads = 32, places_each = 64;
  static constexpr std::size_t shared_bytes() { return shared_bytes_of<int>(places_each) + shared_bytes_of<int>(places_each + 2); }
  sorted_rows order;
  In from;
  Out to, heads, tails;
  index_t blocks;  // of columns

  template <class Team>
  MQL4GREC_HD void operator()(Team& team, index_t number) const {
    index_t const stretch = number / blocks, first = stretch * places_each;
    int const count = order.size - first < places_each ? static_cast<int>(order.size - first) : places_each;
    int* const rows = team.template share<int>(places_each);
    int* const keys = team.template share<int>(places_each + 2) + 1;  // with the neighbours'
    team.each([&](int t) {
      for (int i = t; i < places_each; i += threads) rows[i] = i < count ? order.rows[first + i] : 0;
      for (int i = t - 1; i <= count; i += threads) keys[i] = first + i >= 0 && first + i < order.size ? order.keys[first + i] : -1;
    });
    team.each([&](int t) {
      index_t const j = (number - stretch * blocks) * threads + t;
      if (j < to.columns()) add(stretch, j, rows, keys, count);
    });
  }

 private:
  MQL4GREC_HD void add(index_t stretch, index_t j, int const* rows, int const* keys, int count) const {
    constexpr int ahead = 8;  // loads at once
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
          heads(stretch, j) = sum;
        sum = T{};
        began_here = true;
      }
    }
    if (keys[count] == keys[count - 1]) (began_here ? tails : heads)(stretch, j) = sum;
  }
};

/// A run that goes on beyond the stretch that it began in: that stretch's tail, and the heads of those behind it.
template <class T, class Out>
struct join_stretches {
  static constexpr index_t each = 64;
  sorted_rows order;
  Out to, heads, tails;
  MQL4GREC_HD void operator()(index_t stretch, index_t j) const {
    index_t const first = stretch * each, last = first + each - 1;
    if (last + 1 >= order.size || order.begins(last + 1)) return;
    std::int32_t const key = order.keys[last];
    if (order.keys[first] == key && !order.begins(first)) return;  // an earlier stretch's
    index_t const behind = (order.end_of_run(last) + each - 1) / each;
    T sum = tails(stretch, j);
    for (index_t s = stretch + 1; s < behind; ++s) sum += heads(s, j);
    to(key, j) += sum;
  }
};

/// to(key, j) += Σ from(row, j) over the rows of each key.
template <class T, class System, class In>
void add_rows(backend<System>& b, sorted_rows const& order, In const& from, out_matrix<backend<System>, T> to) {
  using sums = out_matrix<backend<System>, T>;
  using stretches = add_stretch<T, In, sums>;
  using joins = join_stretches<T, sums>;
  static_assert(joins::each == stretches::places_each);
  if (to.columns() == 0) return;
  scratch_scope<backend<System>> const scope(b.scratch());
  index_t const count = (order.size + joins::each - 1) / joins::each, blocks = (to.columns() + stretches::threads - 1) / stretches::threads;
  sums const heads = b.scratch().template take<T>(count, to.columns()), tails = b.scratch().template take<T>(count, to.columns());
  for_each_team(b, count * blocks, stretches{order, from, to, heads, tails, blocks});
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
