#pragma once
// The popularity baseline, which recommends the same items to every user.
#include <algorithm>
#include <unordered_map>
#include <utility>
#include <vector>

#include "mql4grec/catalog/interactions.hpp"
#include "mql4grec/rank/ranking.hpp"

namespace mql4grec::rank {

/// The k items with the most interactions in the training parts. The score is the number of interactions; items with
/// equal scores are ordered by id. Items without interactions, up to data.item_count, come last. The result has fewer
/// than k items only when fewer exist.
inline ranking popularity(catalog::interactions const& data, index_t k) {
  std::unordered_map<item_id, index_t> taken;
  for (index_t u = 0; u < data.users(); ++u)
    for (auto const item : catalog::training_items(data, user_id(u))) ++taken[item];
  std::vector<std::pair<index_t, item_id>> order;  // (−interactions, item)
  for (auto const& [item, times] : taken) order.emplace_back(-times, item);
  std::ranges::sort(order);
  for (index_t i = 0; i < data.item_count && std::ssize(order) < k; ++i)
    if (!taken.contains(item_id(i))) order.emplace_back(0, item_id(i));
  ranking best;
  for (auto const& [times, item] : order) {
    if (best.size() == k) break;
    best.add(item, static_cast<double>(-times));
  }
  return best;
}

}  // namespace mql4grec::rank
