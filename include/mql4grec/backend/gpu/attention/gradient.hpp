#pragma once
// The backward pass of attention, with one thread group per head of a sequence. The group iterates over tiles of keys
// and, for each, over tiles of queries. All gradients of a sequence's head are computed by one group in a fixed order.
// A dropout mask is drawn once, or twice when the keys need several tiles.
#include "mql4grec/backend/gpu/attention/sequences.hpp"
#include "mql4grec/backend/gpu/primitives/column_sums.hpp"

namespace mql4grec::gpu::detail {

/// With p = the softmax weights and dp = the gradient of p after dropout's mask: ds = p ∘ (dp − Σ p·dp).
template <class System, Real T, class Tile>
struct attention_gradient {
  using head_of = attention_head<System, T, Tile>;
  using query_rows = row_tile<T, Tile, Tile::queries>;
  using key_rows = row_tile<T, Tile, Tile::keys>;
  using pairs = pair_tile<T, Tile>;
  using scores_of_member = tile_scores<T, Tile>;
  static constexpr int threads = Tile::threads, blocks_together = sizeof(T) > 4 || threads == 32 ? 2 : 4;
  static constexpr std::size_t shared_bytes() {
    return head_of::shared_bytes() + 2 * query_rows::shared_bytes() + 2 * key_rows::shared_bytes() +
           2 * pairs::shared_bytes();
  }

  attention_inputs<device_space<System>, T> in;
  query_tiles list;
  weight_mask<T> mask;
  T const* weights;
  view<T const, device_space<System>, 2> dcontext;
  view<T, device_space<System>, 2> dq, dk, dv;
  T* inner_product;  ///< (query rows, heads): Σ p·dp, for sequences with more keys than a tile
  T* diagonals;      ///< see add_bias_gradient; or null

  /// What a pass over the tiles of keys computes. With a single tile of keys, one pass computes everything.
  enum class pass {
    inner_products,  ///< only Σ p·dp of each query
    gradients
  };
  struct shared_tiles {
    query_rows q, d;
    key_rows k, v;
    pairs p, ds;
    template <class ThreadGroup>
    MQL4GREC_HD explicit shared_tiles(ThreadGroup& group)
        : q(group), d(group), k(group), v(group), p(group), ds(group) {}
  };
  /// A tile of queries and a tile of keys, and which of their rows are in shared memory already.
  struct pair {
    int first_query, queries, first_key, keys;
    bool has_queries = false, has_keys = false;
    bool is_first_of_keys = true;
  };
  /// A member's p and dp, and its share of Σ p·dp.
  template <class ThreadGroup>
  struct members {
    typename ThreadGroup::template local<scores_of_member> p, dp;
    typename ThreadGroup::template local<of_queries<T>> inner_product;
  };

  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t number) const {
    head_of const head(group, in, list, number);
    query_tile const& s = head.tile();
    shared_tiles const r(group);
    members<ThreadGroup> m;
    group.each([&](int t) {
      if (s.keys == 0) output(dq, head, s.first_query, s.queries, 0, head.width()).clear(t);
      if (diagonals != nullptr && has_many_pairs(s))
        for (int n = t; n < s.queries + s.keys; n += threads) diagonals_of(head)[n] = T{};
    });
    for (pass now = s.keys <= Tile::keys ? pass::gradients : pass::inner_products;; now = pass::gradients) {
      for (int j = 0; j < s.keys; j += Tile::keys) process_keys(group, r, head, j, now, m);
      if (now == pass::gradients) return;
    }
  }

 private:
  MQL4GREC_HD static product_output<T, Tile> output(view<T, device_space<System>, 2> const& to, head_of const& head,
                                                    index_t row, int rows, int column, int columns,
                                                    output_mode mode = output_mode::overwrite) {
    return {{to, row, head.first_column()}, rows, column, columns, mode};
  }
  MQL4GREC_HD static bool has_many_pairs(query_tile const& s) {
    return s.queries > Tile::queries || s.keys > Tile::keys;
  }
  MQL4GREC_HD T* diagonals_of(head_of const& head) const {
    query_tile const& s = head.tile();
    return diagonals + in.heads * (s.first_query + s.first_key) +
           static_cast<index_t>(head.number()) * (s.queries + s.keys);
  }
  MQL4GREC_HD static bool is_one_load(head_of const& head) { return head.width() <= Tile::columns; }
  MQL4GREC_HD static pair pair_at(query_tile const& s, int i, int j) {
    return {i, Tile::part(s.queries, i, Tile::queries), j, Tile::part(s.keys, j, Tile::keys)};
  }
  MQL4GREC_HD bool is_visible(pair const& at) const { return !in.causal || at.first_key < at.first_query + at.queries; }

  /// Computes p, dp and the member's share of Σ p·dp for a pair of tiles, and writes p after dropout to shared memory.
  template <class ThreadGroup>
  MQL4GREC_HD void compute_weight_gradients(ThreadGroup& group, shared_tiles const& r, head_of const& head,
                                            pair const& at, pass now, members<ThreadGroup>& m) const {
    for (int column = 0; column < head.width(); column += Tile::columns) {
      int const columns = Tile::part(head.width(), column, Tile::columns);
      group.load([&](int t) {
        if (column == 0) load_weights(head, at, t, m.p[t]);
        load_rows<ThreadGroup>(r, head, at, column, columns, t,
                               now == pass::gradients && is_one_load(head) ? operands::all : operands::of_dp);
      });
      group.each([&](int t) {
        if (column == 0) m.dp[t] = {}, m.inner_product[t] = {};
        add_dots(r.d, r.v, at.queries, at.keys, columns, t, m.dp[t]);
        if (column + columns == head.width()) apply_dropout(r, head, at, t, m.p[t], m.dp[t], m.inner_product[t]);
      });
    }
  }
  MQL4GREC_HD void load_weights(head_of const& head, pair const& at, int t, scores_of_member& p) const {
    p = {};
    head.for_each_pair(at.first_query, at.queries, at.first_key, at.keys, t,
                       [&](auto a, auto b, index_t place) { p.of[a][b] = weights[place]; });
  }
  /// The operands to load: those of dp = dcontext · vᵀ, or q and k too.
  enum class operands { of_dp, all };
  /// Loads the rows of the operands.
  template <class ThreadGroup>
  MQL4GREC_HD void load_rows(shared_tiles const& r, head_of const& head, pair const& at, int column, int columns, int t,
                             operands which) const {
    if (!at.has_queries) {
      r.d.template load<ThreadGroup>(t, head.of_queries(dcontext), at.first_query, at.queries, column, columns);
      if (which == operands::all)
        r.q.template load<ThreadGroup>(t, head.q(), at.first_query, at.queries, column, columns);
    }
    if (!at.has_keys) {
      r.v.template load<ThreadGroup>(t, head.v(), at.first_key, at.keys, column, columns);
      if (which == operands::all) r.k.template load<ThreadGroup>(t, head.k(), at.first_key, at.keys, column, columns);
    }
  }
  MQL4GREC_HD void apply_dropout(shared_tiles const& r, head_of const& head, pair const& at, int t,
                                 scores_of_member const& p, scores_of_member& dp, of_queries<T>& part) const {
    unrolled<scores_of_member::queries>([&](auto a) {
      int const i = p.query(t, a);
      quad<T> const kept =
          mask.kept(head.first_row() + at.first_query + i, head.first_weight_column() + at.first_key + p.key(t, 0));
      unrolled<scores_of_member::keys>([&](auto b) {
        int const j = p.key(t, b);
        bool const is_there = i < at.queries && j < at.keys;
        dp.of[a][b] = is_there ? dp.of[a][b] * kept.of[b] : T{};
        r.p(i, j) = p.of[a][b] * kept.of[b];
        part.of[a] += p.of[a][b] * dp.of[a][b];
      });
    });
  }

  /// Computes all contributions of a tile of keys. When there are several such tiles, a first pass computes only
  /// the queries' Σ p·dp.
  template <class ThreadGroup>
  MQL4GREC_HD void process_keys(ThreadGroup& group, shared_tiles const& r, head_of const& head, int j, pass now,
                                members<ThreadGroup>& m) const {
    query_tile const& s = head.tile();
    bool is_first = true;
    for (int i = 0; i < s.queries; i += Tile::queries) {
      pair at = pair_at(s, i, j);
      if (!is_visible(at)) continue;
      at.has_queries = is_one_load(head) && s.queries <= Tile::queries && j > 0;
      at.has_keys = is_one_load(head) && !is_first;
      at.is_first_of_keys = is_first;
      is_first = false;
      compute_weight_gradients(group, r, head, at, now, m);
      if (now == pass::inner_products) {
        add_inner_products(group, head, at, m);
      } else {
        compute_score_gradients(group, r, head, at, m);
        store_products(group, r, head, at);
      }
    }
    if (is_first && now == pass::gradients)  // no query attends to these keys
      group.each([&](int t) {
        for (auto const* to : {&dk, &dv})
          output(*to, head, s.first_key + j, Tile::part(s.keys, j, Tile::keys), 0, head.width()).clear(t);
      });
  }
  MQL4GREC_HD T& inner_product_of(head_of const& head, pair const& at, int query) const {
    return inner_product[(head.first_row() + at.first_query + query) * in.heads + head.number()];
  }
  template <class ThreadGroup>
  MQL4GREC_HD void add_inner_products(ThreadGroup& group, head_of const& head, pair const& at,
                                      members<ThreadGroup>& m) const {
    auto const all = group.template reduce_among<scores_of_member::sharers>(m.inner_product, add_of_queries{});
    group.each([&](int t) {
      unrolled<scores_of_member::queries>([&](auto a) {
        int const i = scores_of_member::query(t, a);
        if (i >= at.queries || t % scores_of_member::sharers > 0) return;
        T& to = inner_product_of(head, at, i);
        to = at.first_key > 0 ? to + all[t].of[a] : all[t].of[a];
      });
    });
  }
  template <class ThreadGroup>
  MQL4GREC_HD void compute_score_gradients(ThreadGroup& group, shared_tiles const& r, head_of const& head,
                                           pair const& at, members<ThreadGroup>& m) const {
    auto const all = group.template reduce_among<scores_of_member::sharers>(m.inner_product, add_of_queries{});
    group.each([&](int t) {
      unrolled<scores_of_member::queries>([&](auto a) {
        int const i = scores_of_member::query(t, a);
        T of_row = all[t].of[a];
        if (head.tile().keys > Tile::keys && i < at.queries) of_row = inner_product_of(head, at, i);
        unrolled<scores_of_member::keys>(
            [&](auto b) { r.ds(i, scores_of_member::key(t, b)) = m.p[t].of[a][b] * (m.dp[t].of[a][b] - of_row); });
      });
    });
  }
  template <class ThreadGroup>
  MQL4GREC_HD void store_products(ThreadGroup& group, shared_tiles const& r, head_of const& head,
                                  pair const& at) const {
    auto const of_keys = at.is_first_of_keys ? output_mode::overwrite : output_mode::accumulate;
    auto const of_queries = at.first_key == 0 ? output_mode::overwrite : output_mode::accumulate;
    for (int column = 0; column < head.width(); column += Tile::columns) {
      int const columns = Tile::part(head.width(), column, Tile::columns);
      if (!is_one_load(head))
        group.load([&](int t) { load_rows<ThreadGroup>(r, head, at, column, columns, t, operands::all); });
      // a phase for each: several products in one phase would exceed the registers
      group.each([&](int t) {
        index_t const first_key = head.tile().first_key + at.first_key;
        store_transposed_product(r.p, r.d, at.queries, t,
                                 output(dv, head, first_key, at.keys, column, columns, of_keys));
      });
      group.each([&](int t) {
        index_t const first_key = head.tile().first_key + at.first_key;
        store_transposed_product(r.ds, r.q, at.queries, t,
                                 output(dk, head, first_key, at.keys, column, columns, of_keys));
      });
      group.each([&](int t) {
        index_t const first_query = head.tile().first_query + at.first_query;
        store_product(r.ds, r.k, at.keys, t, output(dq, head, first_query, at.queries, column, columns, of_queries));
        if (column == 0 && diagonals != nullptr) add_diagonals(r, head, at, t);
      });
    }
  }
  /// Adds up ds for each distance j − i of the tile.
  MQL4GREC_HD void add_diagonals(shared_tiles const& r, head_of const& head, pair const& at, int t) const {
#if defined(__CUDA_ARCH__)
#pragma unroll 1
#endif
    for (int distance = t - (at.queries - 1); distance < at.keys; distance += threads) {
      T sum{};
      for (int i = distance < 0 ? -distance : 0; i < at.queries && i + distance < at.keys; ++i)
        sum += r.ds(i, i + distance);
      T& to = diagonals_of(head)[at.first_key - at.first_query + distance + head.tile().queries - 1];
      to = has_many_pairs(head.tile()) ? to + sum : sum;
    }
  }
};

/// The contribution of a few sequences to the bias' gradient. `diagonals` contains, for each sequence and each of its
/// heads, Σ ds by distance, beginning with −(queries − 1). The entries of a head begin after those of all earlier
/// sequences and of the sequence's earlier heads, at queries + keys entries each.
template <class System, Real T>
struct sum_diagonals {
  static constexpr index_t sequences_each = 4;
  attention_inputs<device_space<System>, T> in;
  T const* diagonals;
  index_t distances;
  view<T, device_space<System>, 2> partial;  ///< (ranges, heads·distances)

  MQL4GREC_HD void operator()(index_t range, index_t column) const {
    index_t const head = column / distances, distance = column % distances - in.zero_distance,
                  first = range * sequences_each;
    T sum{};
    for (index_t s = first; s < first + sequences_each && s < in.sequences(); ++s) {
      index_t const q = in.query_offsets(s), k = in.key_offsets(s), queries = in.query_offsets(s + 1) - q,
                    keys = in.key_offsets(s + 1) - k;
      if (queries > 0 && distance > -queries && distance < keys)
        sum += diagonals[in.heads * (q + k) + head * (queries + keys) + distance + queries - 1];
    }
    partial(range, column) = sum;
  }
};
/// The entries of a table, numbered row by row.
template <class M>
struct entries_of {
  M table;
  MQL4GREC_HD auto& operator()(index_t at) const { return table(at / table.columns(), at % table.columns()); }
};

/// dbias (heads, distances) += the diagonals of all sequences, in the order of the sequences.
template <class System, Real T>
void add_bias_gradient(backend<System>& b, attention_inputs<device_space<System>, T> const& in, T const* diagonals,
                       view<T, device_space<System>, 2> dbias) {
  using sums = sum_diagonals<System, T>;
  auto const partial = take<T>(b, (in.sequences() + sums::sequences_each - 1) / sums::sequences_each, dbias.size());
  for_each_entry(b, partial.rows(), partial.columns(), sums{in, diagonals, dbias.columns(), partial});
  add_partial_sums<T>(b, partial, entries_of<view<T, device_space<System>, 2>>{dbias});
}

}  // namespace mql4grec::gpu::detail
