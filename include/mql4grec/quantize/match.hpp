#pragma once
#include "mql4grec/quantize/matching.hpp"
#include "mql4grec/quantize/placement.hpp"

namespace mql4grec {

/// Minimum-cost matching of the last level (CollisionGenRec, CIKM 2026): all items that collide behind one prefix are given different codes
/// of the last level so that the sum of their squared distances is the least possible; items that don't collide keep theirs. Where
/// there are more items than free codes, the cheapest choice of as many as fit stays, and the others move as reallocate has it.
struct match {
  template <Backend B, LatentSource L>
  collision_outcome resolve(B& backend, code_table& table, std::span<codebook_view<B, float> const> levels, L const& latents) const {
    detail::check_levels<B>(table, levels, latents.rows(), latents.width());
    auto const order = detail::items_by_key(table);
    detail::occupancy taken(table, order);
    detail::placement<B> seats(backend, table, levels, taken);
    auto const& packing = taken.packing();
    std::vector<detail::keyed_item> colliding;  // by prefix instead of sequence, so that a prefix is one group
    detail::for_each_sequence(order, [&](std::span<detail::keyed_item const> same) {
      if (same.size() < 2) return;
      taken.release(packing.prefix(same.front().key), index(packing.last(same.front().key)));
      for (auto const& one : same) colliding.push_back({packing.prefix(one.key), one.item});
    });
    return detail::for_each_collision<B>(colliding, table, levels, latents, [&](auto const items, auto const rows) {
      auto const one = table.of(items.front());
      std::vector<code_t> const codes(one.begin(), one.end());
      for (index_t const i : seat_cheapest<B>(table, levels, taken, items, rows, codes))
        seats.place(items.subspan(static_cast<std::size_t>(i), 1), rows.row_block(i, 1), codes);
    });
  }
  bool operator==(match const&) const = default;

 private:
  /// Gives the free codes behind the group's prefix away; returns the rows that got none.
  template <Backend B>
  static std::vector<index_t> seat_cheapest(code_table& table, std::span<codebook_view<B, float> const> levels, detail::occupancy& taken,
                                            std::span<item_id const> items, host_matrix_view<float const> rows, std::vector<code_t> codes) {
    index_t const n = rows.rows(), last = table.levels() - 1;
    auto const prefix = taken.packing().pack(std::span<code_t const>(codes).first(static_cast<std::size_t>(last)));
    std::vector<index_t> free;
    for (index_t k = 0; k < table.size(last); ++k)
      if (taken.is_free(prefix, k)) free.push_back(k);
    index_t const m = std::ssize(free);
    bool const all_fit = n <= m;
    std::vector<double> costs(static_cast<std::size_t>(n * m));  // (items, codes), or the other way round: the smaller side chooses
    for (index_t j = 0; j < m; ++j) {
      codes.back() = code_t(static_cast<std::int32_t>(free[static_cast<std::size_t>(j)]));
      for (index_t i = 0; i < n; ++i) costs[static_cast<std::size_t>(all_fit ? i * m + j : j * n + i)] = detail::sequence_cost<B>(levels, rows.row(i), codes);
    }
    auto const chosen = detail::minimum_cost_matching(costs, std::min(n, m), std::max(n, m));
    std::vector<bool> seated(static_cast<std::size_t>(n), false);
    for (index_t a = 0; a < std::ssize(chosen); ++a) {
      auto const i = static_cast<std::size_t>(all_fit ? a : chosen[static_cast<std::size_t>(a)]);
      index_t const code = free[static_cast<std::size_t>(all_fit ? chosen[static_cast<std::size_t>(a)] : a)];
      codes.back() = code_t(static_cast<std::int32_t>(code));
      table.set(items[i], codes);
      taken.take(prefix, code);
      seated[i] = true;
    }
    std::vector<index_t> homeless;
    for (index_t i = 0; i < n; ++i)
      if (!seated[static_cast<std::size_t>(i)]) homeless.push_back(i);
    return homeless;
  }
};

}  // namespace mql4grec
