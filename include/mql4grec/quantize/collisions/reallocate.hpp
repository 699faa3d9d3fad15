#pragma once
#include "mql4grec/quantize/collisions/sequence_placer.hpp"

namespace mql4grec {

/// The paper's rule (Section 3.1). Of items that share a sequence, the one nearest to any code of the last level
/// chooses first, and so on; each takes the nearest code of the last level that leaves it alone. When the last level
/// has none left, the others move to their next-nearest code of the level before, where distances are taken anew, and
/// to earlier levels after that. No item gets a sequence that belongs to another group, so that every group keeps its
/// own for one of its items. Groups are handled in the order of their sequences; with distances that differ, the result
/// doesn't depend on how items are numbered.
struct reallocate {
  template <Backend B, LatentSource L>
  collision_outcome resolve(B& backend, code_table& table, std::span<codebook_view<B, float> const> levels,
                            L const& latents) const {
    detail::check_levels<B>(table, levels, latents.rows(), latents.width());
    auto const order = detail::items_by_key(table);
    detail::check_room(table, order);
    detail::occupancy taken(table, order);
    detail::sequence_placer<B> seats(backend, table, levels, taken);
    return detail::for_each_collision<B>(order, table, levels, latents, 2, [&](auto const items, auto const rows) {
      auto const shared = table.of(items.front());
      std::vector<code_t> const codes(shared.begin(), shared.end());
      taken.release(taken.packing().prefix_of(shared), index(shared.back()));
      seats.place(items, rows, codes);
    });
  }
  bool operator==(reallocate const&) const = default;
};

}  // namespace mql4grec
