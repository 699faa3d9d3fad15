#pragma once
// The search that all collision policies share: the next free sequence for a latent, near ones first. An item starts at
// a prefix (all codes but the last). When the prefix has no free code, the item moves to its next-nearest code of the
// level before, and after the last code of that level to the level before that. Deeper codes are chosen anew by the new
// residual (Section 3.1 of the paper).
#include <algorithm>
#include <cassert>
#include <numeric>

#include "mql4grec/quantize/codebook/assignment.hpp"
#include "mql4grec/quantize/codebook/codebook.hpp"
#include "mql4grec/quantize/collisions/collisions.hpp"
#include "mql4grec/quantize/collisions/occupancy.hpp"

namespace mql4grec::quantize::detail {

/// The operations that placing items requires from a backend.
template <class B>
concept SequencePlacerOps = NearestCodeOps<B, float> && requires(B& b, in_matrix<B, float> x, out_matrix<B, float> y) {
  squared_distances<float>(b, x, x, y);
};

/// Places items at free sequences. Changes the table and the occupancy, which is an `occupancy` or has its functions;
/// throws error when no sequence is free.
template <Backend B, class Occupancy = occupancy>
  requires std::same_as<typename B::memory_space, host_space>
class sequence_placer {
  static_assert(SequencePlacerOps<B>,
                "this backend has no nearest_code for float; add it in backend/<name>/nearest_code.hpp");

 public:
  /// Places items of `table` with codebooks `levels`; `taken` contains the sequences in use.
  sequence_placer(B& backend, code_table& table, std::span<codebook_view<B, float> const> levels, Occupancy& taken)
      : backend_(backend), table_(table), levels_(levels), taken_(taken), width_(levels.front().vectors().columns()) {}

  /// Gives each item, with latents (n, width), its own sequence: the nearest free one, starting at the prefix of
  /// `start`. Of the items at one prefix, the item with the smallest distance to any code of the last level chooses
  /// first; of equal distances, the smaller item number.
  void place(std::span<item_id const> items, host_matrix_view<float const> latents, std::span<code_t const> start) {
    std::vector<pending> waiting(items.size());
    for (std::size_t i = 0; i < items.size(); ++i)
      waiting[i] = {.item = items[i],
                    .latent = latents.row(static_cast<index_t>(i)).data,
                    .codes = {start.begin(), start.end() - 1},
                    .ranks = std::vector<index_t>(start.size() - 1, 0),
                    .orders = std::vector<std::vector<std::int32_t>>(start.size() - 1)};
    while (!waiting.empty()) waiting = one_round(std::move(waiting));
  }

 private:
  /// An item that has no sequence yet.
  struct pending {
    item_id item;
    float const* latent;
    std::vector<code_t> codes;   // (levels − 1): the prefix it is at
    std::vector<index_t> ranks;  // (levels − 1): the position of each code in orders
    // (levels − 1)(K): the codes of each level, nearest first; empty until the item moves at this level
    std::vector<std::vector<std::int32_t>> orders;
    sequence_key prefix = 0;
  };

  index_t levels() const { return std::ssize(levels_); }
  in_matrix<B, float> vectors(index_t level) const { return levels_[to_size(level)].vectors(); }

  /// All items try the prefix they are at. Returns the items without a free code, moved to their next prefix.
  std::vector<pending> one_round(std::vector<pending> waiting) {
    for (auto& one : waiting) one.prefix = taken_.packing().pack(one.codes);
    std::ranges::stable_sort(waiting, {}, &pending::prefix);
    std::vector<pending> left;
    for (std::size_t begin = 0, end = 0; begin < waiting.size(); begin = end) {
      while (end < waiting.size() && waiting[end].prefix == waiting[begin].prefix) ++end;
      auto const here = std::span(waiting).subspan(begin, end - begin);
      std::size_t const placed = place_at_prefix(here);
      for (auto& one : here.subspan(placed)) {
        move_on(one);
        left.push_back(std::move(one));
      }
    }
    return left;
  }

  /// Gives the free codes of one prefix to items. Returns the number of items with a code; these are now first in
  /// `here`.
  std::size_t place_at_prefix(std::span<pending> here) {
    index_t const n = std::ssize(here), free = taken_.free_codes(here.front().prefix);
    if (free == 0) return 0;
    scratch_scope<B> const scope(backend_.scratch());
    auto const rest = take<float>(backend_, n, width_);
    std::vector<float> distances(here.size());
    std::vector<code_t> codes(here.size());
    for (index_t i = 0; i < n; ++i) residual(here[to_size(i)], levels() - 1, rest.row(i));
    nearest_code<float>(backend_, in_matrix<B, float>(rest), vectors(levels() - 1), view_of(std::span(codes)),
                        view_of(std::span(distances)));
    std::vector<std::size_t> order(here.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::sort(order, [&](std::size_t a, std::size_t b) {
      return std::pair(distances[a], here[a].item) < std::pair(distances[b], here[b].item);
    });
    std::size_t const placed = std::min(here.size(), to_size(free));
    for (std::size_t i = 0; i < placed; ++i)
      take_nearest_free(here[order[i]], rest.row(static_cast<index_t>(order[i])));
    std::vector<pending> sorted;
    for (std::size_t const i : order) sorted.push_back(std::move(here[i]));
    std::ranges::move(sorted, here.begin());
    return placed;
  }

  void take_nearest_free(pending const& one, out_vector<B, float> rest) {
    auto const distances = distances_to(levels() - 1, rest);
    index_t best = -1;
    for (index_t k = 0; k < std::ssize(distances); ++k)
      if (taken_.is_free(one.prefix, k) && (best < 0 || distances[to_size(k)] < distances[to_size(best)])) best = k;
    taken_.take(one.prefix, best);
    auto codes = one.codes;
    codes.push_back(code_t(static_cast<std::int32_t>(best)));
    table_.set(one.item, codes);
  }

  /// Moves an item to its next-nearest prefix that has a free code. check_capacity() ensures that there is one.
  void move_on(pending& one) {
    do {
      index_t level = levels() - 2;
      while (level >= 0 && one.ranks[to_size(level)] + 1 == table_.size(level)) --level;
      expects(level >= 0, "collisions: no sequence is free for item ", index(one.item));
      choose(one, level, one.ranks[to_size(level)] + 1);
      for (index_t deeper = level + 1; deeper < levels() - 1; ++deeper) {
        one.orders[to_size(deeper)].clear();
        choose(one, deeper, 0);
      }
      one.prefix = taken_.packing().pack(one.codes);
    } while (taken_.free_codes(one.prefix) == 0);
  }

  void choose(pending& one, index_t level, index_t rank) {
    auto const l = to_size(level);
    if (one.orders[l].empty()) {
      one.orders[l] = codes_by_distance(one, level);
      if (rank > 0) {  // the item already has a code at this level: this code remains its first
        auto const own = std::ranges::find(one.orders[l], static_cast<std::int32_t>(one.codes[l]));
        std::rotate(one.orders[l].begin(), own, own + 1);
      }
    }
    one.ranks[l] = rank;
    one.codes[l] = code_t(one.orders[l][to_size(rank)]);
  }

  /// The codes of a level by distance; of equal distances, the smaller code first.
  std::vector<std::int32_t> codes_by_distance(pending const& one, index_t level) {
    scratch_scope<B> const scope(backend_.scratch());
    auto const rest = take<float>(backend_, width_);
    residual(one, level, rest);
    auto const distances = distances_to(level, rest);
    std::vector<std::int32_t> order(distances.size());
    std::iota(order.begin(), order.end(), std::int32_t{0});
    std::ranges::sort(order, [&](std::int32_t a, std::int32_t b) {
      return std::pair(distances[to_size(a)], a) < std::pair(distances[to_size(b)], b);
    });
    return order;
  }

  /// latent − Σ vectors of the codes before a level
  void residual(pending const& one, index_t level, out_vector<B, float> out) const {
    std::copy_n(one.latent, width_, out.data);
    for (index_t l = 0; l < level; ++l) {
      auto const v = vectors(l).row(index(one.codes[to_size(l)]));
      for (index_t j = 0; j < width_; ++j) out(j) -= v(j);
    }
  }

  std::vector<float> distances_to(index_t level, out_vector<B, float> rest) {
    std::vector<float> distances(to_size(table_.size(level)));
    squared_distances<float>(backend_, in_matrix<B, float>(rest.data, 1, width_), vectors(level),
                             out_matrix<B, float>(distances.data(), 1, table_.size(level)));
    return distances;
  }

  B& backend_;
  code_table& table_;
  std::span<codebook_view<B, float> const> levels_;
  Occupancy& taken_;
  index_t width_;
};

/// ‖latent − Σ vectors of the codes‖²
template <class B>
double sequence_cost(std::span<codebook_view<B, float> const> levels, host_vector_view<float const> latent,
                     std::span<code_t const> codes) {
  double cost = 0;
  for (index_t j = 0; j < latent.size(); ++j) {
    double rest = static_cast<double>(latent(j));
    for (std::size_t l = 0; l < codes.size(); ++l) rest -= static_cast<double>(levels[l].vectors()(index(codes[l]), j));
    cost += rest * rest;
  }
  return cost;
}

/// A catalog whose collisions are resolved: its codes, codebooks and latents.
template <Backend B, LatentSource L>
struct quantized_catalog {
  code_table const& table;
  std::span<codebook_view<B, float> const> levels;
  L const& latents;
};

/// Calls handle(items, latents) for every group of equal keys in `order`, and sums up the outcome. The latents of many
/// groups are gathered by one call, because computing them in large blocks is faster.
template <Backend B, LatentSource L, class Handle>
collision_outcome for_each_collision(quantized_catalog<B, L> const& catalog, std::span<keyed_item const> order,
                                     Handle&& handle) {
  auto const& table = catalog.table;
  auto const levels = catalog.levels;
  auto const& latents = catalog.latents;
  constexpr std::size_t at_once = 1 << 15;
  std::vector<index_t> rows;
  std::vector<item_id> items;
  std::vector<std::size_t> ends;  // of the groups in `items`
  std::vector<float> memory;
  collision_outcome out;
  auto const flush = [&] {
    memory.resize(items.size() * to_size(latents.width()));
    host_matrix_view<float> const all(memory.data(), std::ssize(items), latents.width());
    latents.gather(rows, all);
    std::vector<code_t> before;
    for (std::size_t i = 0; i < items.size(); ++i) {
      auto const codes = table.of(items[i]);
      before.insert(before.end(), codes.begin(), codes.end());
      out.cost_before += sequence_cost<B>(levels, all.row(static_cast<index_t>(i)), codes);
    }
    for (std::size_t g = 0, begin = 0; g < ends.size(); begin = ends[g++])
      handle(std::span<item_id const>(items).subspan(begin, ends[g] - begin),
             host_matrix_view<float const>(
                 all.row_block(static_cast<index_t>(begin), static_cast<index_t>(ends[g] - begin))));
    for (std::size_t i = 0; i < items.size(); ++i) {
      auto const now = table.of(items[i]);
      out.cost_after += sequence_cost<B>(levels, all.row(static_cast<index_t>(i)), now);
      out.moved += std::ranges::equal(now, std::span(before).subspan(i * levels.size(), levels.size())) ? 0 : 1;
    }
    out.colliding += std::ssize(items);
    rows.clear();
    items.clear();
    ends.clear();
  };
  for_each_sequence(order, [&](std::span<keyed_item const> same) {
    for (auto const& one : same) {
      rows.push_back(index(one.item));
      items.push_back(one.item);
    }
    ends.push_back(items.size());
    if (items.size() >= at_once) flush();
  });
  if (!items.empty()) flush();
  return out;
}

}  // namespace mql4grec::quantize::detail
