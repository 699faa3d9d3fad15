#pragma once
// Comparison of a version of a live trie with a trie that is built anew.
#include <algorithm>

#include "mql4grec/search/live_trie.hpp"

namespace mql4grec::test {

/// Whether the part of `live` below a node equals the part of `built` below another one.
inline bool same_below(search::trie_version const& live, node_t mine, search::item_trie const& built, node_t its,
                       index_t depth = 0) {
  auto const tokens = live.allowed(mine);
  auto const arrays = built.arrays();
  node_t child = arrays.first_child(its);
  if (std::ssize(tokens) != arrays.children_end(its) - child) return false;
  if (depth == built.levels()) return std::ranges::equal(live.items(mine), built.items(its));
  return std::ranges::all_of(tokens, [&](token_t token) {
    node_t const next = child++;
    return token == built.token(next) && same_below(live, live.next(mine, token), built, next, depth + 1);
  });
}

}  // namespace mql4grec::test
