#pragma once
#include <span>
#include <vector>

#include "mql4grec/backend/contract/beam.hpp"

namespace mql4grec {

/// What a beam search found for a number of queries: leaves of the trie with their scores, best first.
struct beams {
  std::vector<index_t> offsets = {0};  // (queries + 1)
  std::vector<node_t> leaves;
  std::vector<float> scores;  // Σ log p / length^penalty

  index_t queries() const { return static_cast<index_t>(offsets.size()) - 1; }
  std::span<node_t const> leaves_of(index_t query) const { return part(leaves, query); }
  std::span<float const> scores_of(index_t query) const { return part(scores, query); }

  /// Adds the results of further queries behind these.
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
    auto const at = static_cast<std::size_t>(query);
    return {all.data() + offsets[at], static_cast<std::size_t>(offsets[at + 1] - offsets[at])};
  }
};

}  // namespace mql4grec
