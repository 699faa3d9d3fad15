#pragma once
#include <algorithm>
#include <numeric>
#include <vector>

#include "mql4grec/catalog/interactions.hpp"
#include "mql4grec/rank/ranking.hpp"

namespace mql4grec {

/// The baseline that knows nobody: the k items taken most often in the training parts, scored by how often, equals by
/// id. Fewer than k only when the catalogue is smaller.
inline ranking popularity(interactions const& data, index_t k) {
  std::vector<index_t> taken(static_cast<std::size_t>(data.item_count), 0);
  for (index_t u = 0; u < data.users(); ++u)
    for (auto const item : training_items(data, user_id(u))) ++taken[static_cast<std::size_t>(item)];
  std::vector<item_id> order;
  for (index_t i = 0; i < data.item_count; ++i) order.push_back(item_id(i));
  auto const count = [&](item_id item) { return taken[static_cast<std::size_t>(item)]; };
  std::ranges::stable_sort(order, std::ranges::greater{}, count);
  ranking best;
  for (auto const item : order) {
    if (best.size() == k) break;
    best.add(item, static_cast<double>(count(item)));
  }
  return best;
}

}  // namespace mql4grec
