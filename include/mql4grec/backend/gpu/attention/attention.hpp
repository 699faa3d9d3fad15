#pragma once
// Attention over packed sequences, with one thread group per head of a tile of queries. The group iterates over tiles
// of keys and values, which all its queries share. The layout of the weights is that of
// backend/reference/attention.hpp. When a query has more keys than a tile, its weights temporarily contain scores,
// until their sum is known.
#include <cmath>
#include <limits>

#include "mql4grec/backend/gpu/attention/gradient.hpp"

namespace mql4grec::gpu {

namespace detail {

template <class System, Real T, class Tile>
struct attend {
  using head_of = attention_head<System, T, Tile>;
  using query_rows = row_tile<T, Tile, Tile::queries>;
  using key_rows = row_tile<T, Tile, Tile::keys>;
  using pairs = pair_tile<T, Tile>;
  using scores_of_member = tile_scores<T, Tile>;
  static constexpr int threads = Tile::threads, window = Tile::queries + Tile::keys,
                       blocks_together = sizeof(T) > 4 || threads == 32 ? 2 : 5;
  static constexpr std::size_t shared_bytes() {
    return head_of::shared_bytes() + query_rows::shared_bytes() + 2 * key_rows::shared_bytes() + pairs::shared_bytes() +
           shared_bytes_of<T>(window);
  }
  static constexpr T infinity = std::numeric_limits<T>::infinity();

  attention_inputs<device_space<System>, T> in;
  query_tiles list;
  weight_mask<T> mask;
  T scale;
  T* weights;
  view<T, device_space<System>, 2> context;

  struct shared_tiles {
    query_rows q;
    key_rows k, v;
    pairs p;
    T* bias;  // the bias at distance j − i of the tile, at position j − i + queries − 1
    template <class ThreadGroup>
    MQL4GREC_HD explicit shared_tiles(ThreadGroup& group)
        : q(group), k(group), v(group), p(group), bias(group.template share<T>(window)) {}
  };
  /// A member's state of its two queries: the highest score so far and Σ exp(score − highest); finally those of all
  /// members.
  template <class ThreadGroup>
  struct members {
    typename ThreadGroup::template local<scores_of_member> scores;
    typename ThreadGroup::template local<of_queries<T>> highest, sum;
  };

  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t number) const {
    if (number >= *list.count * in.heads) return;
    head_of const head(group, in, list, number);
    shared_tiles const r(group);
    members<ThreadGroup> m;
    int const visible = head.visible_keys(), steps = (visible + Tile::keys - 1) / Tile::keys;
    group.each([&](int t) {
      m.highest[t] = {-infinity, -infinity}, m.sum[t] = {};
      for (int i = 0; in.keeps_weights && i < head.tile().rows; ++i)
        for (int j = visible + t; j < head.tile().keys; j += threads) weights[head.weights_of(i) + j] = T{};
      if (steps == 0) output(head, 0, head.width(), output_mode::overwrite).clear(t);
    });
    for (int step = 0; step < steps; ++step) compute_scores(group, r, head, step, m);
    reduce_sums(group, m);
    for (int step = 0; step < steps; ++step) add_values(group, r, head, step, m);
  }

 private:
  MQL4GREC_HD product_output<T, Tile> output(head_of const& head, int column, int columns, output_mode mode) const {
    return {{context, head.first_row(), head.first_column()}, head.tile().rows, column, columns, mode};
  }
  MQL4GREC_HD static bool is_one_load(head_of const& head, int visible) {
    return head.width() <= Tile::columns && visible <= Tile::keys;
  }

  /// Computes the scores of a tile of keys. When there are several tiles, the scores are stored in place of the
  /// weights.
  template <class ThreadGroup>
  MQL4GREC_HD void compute_scores(ThreadGroup& group, shared_tiles const& r, head_of const& head, int step,
                                  members<ThreadGroup>& m) const {
    query_tile const& s = head.tile();
    int const visible = head.visible_keys(), first = step * Tile::keys, keys = Tile::part(visible, first, Tile::keys);
    for (int column = 0; column < head.width(); column += Tile::columns) {
      int const columns = Tile::part(head.width(), column, Tile::columns);
      group.load([&](int t) {
        r.q.template load<ThreadGroup>(t, head.q(), 0, s.rows, column, columns);
        r.k.template load<ThreadGroup>(t, head.k(), first, keys, column, columns);
        if (is_one_load(head, visible)) r.v.template load<ThreadGroup>(t, head.v(), first, keys, column, columns);
        if (column == 0) load_bias<ThreadGroup>(t, head, first, r.bias);
      });
      group.each([&](int t) {
        if (column == 0) m.scores[t] = {};
        add_dots(r.q, r.k, s.rows, keys, columns, t, m.scores[t]);
        if (column + columns == head.width()) {
          finish_scores(r, head, first, keys, t, m.scores[t]);
          if (visible > Tile::keys) store_scores(head, first, keys, t, m.scores[t]);
          update_softmax(m.scores[t], m.highest[t], m.sum[t]);
        }
      });
    }
  }
  template <class ThreadGroup>
  MQL4GREC_HD void load_bias(int t, head_of const& head, int first_key, T* to) const {
    if (in.bias.size() == 0) return;
    for (int n = t; n < window; n += threads) {
      index_t const at = in.zero_distance + first_key - head.tile().first + n - (Tile::queries - 1);
      if (at >= 0 && at < in.bias.columns())
        ThreadGroup::template copy_async<sizeof(T)>(in.bias.row(head.number()).data + at, to + n);
      else
        to[n] = T{};
    }
  }
  MQL4GREC_HD void finish_scores(shared_tiles const& r, head_of const& head, int first, int keys, int t,
                                 scores_of_member& scores) const {
    unrolled<scores_of_member::queries>([&](auto a) {
      unrolled<scores_of_member::keys>([&](auto b) {
        int const i = scores.query(t, a), j = scores.key(t, b);
        scores.of[a][b] *= scale;
        if (in.bias.size() > 0) scores.of[a][b] += r.bias[j - i + Tile::queries - 1];
        if (i >= head.tile().rows || j >= keys || (in.causal && first + j > head.tile().first + i))
          scores.of[a][b] = -infinity;
      });
    });
  }
  MQL4GREC_HD void store_scores(head_of const& head, int first, int keys, int t, scores_of_member const& scores) const {
    head.for_each_pair(0, head.tile().rows, first, keys, t,
                       [&](auto a, auto b, index_t at) { weights[at] = scores.of[a][b]; });
  }
  MQL4GREC_HD void load_scores(head_of const& head, int first, int keys, int t, scores_of_member& scores) const {
    head.for_each_pair(0, head.tile().rows, first, keys, t,
                       [&](auto a, auto b, index_t at) { scores.of[a][b] = weights[at]; });
  }
  MQL4GREC_HD static void update_softmax(scores_of_member const& scores, of_queries<T>& highest, of_queries<T>& sum) {
    unrolled<scores_of_member::queries>([&](auto a) {
      T maximum = highest.of[a];
      unrolled<scores_of_member::keys>(
          [&](auto b) { maximum = scores.of[a][b] > maximum ? scores.of[a][b] : maximum; });
      if (maximum == -infinity) return;  // all scores so far are −∞, and −∞ − (−∞) is NaN
      T total = sum.of[a] * std::exp(highest.of[a] - maximum);
      unrolled<scores_of_member::keys>([&](auto b) { total += std::exp(scores.of[a][b] - maximum); });
      highest.of[a] = maximum, sum.of[a] = total;
    });
  }

  /// Replaces each member's sums by 1 / Σ exp(score − highest) over all members that share its queries.
  template <class ThreadGroup>
  MQL4GREC_HD void reduce_sums(ThreadGroup& group, members<ThreadGroup>& m) const {
    auto const highest = group.template reduce_among<scores_of_member::sharers>(m.highest, greater_of_queries{});
    group.each([&](int t) {
      unrolled<scores_of_member::queries>([&](auto a) {
        m.sum[t].of[a] =
            m.highest[t].of[a] == -infinity ? T{} : m.sum[t].of[a] * std::exp(m.highest[t].of[a] - highest[t].of[a]);
      });
    });
    auto const sum = group.template reduce_among<scores_of_member::sharers>(m.sum, add_of_queries{});
    group.each([&](int t) {
      m.highest[t] = highest[t];
      unrolled<scores_of_member::queries>([&](auto a) { m.sum[t].of[a] = 1 / sum[t].of[a]; });
    });
  }

  /// Computes the weights of a tile of keys and adds their product with the values to the context.
  template <class ThreadGroup>
  MQL4GREC_HD void add_values(ThreadGroup& group, shared_tiles const& r, head_of const& head, int step,
                              members<ThreadGroup>& m) const {
    int const visible = head.visible_keys(), first = step * Tile::keys;
    int const keys = Tile::part(visible, first, Tile::keys);
    for (int column = 0; column < head.width(); column += Tile::columns) {
      int const columns = Tile::part(head.width(), column, Tile::columns);
      group.load([&](int t) {
        if (!is_one_load(head, visible)) r.v.template load<ThreadGroup>(t, head.v(), first, keys, column, columns);
        if (column == 0) {
          if (visible > Tile::keys) load_scores(head, first, keys, t, m.scores[t]);
          store_weights(r, head, first, keys, t, m.scores[t], m.highest[t], m.sum[t]);
        }
      });
      auto const mode = step > 0 ? output_mode::accumulate : output_mode::overwrite;
      group.each([&](int t) { store_product(r.p, r.v, keys, t, output(head, column, columns, mode)); });
    }
  }
  /// Writes the weights to global memory if they are kept, and the weights after dropout to the tile.
  MQL4GREC_HD void store_weights(shared_tiles const& r, head_of const& head, int first, int keys, int t,
                                 scores_of_member const& scores, of_queries<T> const& highest,
                                 of_queries<T> const& inverse_sum) const {
    unrolled<scores_of_member::queries>([&](auto a) {
      int const i = scores.query(t, a);
      quad<T> const kept = mask.kept(head.first_row() + i, head.first_weight_column() + first + scores.key(t, 0));
      index_t const row = head.weights_of(i) + first;
      unrolled<scores_of_member::keys>([&](auto b) {
        int const j = scores.key(t, b);
        bool const is_there = i < head.tile().rows && j < keys;
        T const weight = is_there ? std::exp(scores.of[a][b] - highest.of[a]) * inverse_sum.of[a] : T{};
        if (is_there && in.keeps_weights) weights[row + j] = weight;
        r.p(i, j) = weight * kept.of[b];
      });
    });
  }
};

}  // namespace detail

/// Returns an empty view: this backend reads keys as they are.
template <Real T, class System>
in_vector<backend<System>, T> pack_keys(backend<System>&, in_matrix<backend<System>, T>,
                                        in_vector<backend<System>, index_t>, index_t) {
  return {};
}

/// Lists the tiles of queries, which all attentions over these sequences share. The plan is in the backend's scratch,
/// so it is valid until the scope of the scratch ends.
template <class System>
[[nodiscard]] attention_plan<device_space<System>> plan_attention(backend<System>& b,
                                                                  attention_sequences<device_space<System>> const& of,
                                                                  attention_passes passes) {
  attention_plan<device_space<System>> plan{.forward = detail::make_tile_list(b, of, detail::query_tiling::fixed_size)};
  if (passes == attention_passes::forward_and_backward)
    plan.backward = detail::make_tile_list(b, of, detail::query_tiling::whole_sequence);
  return plan;
}

/// Computes context (query tokens, heads·width) and weights (Σ heads·queries·keys), which the backward pass reads. If
/// they aren't kept, their memory is used only for sequences with more keys than a tile.
template <Real T, class System>
void attention_forward(backend<System>& b, attention_inputs<device_space<System>, T> const& in,
                       out_vector<backend<System>, T> weights, out_matrix<backend<System>, T> context) {
  scratch_scope<backend<System>> const scope(b.scratch());
  auto const list = detail::query_tiles_of<System, T>(b, in, detail::query_tiling::fixed_size);
  detail::with_tiles_for(in.sequences(), in.q.rows(), [&]<class Tile>(Tile) {
    detail::for_each_group(b, list.max_tiles * in.heads,
                           detail::attend<System, T, Tile>{in, list, detail::weight_mask<T>(in.drop),
                                                           static_cast<T>(in.scale), weights.data, context});
  });
}

/// Computes the gradients of the inputs from dcontext (query tokens, heads·width) and the forward pass' weights, which
/// are not modified.
template <Real T, class System>
void attention_backward(backend<System>& b, attention_inputs<device_space<System>, T> const& in,
                        out_vector<backend<System>, T> weights, in_matrix<backend<System>, T> dcontext,
                        attention_gradients<device_space<System>, T> const& out) {
  scratch_scope<backend<System>> const scope(b.scratch());
  auto const list = detail::query_tiles_of<System, T>(b, in, detail::query_tiling::whole_sequence);
  auto const inner_product = take<T>(b, in.q.rows(), in.heads);
  bool const with_bias = out.dbias.size() > 0;
  auto const diagonals = take<T>(b, with_bias ? in.heads * (in.q.rows() + in.k.rows()) : 0);
  detail::with_tiles_for(in.sequences(), in.q.rows(), [&]<class Tile>(Tile) {
    detail::for_each_group(b, list.max_tiles * in.heads,
                           detail::attention_gradient<System, T, Tile>{
                               in, list, detail::weight_mask<T>(in.drop), weights.data, dcontext, out.dq, out.dk,
                               out.dv, inner_product.data, with_bias ? diagonals.data : nullptr});
  });
  if (with_bias) detail::add_bias_gradient<System, T>(b, in, diagonals.data, out.dbias);
}

}  // namespace mql4grec::gpu
