#pragma once
// The baseline of collision handling: an additional level.
#include "mql4grec/quantize/collisions/collisions.hpp"

namespace mql4grec::quantize {

/// Adds a level whose code numbers the items of a sequence: 0, 1, 2, … in the order of their ids (TIGER, NeurIPS 2023).
/// The added code carries no information about the item, but no item changes its other codes. Kept items keep their
/// number, and the others get the smallest numbers that are left. Throws error when more than `codes` items share a
/// sequence.
struct suffix {
  index_t codes = 256;  ///< K of the additional level

  /// Applies the policy to the table; see CollisionPolicy. Adds a level to the table.
  template <Backend B, LatentSource L>
  collision_outcome resolve(B&, code_table& table, std::span<codebook_view<B, float> const>, L const&,
                            code_table const& kept = {}) const {
    auto sizes = table.sizes();
    sizes.push_back(codes);
    code_table longer(table.items(), sizes);
    collision_outcome out;
    std::vector<code_t> sequence;
    std::vector<bool> taken;  // by number
    detail::for_each_sequence(detail::items_by_key(table), [&](std::span<detail::keyed_item const> same) {
      expects(std::ssize(same) <= codes, "collisions: ", same.size(), " items share a sequence, the first is item ",
              index(same.front().item), "; a suffix of ", codes, " codes can't distinguish them");
      taken.assign(to_size(codes), false);
      for (auto const& one : same) {
        if (!kept.has(one.item)) continue;
        longer.set(one.item, kept.of(one.item));
        taken[to_size(index(kept.of(one.item).back()))] = true;
      }
      std::int32_t number = 0;
      for (auto const& one : same) {
        if (kept.has(one.item)) continue;
        while (taken[to_size(number)]) ++number;
        auto const before = table.of(one.item);
        sequence.assign(before.begin(), before.end());
        sequence.push_back(code_t(number++));
        longer.set(one.item, sequence);
        out.colliding += same.size() > 1 ? 1 : 0;
      }
    });
    table = std::move(longer);
    return out;
  }
  bool operator==(suffix const&) const = default;
};

}  // namespace mql4grec::quantize
