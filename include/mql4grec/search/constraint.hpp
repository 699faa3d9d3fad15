#pragma once
// Restrictions on the items that a search may return. Filters act inside the beam search, not on its results: k items
// are returned whenever k allowed items exist.
#include <algorithm>
#include <concepts>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_set>
#include <vector>

#include "mql4grec/search/trie.hpp"

namespace mql4grec::search {

/// A list of items in any order.
using item_list = std::vector<item_id>;

/// The items that a request may return. The lists may contain items that aren't in the catalog.
struct item_filter {
  std::optional<item_list> allow = std::nullopt;  ///< only these items; no list allows all, an empty list allows none
  item_list deny = {};                            ///< never these items, even when they are in `allow`

  /// Whether the filter allows every item.
  bool keeps_all() const { return !allow && deny.empty(); }
};

/// A filter prepared for many queries: a predicate that returns whether an item is allowed. Its memory is proportional
/// to the lists, not to the catalog.
class item_choice {
 public:
  /// Copies the lists of the filter into hash sets.
  explicit item_choice(item_filter const& filter) : deny_(filter.deny.begin(), filter.deny.end()) {
    if (filter.allow) allow_.emplace(filter.allow->begin(), filter.allow->end());
  }
  /// Whether the item is allowed.
  bool operator()(item_id item) const { return (!allow_ || allow_->contains(item)) && !deny_.contains(item); }

 private:
  std::optional<std::unordered_set<item_id>> allow_;
  std::unordered_set<item_id> deny_;
};

/// Sets the byte of every node of the trie: 1 when at least one item below it satisfies `wanted`, otherwise 0. `nodes`
/// has trie.nodes() entries.
template <std::predicate<item_id> Wanted>
void mark_allowed(item_trie const& trie, Wanted&& wanted, std::span<std::uint8_t> nodes) {
  std::ranges::fill(nodes, std::uint8_t{0});
  for (node_t leaf = trie.first_leaf(); leaf < trie.nodes(); ++leaf)
    if (std::ranges::any_of(trie.items(leaf), wanted)) nodes[to_size(leaf)] = 1;
  // Children have larger numbers than their parents.
  for (auto node = static_cast<node_t>(trie.nodes() - 1); node >= trie.roots(); --node)
    if (nodes[to_size(node)]) nodes[to_size(trie.parent(node))] = 1;
}

}  // namespace mql4grec::search
