#pragma once
#include "mql4grec/rank/ranking.hpp"
#include "mql4grec/search/beams.hpp"
#include "mql4grec/search/trie.hpp"

namespace mql4grec {

/// The items behind one query's beams, best first. Items that share a sequence share its score and stand in the order
/// of their ids; `wanted(item)` leaves out those that the search, which sees sequences only, couldn't tell from their
/// twins.
template <class Wanted>
ranking ranking_of(beams const& found, index_t query, item_trie const& trie, Wanted&& wanted) {
  ranking list;
  auto const leaves = found.leaves_of(query);
  auto const scores = found.scores_of(query);
  for (std::size_t i = 0; i < leaves.size(); ++i)
    for (auto const item : trie.items(leaves[i]))
      if (wanted(item)) list.add(item, static_cast<double>(scores[i]));
  return list;
}

inline ranking ranking_of(beams const& found, index_t query, item_trie const& trie) {
  return ranking_of(found, query, trie, [](item_id) { return true; });
}

}  // namespace mql4grec
