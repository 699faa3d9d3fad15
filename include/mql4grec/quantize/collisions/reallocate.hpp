#pragma once
// The collision handling of the paper.
#include "mql4grec/quantize/collisions/sequence_placer.hpp"

namespace mql4grec::quantize {

/// The paper's reallocation (Section 3.1). Items that share a sequence choose in the order of their distance to the
/// nearest code of the last level. Each gets the nearest code of the last level that makes its sequence unique. When
/// the last level has no free code, the remaining items move to their next-nearest code of the level before, where
/// deeper residuals and distances are recomputed, and then to earlier levels.
///
/// An item never gets the sequence of another group, so that every group keeps its sequence for one of its items, or
/// for its kept ones. Groups are processed in the order of their sequences. When all distances differ, the result
/// doesn't depend on the numbering of items.
struct reallocate {
  /// Applies the policy to the table; see CollisionPolicy. Throws error if there are more items than sequences.
  template <Backend B, LatentSource L>
  collision_outcome resolve(B& backend, code_table& table, std::span<codebook_view<B, float> const> levels,
                            L const& latents, code_table const& kept = {}) const {
    detail::check_levels<B>(table, levels, latents.rows(), latents.width());
    auto const order = detail::items_by_key(table);
    detail::check_capacity(table, order);
    detail::occupancy taken(table, order);
    auto const colliding = detail::find_colliding(order, kept);
    detail::sequence_placer<B> placer(backend, table, levels, taken);
    return detail::for_each_collision<B, L>({table, levels, latents}, colliding.movable,
                                            [&](auto const items, auto const rows) {
                                              auto const shared = table.of(items.front());
                                              std::vector<code_t> const codes(shared.begin(), shared.end());
                                              if (!colliding.occupied.contains(taken.packing().pack(codes)))
                                                taken.release(taken.packing().prefix_of(shared), index(shared.back()));
                                              placer.place(items, rows, codes);
                                            });
  }
  bool operator==(reallocate const&) const = default;
};

}  // namespace mql4grec::quantize
