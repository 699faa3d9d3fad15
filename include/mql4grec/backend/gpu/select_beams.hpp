#pragma once
// Selects the best candidates, with one thread group per user. Candidates are read once. Those that beat the worst of
// the best so far are collected in shared memory; when it is nearly full, it is sorted and only the best are kept. The
// order (higher score, then the earlier row, then the earlier child) has no ties, so the result doesn't depend on the
// order in which candidates are collected. NaN scores come after all others.
#include <algorithm>
#include <bit>
#include <limits>

#include "mql4grec/backend/contract/beam.hpp"
#include "mql4grec/backend/gpu/cross_entropy.hpp"

namespace mql4grec::gpu {

namespace detail {

/// A score as an integer with the same order; −0 equals 0, and NaN is below all.
template <Real T>
struct score_rank {
  using bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  static constexpr bits sign = bits{1} << (8 * sizeof(T) - 1);

  MQL4GREC_HD static bits of(T score) {
    if (score != score) return 0;
    bits const b = score == 0 ? bits{} : std::bit_cast<bits>(score);
    return b & sign ? ~b : b | sign;
  }
  MQL4GREC_HD static T score(bits rank) {
    if (rank == 0) return std::numeric_limits<T>::quiet_NaN();
    return std::bit_cast<T>(rank & sign ? rank ^ sign : ~rank);
  }
};

template <Real T>
struct gathered_beam {
  typename score_rank<T>::bits rank;
  std::int32_t row;
  node_t node;

  MQL4GREC_HD bool before(gathered_beam const& other) const {
    if (rank != other.rank) return rank > other.rank;
    return row != other.row ? row < other.row : node < other.node;
  }
  /// Comes after every candidate.
  MQL4GREC_HD static gathered_beam none() { return {0, std::numeric_limits<std::int32_t>::max(), 0}; }
};

/// The best candidates of a group, in an array whose size is a power of two and at least twice the number wanted.
template <Real T>
struct gathered_beams {
  gathered_beam<T>* beams;
  int* count;
  int capacity, wanted;

  /// Sorts beams[0 … n) (bitonic sort).
  template <class ThreadGroup>
  MQL4GREC_HD void sort(ThreadGroup& group, int n) const {
    int size = 2;
    while (size < n) size *= 2;
    group.each([&](int t) {
      for (int i = n + t; i < size; i += ThreadGroup::threads) beams[i] = gathered_beam<T>::none();
    });
    for (int run = 2; run <= size; run *= 2)
      for (int apart = run / 2; apart > 0; apart /= 2)
        group.each([&](int t) {
          for (int pair = t; pair < size / 2; pair += ThreadGroup::threads)
            order(2 * pair - (pair & (apart - 1)), apart, run);
        });
  }
  /// Whether n candidates, including the `wanted` that may be sorted already, should be sorted before more are
  /// collected.
  MQL4GREC_HD bool nearly_full(int n) const { return n > capacity / 4 * 3; }

 private:
  MQL4GREC_HD void order(int i, int apart, int run) const {
    auto const a = beams[i], b = beams[i + apart];
    bool const rising = (i & run) == 0;
    if (rising ? b.before(a) : a.before(b)) {
      beams[i] = b;
      beams[i + apart] = a;
    }
  }
};

/// Up to `threads` rows that a group processes together.
template <Real T>
struct beam_block {
  index_t first;     // the first row
  int rows, total;   // total: number of children of all rows
  int* starts;       // (rows + 1): number of children of the earlier rows
  node_t* children;  // (rows): the first child
  T* bases;          // (rows): the number to which a child's logit is added

  MQL4GREC_HD int row_of(int candidate) const {
    int low = 0, high = rows;
    while (high - low > 1) {
      int const middle = (low + high) / 2;
      (starts[middle] <= candidate ? low : high) = middle;
    }
    return low;
  }
};

/// Where the best candidates of a user are collected.
enum class beam_memory { shared, global };

template <class System, Real T, beam_memory Memory>
struct select_for_user {
  static constexpr int threads = 256;
  using gathered = gathered_beam<T>;
  beam_candidates<device_space<System>, T> in;
  T const* normalisers;
  beam_choice<device_space<System>, T> out;
  int capacity;            // capacity for a user's best candidates
  gathered* global_beams;  // (users, capacity); unused with beam_memory::shared

  std::size_t shared_bytes() const {
    return shared_bytes_of<int>(threads + 1) + shared_bytes_of<node_t>(threads) + 3 * shared_bytes_of<T>(threads) +
           shared_bytes_of<int>(1) + (Memory == beam_memory::shared ? shared_bytes_of<gathered>(capacity) : 0);
  }

  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t user) const {
    beam_block<T> block{0,
                        0,
                        0,
                        group.template share<int>(threads + 1),
                        group.template share<node_t>(threads),
                        group.template share<T>(threads)};
    T* const partial = group.template share<T>(threads);
    T* const highest = group.template share<T>(threads);
    int* const count = group.template share<int>(1);
    gathered_beams<T> const best{beams_of(group, user), count, capacity, static_cast<int>(out.scores.columns())};
    threshold worst{};
    group.each([&](int t) {
      if (t == 0) *count = 0;
    });
    index_t const last = in.row_offsets(user + 1);
    for (block.first = in.row_offsets(user); block.first < last; block.first += threads) {
      block.rows = last - block.first < threads ? static_cast<int>(last - block.first) : threads;
      load_rows(group, user, block, partial, highest);
      for (int done = 0; done < block.total;) done = gather(group, user, block, done, best, worst);
    }
    write(group, user, best);
  }

 private:
  /// The score that a candidate must exceed once `wanted` candidates have been found.
  struct threshold {
    bool active = false;
    typename score_rank<T>::bits rank{};
  };

  template <class ThreadGroup>
  MQL4GREC_HD gathered* beams_of(ThreadGroup& group, index_t user) const {
    if constexpr (Memory == beam_memory::shared)
      return group.template share<gathered>(capacity);
    else
      return global_beams + user * capacity;
  }
  MQL4GREC_HD bool allowed(index_t user, node_t child) const {
    return in.allowed.rows() == 0 || in.allowed(user, child);
  }
  MQL4GREC_HD T logit(index_t row, node_t child) const { return in.logits(row, index(in.trie.token(child))); }

  template <class ThreadGroup>
  MQL4GREC_HD void load_rows(ThreadGroup& group, index_t user, beam_block<T>& block, T* partial, T* highest) const {
    typename ThreadGroup::template local<int> starts;
    group.each([&](int t) {
      starts[t] = 0;
      if (t >= block.rows) return;
      index_t const node = in.nodes(block.first + t);
      block.children[t] = in.trie.first_child(node);
      starts[t] = in.trie.children_end(node) - block.children[t];
    });
    block.total = group.exclusive_scan(starts);
    group.each([&](int t) {
      if (t < block.rows) block.starts[t] = starts[t];
      if (t == 0) block.starts[block.rows] = block.total;
    });
    if (in.normalize_over_allowed) normalize_rows(group, user, block, partial, highest);
    group.each([&](int t) {
      if (t >= block.rows) return;
      index_t const row = block.first + t;
      block.bases[t] = in.scores(row) - (in.normalize_over_allowed ? block.bases[t] : normalisers[row]);
    });
  }

  /// bases = log Σ exp over the children that the user's filter allows. The members are divided evenly among the rows.
  template <class ThreadGroup>
  MQL4GREC_HD void normalize_rows(ThreadGroup& group, index_t user, beam_block<T> const& block, T* partial,
                                  T* highest) const {
    constexpr T infinity = std::numeric_limits<T>::infinity();
    int each = threads;
    while (each * block.rows > threads) each /= 2;
    auto const visit = [&](int t, auto&& take) {
      int const r = t / each;
      if (r >= block.rows) return;
      node_t const end = block.children[r] + block.starts[r + 1] - block.starts[r];
      for (node_t child = block.children[r] + t % each; child < end; child += each)
        if (allowed(user, child)) take(logit(block.first + r, child), highest[r]);
    };
    group.each([&](int t) {
      T maximum = -infinity;
      visit(t, [&](T x, T) { maximum = x > maximum ? x : maximum; });
      partial[t] = maximum;
    });
    group.each([&](int t) {
      if (t >= block.rows) return;
      T maximum = -infinity;
      for (int i = t * each; i < (t + 1) * each; ++i) maximum = partial[i] > maximum ? partial[i] : maximum;
      highest[t] = maximum;
    });
    group.each([&](int t) {
      T sum{};
      visit(t, [&](T x, T maximum) { sum += std::exp(x - maximum); });
      partial[t] = sum;
    });
    group.each([&](int t) {
      if (t >= block.rows) return;
      T sum{};
      for (int i = t * each; i < (t + 1) * each; ++i) sum += partial[i];
      block.bases[t] = highest[t] + std::log(sum);
    });
  }

  /// Collects the block's candidates from `done` on, as many as fit; returns the number processed so far.
  template <class ThreadGroup>
  MQL4GREC_HD int gather(ThreadGroup& group, index_t user, beam_block<T> const& block, int done,
                         gathered_beams<T> const& best, threshold& worst) const {
    int held = group.read(best.count);
    if (best.nearly_full(held)) {
      best.sort(group, held);
      held = held < best.wanted ? held : best.wanted;
      worst = {held > 0 && held == best.wanted, held > 0 ? best.beams[held - 1].rank : 0};
      group.each([&](int t) {
        if (t == 0) *best.count = held;
      });
    }
    int const end = block.total - done < best.capacity - held ? block.total : done + best.capacity - held;
    group.each([&](int t) {
      for (int c = done + t; c < end; c += threads) {
        int const r = block.row_of(c);
        node_t const child = block.children[r] + c - block.starts[r];
        if (!allowed(user, child)) continue;
        auto const rank = score_rank<T>::of(block.bases[r] + logit(block.first + r, child));
        if (worst.active && rank <= worst.rank) continue;  // of equal scores, the earlier ones are kept
        best.beams[ThreadGroup::atomic_increment(best.count)] = {rank, static_cast<std::int32_t>(block.first + r),
                                                                 child};
      }
    });
    return end;
  }

  template <class ThreadGroup>
  MQL4GREC_HD void write(ThreadGroup& group, index_t user, gathered_beams<T> const& best) const {
    int const held = group.read(best.count), kept = held < best.wanted ? held : best.wanted;
    best.sort(group, held);
    group.each([&](int t) {
      if (t == 0) out.counts(user) = kept;
      for (int i = t; i < kept; i += threads) {
        out.scores(user, i) = score_rank<T>::score(best.beams[i].rank);
        out.parents(user, i) = best.beams[i].row;
        out.nodes(user, i) = best.beams[i].node;
      }
    });
  }
};

}  // namespace detail

/// Selects each user's best candidates. normalisers (rows): log Σ exp over the vocabulary; not read when
/// in.normalize_over_allowed.
template <Real T, class System>
void select_beams(backend<System>& b, beam_candidates<device_space<System>, T> const& in,
                  in_vector<backend<System>, T> normalisers, beam_choice<device_space<System>, T> const& out) {
  using gathered = detail::gathered_beam<T>;
  // of the 99 KiB that every GPU since 2020 has for a block, some are for the rows
  constexpr index_t min_capacity = 1024, max_shared = (92 << 10) / sizeof(gathered);
  index_t const users = in.row_offsets.size() - 1;
  auto const capacity = static_cast<index_t>(std::bit_ceil(to_size(std::max(2 * out.scores.columns(), min_capacity))));
  if (capacity <= max_shared)
    return detail::for_each_group(b, users,
                                  detail::select_for_user<System, T, detail::beam_memory::shared>{
                                      in, normalisers.data, out, static_cast<int>(capacity), nullptr});
  scratch_scope<backend<System>> const scope(b.scratch());
  auto const global_beams = take<gathered>(b, users * capacity);
  detail::for_each_group(b, users,
                         detail::select_for_user<System, T, detail::beam_memory::global>{
                             in, normalisers.data, out, static_cast<int>(capacity), global_beams.data});
}

}  // namespace mql4grec::gpu
