#pragma once
// The result of a beam search. Results are leaves of the trie, not items: items with the same sequence share a leaf.
// See ranking_of().
#include <span>
#include <vector>

#include "mql4grec/backend/contract/beam.hpp"

namespace mql4grec::search {

/// Leaves of the trie with their scores for each query, best first.
struct beams {
  std::vector<index_t> offsets = {0};  ///< (queries + 1)
  std::vector<node_t> leaves;          ///< of all queries, back to back
  std::vector<float> scores;           ///< of each leaf: Σ log p / length^penalty

  /// The number of queries.
  index_t queries() const { return static_cast<index_t>(offsets.size()) - 1; }
  /// The leaves found for a query, best first.
  std::span<node_t const> leaves_of(index_t query) const { return part(leaves, query); }
  /// The scores of leaves_of(query), in descending order.
  std::span<float const> scores_of(index_t query) const { return part(scores, query); }

  /// Removes all queries and keeps the memory.
  void clear() {
    offsets.resize(1);
    leaves.clear();
    scores.clear();
  }
  /// Appends the results of further queries.
  void append(beams const& more) {
    index_t const before = offsets.back();
    for (std::size_t i = 1; i < more.offsets.size(); ++i) offsets.push_back(before + more.offsets[i]);
    leaves.insert(leaves.end(), more.leaves.begin(), more.leaves.end());
    scores.insert(scores.end(), more.scores.begin(), more.scores.end());
  }
  bool operator==(beams const&) const = default;

 private:
  template <class T>
  std::span<T const> part(std::vector<T> const& all, index_t query) const {
    auto const at = to_size(query);
    return {all.data() + offsets[at], to_size(offsets[at + 1] - offsets[at])};
  }
};

}  // namespace mql4grec::search
