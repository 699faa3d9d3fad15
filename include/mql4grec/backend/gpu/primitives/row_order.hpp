#pragma once
// A stable sort of rows by key: a radix sort, least significant digit first. Each range of rows counts its digits; the
// counts give the positions to which the range's rows are moved. Uses no atomics and no transfer to the host.
#include <algorithm>
#include <utility>

#include "mql4grec/backend/gpu/primitives/pack.hpp"
#include "mql4grec/backend/gpu/primitives/thread_group.hpp"

namespace mql4grec::gpu::detail {

/// n rows sorted by key; rows with equal keys keep their order.
struct sorted_rows {
  std::int32_t const* keys;
  std::int32_t const* rows;
  index_t size;

  /// Whether a run of equal keys begins at this position.
  MQL4GREC_HD bool begins(index_t place) const { return place == 0 || keys[place - 1] != keys[place]; }
  /// The first position after the run of the key at `place`.
  MQL4GREC_HD index_t end_of_run(index_t place) const {
    std::int32_t const key = keys[place];
    index_t low = place, high = size;  // keys[low] == key, and keys[high], if there, is larger
    while (high - low > 1) {
      index_t const middle = (low + high) / 2;
      (keys[middle] == key ? low : high) = middle;
    }
    return high;
  }
};

/// Rows in their original order.
template <class Key>
struct given_rows {
  Key const* keys;
  MQL4GREC_HD std::int32_t key(index_t i) const { return static_cast<std::int32_t>(index(keys[i])); }
  MQL4GREC_HD std::int32_t row(index_t i) const { return static_cast<std::int32_t>(i); }
};
/// Rows sorted by the digits processed so far.
struct ordered_rows {
  std::int32_t const *keys, *rows;
  MQL4GREC_HD std::int32_t key(index_t i) const { return keys[i]; }
  MQL4GREC_HD std::int32_t row(index_t i) const { return rows[i]; }
};

/// The digit to sort by, and the ranges in which n rows are counted.
struct digit_count {
  static constexpr int max_bits = 12, threads = 256;
  index_t n, each;       // each: number of rows in a range, a multiple of `threads`
  int shift, digits;     // digits: number of different digits
  std::int32_t* counts;  // (ranges, digits)
  std::int32_t* first;   // (digits)

  MQL4GREC_HD int digit_of(std::int32_t key) const { return key >> shift & ((1 << max_bits) - 1); }
  MQL4GREC_HD index_t ranges() const { return (n + each - 1) / each; }
};

/// The digits of `threads` rows, and each row's rank among the rows with its digit.
struct digit_ranks {
  int* digits;  // of the rows; −1 after the last row
  struct rank {
    int before;
    bool last;
  };
  MQL4GREC_HD rank of(int t) const {
    int const own = digits[t];
    int before = 0, after = 0;
    for (int u = 0; u < digit_count::threads; u += 4) {
      auto const four = load<4>(digits + u);
      for (int i = 0; i < 4; ++i) {
        before += four.at[i] == own && u + i < t;
        after += four.at[i] == own && u + i > t;
      }
    }
    return {before, after == 0};
  }
};

template <class Rows>
struct count_digits {
  static constexpr int threads = digit_count::threads;
  std::size_t shared_bytes() const { return shared_bytes_of<int>(threads) + shared_bytes_of<int>(what.digits); }
  digit_count what;
  Rows from;

  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t range) const {
    digit_ranks const tile{group.template share<int>(threads)};
    int* const counts = group.template share<int>(what.digits);
    group.each([&](int t) {
      for (int d = t; d < what.digits; d += threads) counts[d] = 0;
    });
    for (index_t first = range * what.each; first < what.n && first < (range + 1) * what.each; first += threads) {
      group.each([&](int t) { tile.digits[t] = first + t < what.n ? what.digit_of(from.key(first + t)) : -1; });
      group.each([&](int t) {
        auto const rank = tile.of(t);
        if (rank.last && tile.digits[t] >= 0) counts[tile.digits[t]] += rank.before + 1;
      });
    }
    group.each([&](int t) {
      for (int d = t; d < what.digits; d += threads) what.counts[range * what.digits + d] = counts[d];
    });
  }
};

/// Turns counts into the number of the same digit in earlier ranges, and computes in `first` how many rows have smaller
/// digits. A single group.
struct place_digits {
  static constexpr int threads = 1024;
  std::size_t shared_bytes() const { return shared_bytes_of<int>(what.digits); }
  digit_count what;

  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t) const {
    int* const totals = group.template share<int>(what.digits);
    group.each([&](int t) {
      for (int d = t; d < what.digits; d += threads) totals[d] = add_up(d);
    });
    int const each = (what.digits + threads - 1) / threads;
    typename ThreadGroup::template local<int> smaller;
    group.each([&](int t) {
      smaller[t] = 0;
      for (int d = t * each; d < (t + 1) * each && d < what.digits; ++d) smaller[t] += totals[d];
    });
    group.exclusive_scan(smaller);
    group.each([&](int t) {
      int place = smaller[t];
      for (int d = t * each; d < (t + 1) * each && d < what.digits; place += totals[d++]) what.first[d] = place;
    });
  }

 private:
  MQL4GREC_HD int add_up(int digit) const {
    constexpr int ahead = 8;  // loads in flight
    index_t const ranges = what.ranges();
    std::int32_t* place = what.counts + digit;
    int total = 0;
    for (index_t s = 0; s < ranges; s += ahead, place += ahead * what.digits) {
      int const here = ranges - s < ahead ? static_cast<int>(ranges - s) : ahead;
      int some[ahead];
      for (int i = 0; i < ahead; ++i) some[i] = i < here ? place[i * what.digits] : 0;
      for (int i = 0; i < ahead; total += some[i++])
        if (i < here) place[i * what.digits] = total;
    }
    return total;
  }
};

template <class Rows>
struct place_rows {
  static constexpr int threads = digit_count::threads;
  std::size_t shared_bytes() const { return shared_bytes_of<int>(threads) + shared_bytes_of<int>(what.digits); }
  digit_count what;
  Rows from;
  std::int32_t *keys, *rows;

  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t range) const {
    digit_ranks const tile{group.template share<int>(threads)};
    int* const next = group.template share<int>(what.digits);
    typename ThreadGroup::template local<digit_ranks::rank> ranks;
    group.each([&](int t) {
      for (int d = t; d < what.digits; d += threads) next[d] = what.first[d] + what.counts[range * what.digits + d];
    });
    for (index_t first = range * what.each; first < what.n && first < (range + 1) * what.each; first += threads) {
      group.each([&](int t) { tile.digits[t] = first + t < what.n ? what.digit_of(from.key(first + t)) : -1; });
      group.each([&](int t) {
        if (tile.digits[t] < 0) return;
        ranks[t] = tile.of(t);
        int const place = next[tile.digits[t]] + ranks[t].before;
        keys[place] = from.key(first + t);
        rows[place] = from.row(first + t);
      });
      group.each([&](int t) {
        if (tile.digits[t] >= 0 && ranks[t].last) next[tile.digits[t]] += ranks[t].before + 1;
      });
    }
  }
};

template <class System, class Rows>
void order_by_digit(backend<System>& b, digit_count what, Rows const& from, std::int32_t* keys, std::int32_t* rows) {
  scratch_scope<backend<System>> const scope(b.scratch());
  what.counts = take<std::int32_t>(b, what.ranges() * what.digits).data;
  what.first = take<std::int32_t>(b, what.digits).data;
  for_each_group(b, what.ranges(), count_digits<Rows>{what, from});
  for_each_group(b, 1, place_digits{what});
  for_each_group(b, what.ranges(), place_rows<Rows>{what, from, keys, rows});
}

/// Sorts rows by key; the result is in the backend's scratch. Every key must be in [0, different).
template <class Key, class System>
sorted_rows sort_rows(backend<System>& b, in_vector<backend<System>, Key> keys, index_t different) {
  constexpr index_t max_ranges = 256, min_rows = 512, threads = digit_count::threads;
  constexpr int bits = digit_count::max_bits;
  index_t const n = keys.size();
  auto const take_column = [&] { return take<std::int32_t>(b, n).data; };
  ordered_rows now{take_column(), take_column()}, next{take_column(), take_column()};
  if (n == 0) return {now.keys, now.rows, 0};
  index_t const wanted = (n + max_ranges - 1) / max_ranges;
  digit_count what{};
  what.n = n;
  what.each = (std::max(wanted, min_rows) + threads - 1) / threads * threads;
  for (; what.shift == 0 || (different - 1) >> what.shift > 0; what.shift += bits) {
    what.digits = static_cast<int>(std::min<index_t>(((different - 1) >> what.shift) + 1, 1 << bits));
    auto *const to_keys = const_cast<std::int32_t*>(next.keys), *const to_rows = const_cast<std::int32_t*>(next.rows);
    if (what.shift == 0)
      order_by_digit(b, what, given_rows<Key>{keys.data}, to_keys, to_rows);
    else
      order_by_digit(b, what, now, to_keys, to_rows);
    std::swap(now, next);
  }
  return {now.keys, now.rows, n};
}

}  // namespace mql4grec::gpu::detail
