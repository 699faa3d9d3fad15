#pragma once
// Items that share all codes collide: they can't be distinguished by their tokens. This file finds collisions and
// defines the requirements on policies that resolve them.
#include <algorithm>
#include <concepts>
#include <span>
#include <unordered_set>
#include <vector>

#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/quantize/codebook/codebook.hpp"
#include "mql4grec/quantize/collisions/latents.hpp"
#include "mql4grec/quantize/collisions/sequence_key.hpp"

namespace mql4grec::quantize {

/// The groups of items that share a sequence. Items of a group are in ascending order; groups are in the order of their
/// sequences.
[[nodiscard]] inline std::vector<std::vector<item_id>> collision_groups(code_table const& table) {
  std::vector<std::vector<item_id>> groups;
  auto const order = detail::items_by_key(table);
  detail::for_each_sequence(order, [&](std::span<detail::keyed_item const> same) {
    if (same.size() < 2) return;
    auto& group = groups.emplace_back();
    for (auto const& one : same) group.push_back(one.item);
  });
  return groups;
}

/// The released code's measure: (items − distinct sequences) / items, without items that have no sequence.
[[nodiscard]] inline double collision_rate(code_table const& table) {
  auto const order = detail::items_by_key(table);
  index_t distinct = 0;
  detail::for_each_sequence(order, [&](auto const&) { ++distinct; });
  return order.empty() ? 0 : static_cast<double>(std::ssize(order) - distinct) / static_cast<double>(order.size());
}

/// The outcome of resolving collisions. Costs are Σ ‖latent − sum of the item's code vectors‖² over the items that
/// collided.
struct collision_outcome {
  index_t colliding = 0;                   ///< items that shared their sequence, without those that are kept
  index_t moved = 0;                       ///< those of them that have another sequence now
  double cost_before = 0, cost_after = 0;  ///< costs before and after

  bool operator==(collision_outcome const&) const = default;
};

/// Gives the items of a table that share a sequence different sequences. A policy is a value. It never changes the
/// codes of an item that doesn't collide, and never gives an item a sequence that another item has. It throws error
/// when there are more items than sequences. The table may get an additional level.
///
/// Items with a sequence in `kept` never move: they came first, and models have been trained on their sequences. They
/// may even share one. `kept` contains final sequences, including a level that the policy adds; the table contains the
/// same codes, without that level. An empty `kept` keeps no item.
template <class P, class B>
concept CollisionPolicy = Backend<B> && std::regular<P> &&
    requires(P const& policy, B& b, code_table& table, std::span<codebook_view<B, float> const> levels,
             matrix_latents const& latents, code_table const& kept) {
  { policy.resolve(b, table, levels, latents) } -> std::same_as<collision_outcome>;
  { policy.resolve(b, table, levels, latents, kept) } -> std::same_as<collision_outcome>;
};

/// Changes nothing: several items may share a sequence.
struct keep_collisions {
  /// Counts the colliding items.
  template <Backend B, LatentSource L>
  collision_outcome resolve(B&, code_table& table, std::span<codebook_view<B, float> const>, L const&,
                            code_table const& kept = {}) const {
    collision_outcome out;
    for (auto const& group : collision_groups(table))
      out.colliding += std::ranges::count_if(group, [&](item_id item) { return !kept.has(item); });
    return out;
  }
  bool operator==(keep_collisions const&) const = default;
};

namespace detail {
/// Throws error when codebooks, table and latents don't match.
template <class B>
void check_levels(code_table const& table, std::span<codebook_view<B, float> const> levels, index_t latent_rows,
                  index_t latent_width) {
  expects(std::ssize(levels) == table.levels(), "collisions: ", levels.size(), " codebooks for a table of ",
          table.levels(), " levels");
  expects(latent_rows >= table.items(), "collisions: latents of ", latent_rows, " items for a table of ",
          table.items());
  for (index_t l = 0; l < table.levels(); ++l) {
    auto const vectors = levels[to_size(l)].vectors();
    expects(vectors.rows() == table.size(l) && vectors.columns() == latent_width, "collisions: the codebook of level ",
            l, " is ", vectors.rows(), " × ", vectors.columns(), ", expected ", table.size(l), " × ", latent_width);
  }
}

/// Throws error when the table has more items, given in the order of their keys, than sequences. Otherwise every search
/// for a free sequence succeeds. The check precedes all changes, so a table is never left half changed.
inline void check_capacity(code_table const& table, std::span<keyed_item const> order) {
  double sequences = 1;
  for (auto const k : table.sizes()) sequences *= static_cast<double>(k);
  expects(static_cast<double>(order.size()) <= sequences, "collisions: ", order.size(), " items, item ",
          order.empty() ? 0 : index(order.back().item), " among them, but ", table.levels(), " levels hold ", sequences,
          " sequences; use more levels or more codes");
}

/// The items that a policy has to move, and the sequences that it can't give to any of them.
struct colliding_items {
  std::vector<keyed_item> movable;                      ///< items without a kept sequence, ordered as their keys
  std::unordered_set<sequence_key, key_hash> occupied;  ///< keys of `movable` that a kept item has too
};

/// The items of all sequences that several items share. `order` contains all items in the order of their keys.
inline colliding_items find_colliding(std::span<keyed_item const> order, code_table const& kept) {
  colliding_items out;
  for_each_sequence(order, [&](std::span<keyed_item const> same) {
    if (same.size() < 2) return;
    for (auto const& one : same)
      if (kept.has(one.item))
        out.occupied.insert(one.key);
      else
        out.movable.push_back(one);
  });
  return out;
}
}  // namespace detail

}  // namespace mql4grec::quantize
