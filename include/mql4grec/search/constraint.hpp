#pragma once
#include <algorithm>
#include <concepts>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_set>
#include <vector>

#include "mql4grec/search/trie.hpp"

namespace mql4grec {

/// A deterministic automaton over tokens; the item trie is one.
template <class C>
concept TokenConstraint = std::semiregular<typename C::state> && requires(C const& c, typename C::state s, token_t t) {
  { c.start() } -> std::same_as<typename C::state>;
  { c.allowed(s) } -> std::convertible_to<std::span<token_t const>>;
  { c.next(s, t) } -> std::same_as<typename C::state>;
};
static_assert(TokenConstraint<item_trie>);

using item_list = std::vector<item_id>;

/// Which items a request may get. It acts inside the beam: k items come back whenever k exist. Items that the catalogue
/// doesn't hold may be named.
struct item_filter {
  std::optional<item_list> allow = std::nullopt;  ///< nothing else; no list: everything; an empty list: nothing
  item_list deny = {};                            ///< never these, even when allowed

  bool keeps_all() const { return !allow && deny.empty(); }
};

/// A filter that is asked about many items: whether each may come back. Its memory follows the lists, not the
/// catalogue.
class item_choice {
 public:
  explicit item_choice(item_filter const& filter) : deny_(filter.deny.begin(), filter.deny.end()) {
    if (filter.allow) allow_.emplace(filter.allow->begin(), filter.allow->end());
  }
  bool operator()(item_id item) const { return (!allow_ || allow_->contains(item)) && !deny_.contains(item); }

 private:
  std::optional<std::unordered_set<item_id>> allow_;
  std::unordered_set<item_id> deny_;
};

/// Marks the trie's nodes that lead to a wanted item; one byte a node, 0 forbids.
template <std::predicate<item_id> Wanted>
void mark_allowed(item_trie const& trie, Wanted&& wanted, std::span<std::uint8_t> nodes) {
  std::ranges::fill(nodes, std::uint8_t{0});
  for (node_t leaf = trie.first_leaf(); leaf < trie.nodes(); ++leaf)
    if (std::ranges::any_of(trie.items(leaf), wanted)) nodes[static_cast<std::size_t>(leaf)] = 1;
  for (auto node = static_cast<node_t>(trie.nodes() - 1); node > 0; --node)  // children come after their parents
    if (nodes[static_cast<std::size_t>(node)]) nodes[static_cast<std::size_t>(trie.parent(node))] = 1;
}

}  // namespace mql4grec
