#pragma once
// Lists that contain at most so many items of some sets.
#include <algorithm>
#include <concepts>
#include <cstddef>
#include <functional>
#include <numeric>
#include <span>
#include <unordered_set>
#include <vector>

#include "mql4grec/rank/ranking.hpp"

namespace mql4grec::rank {

/// The first k items of a list with which all quotas hold: an item is left out if it would be one too many for one of
/// its sets. most[q] is the largest number of items of set q, and is_in(q, item) returns whether an item is in it. If
/// the sets are disjoint or nested, no other choice has more items, or a better item at the first place where they
/// differ. If sets overlap otherwise, the second still holds, but a choice with worse items may be longer.
template <class IsIn>
  requires std::predicate<IsIn const&, std::size_t, item_id>
[[nodiscard]] ranking within_quotas(ranking const& list, index_t k, std::span<index_t const> most, IsIn const& is_in) {
  ranking chosen;
  std::vector<index_t> left(most.begin(), most.end());
  std::vector<std::size_t> sets;  // of an item
  for (std::size_t i = 0; i < list.items.size() && chosen.size() < k; ++i) {
    sets.clear();
    for (std::size_t q = 0; q < left.size(); ++q)
      if (is_in(q, list.items[i])) sets.push_back(q);
    if (std::ranges::any_of(sets, [&](std::size_t q) { return left[q] <= 0; })) continue;
    for (auto const q : sets) --left[q];
    chosen.add(list.items[i], list.scores[i]);
  }
  return chosen;
}

/// The items of two lists by descending score. An item of both has the score that it has in the first one; of equal
/// scores, those of the first list come first.
[[nodiscard]] inline ranking merged(ranking const& first, ranking const& second) {
  ranking all = first;
  std::unordered_set<item_id> const known(first.items.begin(), first.items.end());
  for (std::size_t i = 0; i < second.items.size(); ++i)
    if (!known.contains(second.items[i])) all.add(second.items[i], second.scores[i]);
  std::vector<std::size_t> order(all.items.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::ranges::greater{}, [&](std::size_t i) { return all.scores[i]; });
  ranking out;
  for (auto const i : order) out.add(all.items[i], all.scores[i]);
  return out;
}

}  // namespace mql4grec::rank
