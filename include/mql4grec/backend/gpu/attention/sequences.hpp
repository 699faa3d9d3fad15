#pragma once
// Assigns queries to thread groups. The sequences' lengths are on the device, and the host doesn't wait for them: one
// group lists the tiles of queries, and the host launches the maximum number of groups that there could be.
#include <cstdint>

#include "mql4grec/backend/contract/attention.hpp"
#include "mql4grec/backend/gpu/attention/tile.hpp"

namespace mql4grec::gpu::detail {

/// A tile of a sequence's queries.
struct query_tile {
  index_t first_query, first_key;  ///< the first rows of the sequence
  index_t first_weight;            ///< the position of the sequence's first weight
  int queries, keys;               ///< of the whole sequence
  int first, rows;                 ///< the queries of the tile, relative to the sequence

  /// The position of a head's weights for a query; the query is relative to the tile.
  MQL4GREC_HD index_t weights_of(int head, int query) const {
    return first_weight + (static_cast<index_t>(head) * queries + first + query) * keys;
  }
};

inline constexpr index_t tiles_begin = 16;  ///< bytes before the first tile of a list

/// Lists the tiles in the order of their queries; or one tile for each sequence, which contains all of its queries, if
/// any.
struct list_query_tiles {
  static constexpr int threads = 512;
  static constexpr std::size_t shared_bytes() { return 0; }
  index_t const *query_offsets, *key_offsets;
  index_t sequences, heads;
  int queries_each;  ///< queries per tile; 0: all queries of a sequence
  query_tile* tiles;
  index_t* count;

  MQL4GREC_HD int queries(index_t s) const { return static_cast<int>(query_offsets[s + 1] - query_offsets[s]); }
  MQL4GREC_HD int keys(index_t s) const { return static_cast<int>(key_offsets[s + 1] - key_offsets[s]); }
  MQL4GREC_HD index_t weights_of(index_t s) const { return heads * queries(s) * keys(s); }
  MQL4GREC_HD int tiles_of(index_t s) const {
    return queries_each == 0 ? 1 : (queries(s) + queries_each - 1) / queries_each;
  }

  /// Each member lists the tiles of some consecutive sequences.
  template <class ThreadGroup>
  MQL4GREC_HD void operator()(ThreadGroup& group, index_t) const {
    index_t const each = (sequences + threads - 1) / threads;
    typename ThreadGroup::template local<index_t> weight, place;
    group.each([&](int t) {
      weight[t] = place[t] = 0;
      for (index_t s = t * each; s < sequences && s < (t + 1) * each; ++s)
        weight[t] += weights_of(s), place[t] += tiles_of(s);
    });
    group.exclusive_scan(weight);
    index_t const total = group.exclusive_scan(place);
    group.each([&](int t) {
      if (t == 0) *count = total;
      for (index_t s = t * each; s < sequences && s < (t + 1) * each; weight[t] += weights_of(s++))
        for (int n = 0; n < tiles_of(s); ++n) {
          int const first = n * queries_each, left = queries(s) - first;
          tiles[place[t]++] = {query_offsets[s],
                               key_offsets[s],
                               weight[t],
                               queries(s),
                               keys(s),
                               first,
                               queries_each == 0 || left < queries_each ? left : queries_each};
        }
    });
  }
};

/// A list of tiles on the device; `max_tiles` is an upper bound of its length. Sizes are ints, which a GPU divides
/// faster.
struct query_tiles {
  query_tile const* tiles;
  index_t const* count;
  index_t max_tiles;
  int heads, width;
};

/// How queries are divided into tiles: a fixed number of queries each, or all queries of a sequence.
enum class query_tiling { fixed_size, whole_sequence };

/// A list in the backend's scratch: its length, followed by the tiles.
template <class System>
view<std::byte const, device_space<System>, 1> make_tile_list(backend<System>& b,
                                                              attention_sequences<device_space<System>> const& of,
                                                              query_tiling tiling) {
  bool const whole = tiling == query_tiling::whole_sequence;
  index_t const sequences = of.sequences();
  int const each = whole ? 0 : is_narrow(sequences, of.queries) ? narrow_tile::queries : wide_tile::queries;
  index_t const max_tiles = whole ? sequences : sequences + of.queries / each;
  auto const list = take<std::byte>(b, tiles_begin + max_tiles * static_cast<index_t>(sizeof(query_tile)));
  for_each_group(
      b, 1,
      list_query_tiles{of.query_offsets.data, of.key_offsets.data, sequences, of.heads, each,
                       reinterpret_cast<query_tile*>(list.data + tiles_begin), reinterpret_cast<index_t*>(list.data)});
  return list;
}

/// The tiles of the inputs' plan or, when there is none, a new list in the backend's scratch.
template <class System, Real T>
query_tiles query_tiles_of(backend<System>& b, attention_inputs<device_space<System>, T> const& in,
                           query_tiling tiling) {
  auto list = tiling == query_tiling::whole_sequence ? in.plan.backward : in.plan.forward;
  if (list.size() == 0) list = make_tile_list(b, {in.query_offsets, in.key_offsets, in.heads, in.q.rows()}, tiling);
  return {reinterpret_cast<query_tile const*>(list.data + tiles_begin), reinterpret_cast<index_t const*>(list.data),
          (list.size() - tiles_begin) / static_cast<index_t>(sizeof(query_tile)), static_cast<int>(in.heads),
          static_cast<int>(in.width())};
}

/// A number for each of the two queries of a member.
template <Real T>
struct of_queries {
  T of[2];
};
struct add_of_queries {
  template <Real T>
  MQL4GREC_HD of_queries<T> operator()(of_queries<T> const& x, of_queries<T> const& y) const {
    return {x.of[0] + y.of[0], x.of[1] + y.of[1]};
  }
};
struct greater_of_queries {
  template <Real T>
  MQL4GREC_HD of_queries<T> operator()(of_queries<T> const& x, of_queries<T> const& y) const {
    return {y.of[0] > x.of[0] ? y.of[0] : x.of[0], y.of[1] > x.of[1] ? y.of[1] : x.of[1]};
  }
};

/// The factors by which dropout multiplies weights, by the rule of backend/contract/dropout.hpp. One Philox draw serves
/// all keys of a member that share it.
template <Real T>
class weight_mask {
 public:
  explicit weight_mask(dropout const& site)
      : site_(site), threshold_(site.threshold()), scale_(static_cast<T>(site.scale())) {}

  /// The factors of one query's weights in `column` and in the columns 8, 16 and 24 further on.
  MQL4GREC_HD quad<T> kept(index_t row, index_t column) const {
    if (!site_.active()) return {1, 1, 1, 1};
    quad<T> result;
    unrolled<2>([&](auto b) {
      auto const block = static_cast<std::uint32_t>((column + 8 * b) / 128),
                 within = static_cast<std::uint32_t>((column + 8 * b) % 128);
      philox_counter words = draw(row, block, within % 16);
      result.of[b] = kept(words, within);
      if (within + 16 >= 128) words = draw(row, block + 1, within % 16);
      result.of[b + 2] = kept(words, (within + 16) % 128);
    });
    return result;
  }

 private:
  MQL4GREC_HD philox_counter draw(index_t row, std::uint32_t block, std::uint32_t lane) const {
    return philox<7>(
        {block * 16 + lane, static_cast<std::uint32_t>(site_.first_row + row), site_.site, site_.current_step()},
        {static_cast<std::uint32_t>(site_.seed), static_cast<std::uint32_t>(site_.seed >> 32)});
  }
  MQL4GREC_HD T kept(philox_counter const& words, std::uint32_t within) const {
    std::uint32_t const w0 = words[0], w1 = words[1], w2 = words[2],
                        w3 = words[3];  // selected without indexing: registers cannot be indexed
    std::uint32_t const low = within & 32 ? w1 : w0, high = within & 32 ? w3 : w2;
    std::uint32_t const word = within & 64 ? high : low;
    return (within & 16 ? word >> 16 : word & 0xffffu) >= threshold_ ? scale_ : T{};
  }

  dropout site_;
  std::uint32_t threshold_;
  T scale_;
};

/// One head of a tile of queries. It is read from shared memory in every phase: it and the values derived from it would
/// occupy too many registers.
template <class System, Real T, class Tile>
class attention_head {
  struct place {
    query_tile tile;
    int number, key_number;
  };

 public:
  static constexpr std::size_t shared_bytes() { return shared_bytes_of<place>(1); }

  /// The at-th head of the list, where every tile has `heads` consecutive entries.
  template <class ThreadGroup>
  MQL4GREC_HD attention_head(ThreadGroup& group, attention_inputs<device_space<System>, T> const& in,
                             query_tiles const& list, index_t at)
      : in_(in), width_(list.width), place_(group.template share<place>(1)) {
    group.each([&](int t) {
      int const n = static_cast<int>(at);  // a grid has fewer blocks than 2³¹
      if (t == 0) *place_ = {list.tiles[n / list.heads], n % list.heads, n % list.heads / static_cast<int>(in_.group)};
    });
  }

  MQL4GREC_HD query_tile const& tile() const { return place_->tile; }
  MQL4GREC_HD int number() const { return place_->number; }
  /// The number of keys that at least one query of the tile attends to.
  MQL4GREC_HD int visible_keys() const {
    query_tile const& s = tile();
    return in_.causal && s.first + s.rows < s.keys ? s.first + s.rows : s.keys;
  }
  MQL4GREC_HD int width() const { return width_; }
  MQL4GREC_HD index_t first_row() const { return tile().first_query + tile().first; }
  MQL4GREC_HD index_t first_column() const { return static_cast<index_t>(number()) * width(); }
  MQL4GREC_HD index_t first_key_column() const { return static_cast<index_t>(place_->key_number) * width(); }
  /// The head's part of a matrix with the same rows as q.
  MQL4GREC_HD head_rows<T const> of_queries(view<T const, device_space<System>, 2> const& x) const {
    return {x, first_row(), first_column()};
  }
  MQL4GREC_HD head_rows<T const> q() const { return of_queries(in_.q); }
  MQL4GREC_HD head_rows<T const> k() const { return {in_.k, tile().first_key, first_key_column()}; }
  MQL4GREC_HD head_rows<T const> v() const { return {in_.v, tile().first_key, first_key_column()}; }
  /// The position of the weights of a query of the tile.
  MQL4GREC_HD index_t weights_of(int query) const { return tile().weights_of(number(), query); }
  /// The column of the first key's weight, as dropout numbers columns.
  MQL4GREC_HD index_t first_weight_column() const { return static_cast<index_t>(number()) * tile().keys; }
  /// Calls visit(a, b, position of the weight) for each of member t's pairs in a (queries, keys) tile that begins at
  /// the given query and key.
  template <class Visit>
  MQL4GREC_HD void for_each_pair(int first_query, int queries, int first_key, int keys, int t, Visit&& visit) const {
    unrolled<tile_scores<T, Tile>::queries>([&](auto a) {
      int const i = tile_scores<T, Tile>::query(t, a);
      index_t const row = weights_of(first_query + i) + first_key;
      unrolled<tile_scores<T, Tile>::keys>([&](auto b) {
        if (int const j = tile_scores<T, Tile>::key(t, b); i < queries && j < keys) visit(a, b, row + j);
      });
    });
  }

 private:
  attention_inputs<device_space<System>, T> const& in_;
  int width_;
  place* place_;
};

}  // namespace mql4grec::gpu::detail
