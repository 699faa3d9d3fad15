#pragma once
// The valid items as a tree of their tokens, in plain arrays. Nodes are numbered level by level in the order of their
// paths, so the children of a node stand side by side, and so do all leaves.
#include <algorithm>
#include <vector>

#include "mql4grec/backend/contract/beam.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/language/token_table.hpp"

namespace mql4grec {

class item_trie {
 public:
  using state = node_t;

  item_trie() = default;
  /// Every item of the table that has a sequence. Items with the same sequence share a leaf.
  explicit item_trie(token_table const& table);

  index_t levels() const { return levels_; }
  index_t nodes() const { return static_cast<index_t>(token_.size()); }
  index_t leaves() const { return static_cast<index_t>(item_offsets_.size()) - 1; }
  node_t first_leaf() const { return static_cast<node_t>(nodes() - leaves()); }
  bool is_leaf(node_t node) const { return node >= first_leaf(); }

  /// The items of a leaf, in the order of their ids; one unless sequences collide.
  std::span<item_id const> items(node_t leaf) const {
    expects(is_leaf(leaf) && leaf < nodes(), "trie: node ", leaf, " isn't a leaf");
    auto const at = static_cast<std::size_t>(leaf - first_leaf());
    return {items_.data() + item_offsets_[at], static_cast<std::size_t>(item_offsets_[at + 1] - item_offsets_[at])};
  }
  /// The parent of a node other than the root.
  node_t parent(node_t node) const { return parent_[static_cast<std::size_t>(node)]; }
  token_t token(node_t node) const { return token_[static_cast<std::size_t>(node)]; }

  // The TokenConstraint interface: a deterministic automaton over tokens.
  node_t start() const { return 0; }
  std::span<token_t const> allowed(node_t node) const {
    return {token_.data() + first_child(node), static_cast<std::size_t>(first_child(node + 1) - first_child(node))};
  }
  /// Where a token leads; −1 where it isn't allowed.
  node_t next(node_t node, token_t token) const {
    auto const choices = allowed(node);
    auto const found = std::ranges::lower_bound(choices, token);
    if (found == choices.end() || *found != token) return -1;
    return first_child(node) + static_cast<node_t>(found - choices.begin());
  }

  /// The same arrays as views, for a backend's kernels.
  trie_view<host_space> arrays() const { return {view_of(std::span(first_child_)), view_of(std::span(token_))}; }

 private:
  node_t first_child(node_t node) const { return first_child_[static_cast<std::size_t>(node)]; }

  index_t levels_ = 0;
  std::vector<node_t> first_child_ = {1, 1};    // (nodes + 1); a trie of nothing is a root without children
  std::vector<node_t> parent_ = {-1};           // (nodes)
  std::vector<token_t> token_ = {token_t{-1}};  // (nodes); the root has none
  std::vector<index_t> item_offsets_ = {0};     // (leaves + 1)
  std::vector<item_id> items_;                  // sorted by sequence
};

}  // namespace mql4grec

#if !MQL4GREC_COMPILED
#include "mql4grec/search/trie.inl.hpp"
#endif
