#pragma once
// Items that share all codes can't be told apart. Who collides, and what a rule that parts them has to be.
#include <concepts>
#include <span>

#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/quantize/codebook/codebook.hpp"
#include "mql4grec/quantize/collisions/latents.hpp"
#include "mql4grec/quantize/collisions/sequence_key.hpp"

namespace mql4grec {

/// The items of every sequence that two or more have: items rising inside a group, groups in the order of their
/// sequences.
inline std::vector<std::vector<item_id>> collision_groups(code_table const& table) {
  std::vector<std::vector<item_id>> groups;
  auto const order = detail::items_by_key(table);
  detail::for_each_sequence(order, [&](std::span<detail::keyed_item const> same) {
    if (same.size() < 2) return;
    auto& group = groups.emplace_back();
    for (auto const& one : same) group.push_back(one.item);
  });
  return groups;
}

/// (items − distinct sequences) / items, items without a sequence left out: the released code's measure.
inline double collision_rate(code_table const& table) {
  auto const order = detail::items_by_key(table);
  index_t distinct = 0;
  detail::for_each_sequence(order, [&](auto const&) { ++distinct; });
  return order.empty() ? 0 : static_cast<double>(std::ssize(order) - distinct) / static_cast<double>(order.size());
}

/// What handling collisions did. Costs are Σ ‖latent − sum of the item's code vectors‖² over the items that collided.
struct collision_outcome {
  index_t colliding = 0;  ///< items that shared their sequence
  index_t moved = 0;      ///< of them, those that have another one now
  double cost_before = 0, cost_after = 0;

  bool operator==(collision_outcome const&) const = default;
};

/// Parts the items of a table that share a sequence. A policy is a value. It never touches the codes of an item that
/// doesn't collide, nor gives an item one that another has; it throws error when there are more items than sequences.
/// The table may gain a level.
template <class P, class B>
concept CollisionPolicy = Backend<B> && std::regular<P> &&
    requires(P const& policy, B& b, code_table& table, std::span<codebook_view<B, float> const> levels,
             matrix_latents const& latents) {
  { policy.resolve(b, table, levels, latents) } -> std::same_as<collision_outcome>;
};

/// Leaves items as they are: several may share a sequence.
struct keep_collisions {
  template <Backend B, LatentSource L>
  collision_outcome resolve(B&, code_table& table, std::span<codebook_view<B, float> const>, L const&) const {
    collision_outcome out;
    for (auto const& group : collision_groups(table)) out.colliding += std::ssize(group);
    return out;
  }
  bool operator==(keep_collisions const&) const = default;
};

namespace detail {
template <class B>
void check_levels(code_table const& table, std::span<codebook_view<B, float> const> levels, index_t latent_rows,
                  index_t latent_width) {
  expects(std::ssize(levels) == table.levels(), "collisions: ", levels.size(), " codebooks for a table of ",
          table.levels(), " levels");
  expects(latent_rows >= table.items(), "collisions: latents of ", latent_rows, " items for a table of ",
          table.items());
  for (index_t l = 0; l < table.levels(); ++l) {
    auto const vectors = levels[static_cast<std::size_t>(l)].vectors();
    expects(vectors.rows() == table.size(l) && vectors.columns() == latent_width, "collisions: the codebook of level ",
            l, " is ", vectors.rows(), " × ", vectors.columns(), ", expected ", table.size(l), " × ", latent_width);
  }
}

/// Every search for a free sequence ends with one when there are at least as many sequences as items, so this is
/// checked before any item moves and a table is never left half done. `one` is an item for the message to name.
inline void check_room(code_table const& table, index_t items, item_id one) {
  double sequences = 1;
  for (auto const k : table.sizes()) sequences *= static_cast<double>(k);
  expects(static_cast<double>(items) <= sequences, "collisions: ", items, " items, item ", index(one),
          " among them, but ", table.levels(), " levels hold ", sequences, " sequences; use more levels or more codes");
}
/// The same for a table's items as they are, by key.
inline void check_room(code_table const& table, std::span<keyed_item const> order) {
  if (!order.empty()) check_room(table, std::ssize(order), order.back().item);
}
}  // namespace detail

}  // namespace mql4grec
