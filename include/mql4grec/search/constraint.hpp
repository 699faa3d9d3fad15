#pragma once
// Restrictions on the items that a search may return. Filters act inside the beam search, not on its results: k items
// are returned whenever k allowed items exist.
#include <algorithm>
#include <concepts>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

#include "mql4grec/search/trie.hpp"

namespace mql4grec::search {

/// A list of items in any order.
using item_list = std::vector<item_id>;

/// The items that a request may return: those that all members allow. The lists may contain items that aren't in the
/// catalog. Sets are those of live_catalog_options::sets, by name; they are prepared already, so that naming one costs
/// nothing, whatever its size, and combining several takes a time that follows their overlap.
struct item_filter {
  std::optional<item_list> allow = std::nullopt;  ///< only these items; no list allows all, an empty list allows none
  item_list deny = {};                            ///< never these items, even when they are in `allow`
  std::vector<std::string> any_of = {};           ///< only items of at least one of these sets; no set allows all
  std::vector<std::string> all_of = {};           ///< only items of each of these sets
  std::vector<std::string> none_of = {};          ///< never items of these sets

  /// Whether the filter names sets.
  bool names_sets() const { return !any_of.empty() || !all_of.empty() || !none_of.empty(); }
  /// Whether the filter allows every item.
  bool keeps_all() const { return !allow && deny.empty() && !names_sets(); }
};

/// A limit on a list: at most so many items of a set.
struct item_quota {
  std::string set;   ///< the name of a set; see item_filter
  index_t most = 0;  ///< items of the set in the list, at least 0
  bool operator==(item_quota const&) const = default;
};

/// The lists of a filter prepared for many queries: a predicate that returns whether they allow an item. Its memory is
/// proportional to the lists, not to the catalog. It knows no sets: see catalog_choice.
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
