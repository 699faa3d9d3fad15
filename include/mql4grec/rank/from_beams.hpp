#pragma once
// Converts the result of a beam search, which consists of leaves of the trie, to a ranking of items.
#include "mql4grec/rank/ranking.hpp"
#include "mql4grec/search/beams.hpp"
#include "mql4grec/search/trie.hpp"

namespace mql4grec::rank {

/// The items of one query's beams, best first. Items with the same sequence have the same score and are ordered by id.
/// Only items for which `wanted(item)` is true are included. This filter is needed even when the search was filtered,
/// because the search can't distinguish items with the same sequence.
template <search::ItemSource Trie, class Wanted>
ranking ranking_of(search::beams const& found, index_t query, Trie const& trie, Wanted&& wanted) {
  ranking list;
  auto const leaves = found.leaves_of(query);
  auto const scores = found.scores_of(query);
  for (std::size_t i = 0; i < leaves.size(); ++i)
    for (auto const item : trie.items(leaves[i]))
      if (wanted(item)) list.add(item, static_cast<double>(scores[i]));
  return list;
}

/// All items of one query's beams, best first.
template <search::ItemSource Trie>
ranking ranking_of(search::beams const& found, index_t query, Trie const& trie) {
  return ranking_of(found, query, trie, [](item_id) { return true; });
}

}  // namespace mql4grec::rank
