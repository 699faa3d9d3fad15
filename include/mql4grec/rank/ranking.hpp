#pragma once
// A ranked list of items with scores. Scores of different sources have different scales and must not be compared; see
// fusion.hpp.
#include <vector>

#include "mql4grec/core/ids.hpp"

namespace mql4grec::rank {

/// Items for one user, best first. Scores never increase from one position to the next.
struct ranking {
  std::vector<item_id> items;  ///< best first
  std::vector<double> scores;  ///< of each item

  /// The number of items.
  index_t size() const { return static_cast<index_t>(items.size()); }
  /// Appends an item. The caller ensures that its score isn't higher than that of the last item.
  void add(item_id item, double score) {
    items.push_back(item);
    scores.push_back(score);
  }
  bool operator==(ranking const&) const = default;
};

}  // namespace mql4grec::rank
