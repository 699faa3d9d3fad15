#pragma once
#include <vector>

#include "mql4grec/core/ids.hpp"

namespace mql4grec {

/// Items for one user, best first: scores never rise from one place to the next.
struct ranking {
  std::vector<item_id> items;
  std::vector<double> scores;  // as many as items; only their order is comparable between sources

  index_t size() const { return static_cast<index_t>(items.size()); }
  void add(item_id item, double score) {
    items.push_back(item);
    scores.push_back(score);
  }
  bool operator==(ranking const&) const = default;
};

}  // namespace mql4grec
