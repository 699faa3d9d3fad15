#pragma once
#include <concepts>
#include <cstdint>
#include <span>
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

/// Which items a request may get. It acts inside the beam: k items come back whenever k exist.
struct item_filter {
  std::vector<item_id> allow = {};  ///< nothing else; empty: everything
  std::vector<item_id> deny = {};   ///< never these, even when allowed

  bool empty() const { return allow.empty() && deny.empty(); }
};

/// Marks the trie's nodes that lead to an allowed item; one byte a node, 0 forbids.
/// A filter may name items that the trie doesn't hold.
inline void mark_allowed(item_trie const& trie, item_filter const& filter, index_t item_count, std::span<std::uint8_t> nodes) {
  std::vector<std::uint8_t> item_allowed(static_cast<std::size_t>(item_count), filter.allow.empty() ? 1 : 0);
  auto const set = [&](std::vector<item_id> const& items, std::uint8_t value) {
    for (auto const item : items)
      if (index(item) >= 0 && index(item) < item_count) item_allowed[static_cast<std::size_t>(item)] = value;
  };
  set(filter.allow, 1);
  set(filter.deny, 0);
  std::ranges::fill(nodes, std::uint8_t{0});
  for (node_t leaf = trie.first_leaf(); leaf < trie.nodes(); ++leaf)
    for (auto const item : trie.items(leaf))
      if (item_allowed[static_cast<std::size_t>(item)]) nodes[static_cast<std::size_t>(leaf)] = 1;
  for (auto node = static_cast<node_t>(trie.nodes() - 1); node > 0; --node)  // children come after their parents
    if (nodes[static_cast<std::size_t>(node)]) nodes[static_cast<std::size_t>(trie.parent(node))] = 1;
}

}  // namespace mql4grec
