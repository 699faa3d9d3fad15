#pragma once
#include <concepts>
#include <cstdint>
#include <optional>
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

using item_list = std::vector<item_id>;

/// Which items a request may get. It acts inside the beam: k items come back whenever k exist. Items that the catalogue doesn't
/// hold may be named.
struct item_filter {
  std::optional<item_list> allow = std::nullopt;  ///< nothing else; no list: everything; an empty list: nothing
  item_list deny = {};                            ///< never these, even when allowed

  bool keeps_all() const { return !allow && deny.empty(); }
};

/// (items) one byte an item of the catalogue: 0 forbids.
inline std::vector<std::uint8_t> mask_of(item_filter const& filter, index_t item_count) {
  std::vector<std::uint8_t> mask(static_cast<std::size_t>(item_count), filter.allow ? 0 : 1);
  auto const set = [&](item_list const& items, std::uint8_t value) {
    for (auto const item : items)
      if (index(item) >= 0 && index(item) < item_count) mask[static_cast<std::size_t>(item)] = value;
  };
  if (filter.allow) set(*filter.allow, 1);
  set(filter.deny, 0);
  return mask;
}

/// Marks the trie's nodes that lead to an item of the mask; one byte a node, 0 forbids.
inline void mark_allowed(item_trie const& trie, std::span<std::uint8_t const> mask, std::span<std::uint8_t> nodes) {
  std::ranges::fill(nodes, std::uint8_t{0});
  for (node_t leaf = trie.first_leaf(); leaf < trie.nodes(); ++leaf)
    for (auto const item : trie.items(leaf))
      if (mask[static_cast<std::size_t>(item)]) nodes[static_cast<std::size_t>(leaf)] = 1;
  for (auto node = static_cast<node_t>(trie.nodes() - 1); node > 0; --node)  // children come after their parents
    if (nodes[static_cast<std::size_t>(node)]) nodes[static_cast<std::size_t>(trie.parent(node))] = 1;
}

}  // namespace mql4grec
