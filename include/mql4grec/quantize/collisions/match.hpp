#pragma once
// Collision handling by minimum-cost matching.
#include "mql4grec/quantize/collisions/matching.hpp"
#include "mql4grec/quantize/collisions/sequence_placer.hpp"

namespace mql4grec::quantize {

namespace detail {

/// Gives the items of a prefix codes of the last level by minimum-cost matching. Changes the table and the occupancy.
template <Backend B>
class last_level_matcher {
 public:
  last_level_matcher(code_table& table, std::span<codebook_view<B, float> const> levels, occupancy& taken)
      : table_(table), levels_(levels), taken_(taken) {}

  /// Gives items of one prefix, with latents (n, width), its free codes. Returns the positions of the items without a
  /// code; their table entries are unchanged.
  [[nodiscard]] std::vector<index_t> match(std::span<item_id const> items, host_matrix_view<float const> latents) {
    auto const shared = table_.of(items.front());
    std::vector<code_t> codes(shared.begin(), shared.end());
    auto const prefix = taken_.packing().prefix_of(shared);
    std::vector<index_t> free;
    for (index_t k = 0; k < table_.size(table_.levels() - 1); ++k)
      if (taken_.is_free(prefix, k)) free.push_back(k);
    index_t const n = latents.rows(), m = std::ssize(free);
    std::vector<index_t> unmatched;
    if (m == 0) {
      for (index_t i = 0; i < n; ++i) unmatched.push_back(i);
      return unmatched;
    }
    bool const all_fit = n <= m;
    auto const chosen = minimum_cost_matching(costs(latents, codes, free), std::min(n, m), std::max(n, m));
    std::vector<bool> has_code(to_size(n), false);
    for (index_t a = 0; a < std::ssize(chosen); ++a) {
      auto const i = to_size(all_fit ? a : chosen[to_size(a)]);
      index_t const code = free[to_size(all_fit ? chosen[to_size(a)] : a)];
      codes.back() = code_t(static_cast<std::int32_t>(code));
      table_.set(items[i], codes);
      taken_.take(prefix, code);
      has_code[i] = true;
    }
    for (index_t i = 0; i < n; ++i)
      if (!has_code[to_size(i)]) unmatched.push_back(i);
    return unmatched;
  }

 private:
  /// Squared distances of each item's residual after the prefix to the free vectors. The matching requires rows ≤
  /// columns: (items, codes) when all items fit, otherwise (codes, items).
  std::vector<double> costs(host_matrix_view<float const> latents, std::span<code_t const> codes,
                            std::span<index_t const> free) const {
    index_t const n = latents.rows(), m = std::ssize(free), width = latents.columns();
    bool const items_are_rows = n <= m;
    in_matrix<B, float> const vectors = levels_.back().vectors();
    std::vector<double> costs(to_size(n * m)), residual(to_size(width));
    for (index_t i = 0; i < n; ++i) {
      for (index_t j = 0; j < width; ++j) {
        auto& r = residual[to_size(j)] = static_cast<double>(latents(i, j));
        for (std::size_t l = 0; l + 1 < levels_.size(); ++l)
          r -= static_cast<double>(levels_[l].vectors()(index(codes[l]), j));
      }
      for (index_t f = 0; f < m; ++f) {
        float const* const v = vectors.row(free[to_size(f)]).data;
        double sum = 0;
        for (index_t j = 0; j < width; ++j) {
          double const d = residual[to_size(j)] - static_cast<double>(v[j]);
          sum += d * d;
        }
        costs[to_size(items_are_rows ? i * m + f : f * n + i)] = sum;
      }
    }
    return costs;
  }

  code_table& table_;
  std::span<codebook_view<B, float> const> levels_;
  occupancy& taken_;
};

}  // namespace detail

/// Minimum-cost matching at the last level (CollisionGenRec, CIKM 2026). All colliding items with the same prefix get
/// different codes of the last level such that the sum of their squared distances is minimal. Items that don't collide
/// keep their codes. When a prefix has more colliding items than free codes, the cheapest matching of as many items as
/// fit is used.
///
/// The remaining items are moved as by `reallocate`, after all prefixes have been matched, so that a moved item never
/// gets a code that an item of that prefix is matched with. When all distances differ, the result doesn't depend on the
/// numbering of items.
struct match {
  /// Applies the policy to the table; see CollisionPolicy. Throws error if there are more items than sequences.
  template <Backend B, LatentSource L>
  collision_outcome resolve(B& backend, code_table& table, std::span<codebook_view<B, float> const> levels,
                            L const& latents, code_table const& kept = {}) const {
    detail::check_levels<B>(table, levels, latents.rows(), latents.width());
    auto const order = detail::items_by_key(table);
    detail::check_capacity(table, order);
    detail::occupancy taken(table, order);
    // The keys are prefixes instead of sequences, so that the items of one prefix form one group.
    std::vector<detail::keyed_item> colliding, unmatched;
    auto const found = detail::find_colliding(order, kept);
    detail::for_each_sequence(found.movable, [&](std::span<detail::keyed_item const> same) {
      auto const prefix = taken.packing().prefix(same.front().key);
      if (!found.occupied.contains(same.front().key))
        taken.release(prefix, index(taken.packing().last(same.front().key)));
      for (auto const& one : same) colliding.push_back({prefix, one.item});
    });
    detail::last_level_matcher<B> matcher(table, levels, taken);
    auto const matched =
        detail::for_each_collision<B, L>({table, levels, latents}, colliding, [&](auto const items, auto const rows) {
          auto const prefix = taken.packing().prefix_of(table.of(items.front()));
          for (index_t const i : matcher.match(items, rows)) unmatched.push_back({prefix, items[to_size(i)]});
        });
    detail::sequence_placer<B> placer(backend, table, levels, taken);
    auto const moved =
        detail::for_each_collision<B, L>({table, levels, latents}, unmatched, [&](auto const items, auto const rows) {
          auto const one = table.of(items.front());
          std::vector<code_t> const codes(one.begin(), one.end());
          placer.place(items, rows, codes);
        });
    return {.colliding = matched.colliding,
            .moved = matched.moved + moved.moved,
            .cost_before = matched.cost_before,
            .cost_after = matched.cost_after - moved.cost_before + moved.cost_after};
  }
  bool operator==(match const&) const = default;
};

}  // namespace mql4grec::quantize
