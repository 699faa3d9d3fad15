#pragma once
// A trie of the token sequences of all valid items, in plain arrays, or several tries side by side, each with a root of
// its own. Nodes are numbered level by level in the order of their paths. So the children of a node have consecutive
// numbers, and so do all roots and all leaves.
#include <array>
#include <concepts>
#include <span>
#include <utility>
#include <vector>

#include "mql4grec/backend/contract/beam.hpp"
#include "mql4grec/core/column.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/language/token_table.hpp"

namespace mql4grec::search {

/// A trie that knows the items of its leaves: item_trie and trie_version.
template <class T>
concept ItemSource = requires(T const& trie, node_t leaf) {
  { trie.items(leaf) } -> std::same_as<std::span<item_id const>>;
};

/// The arrays of an item_trie, in memory or in a mapped file. Nodes are numbered level by level, so children are later
/// nodes.
struct trie_columns {
  index_t levels = 0, roots = 1;          ///< tokens of a sequence; tries side by side
  column<node_t> first_child = {1, 1};    ///< (nodes + 1); an empty trie is a root without children
  column<node_t> parent = {-1};           ///< (nodes); −1 for a root
  column<token_t> token = {token_t{-1}};  ///< (nodes); −1 for a root
  column<index_t> item_offsets = {0};     ///< (leaves + 1): where the items of each leaf begin
  column<item_id> items = {};             ///< sorted by table, then by sequence, then by id
};

/// A trie over the token sequences of a token_table, immutable after construction. Node 0 is the root. Over several
/// tables it is a trie for each, with the nodes 0 … roots() − 1 as roots: searches of different modalities then share
/// one pass of the model. Const member functions may be called from several threads at once.
class item_trie {
 public:
  /// A trie without items: a root without children.
  item_trie() = default;
  /// Contains every item of the table that has a sequence. Items with the same sequence share a leaf. Throws error when
  /// the nodes don't fit 32-bit numbers.
  explicit item_trie(language::token_table const& table) : item_trie(std::array{&table}) {}
  /// The same for several tables with sequences of the same length; the root of table t is node t. Throws error also
  /// when there is no table or when their levels differ.
  explicit item_trie(std::span<language::token_table const* const> tables);
  /// A trie of arrays that are consistent; they are not checked.
  explicit item_trie(trie_columns columns) : columns_(std::move(columns)) {}

  /// The number of tokens of each sequence, which is the depth of the leaves.
  index_t levels() const { return columns_.levels; }
  /// The number of tables, which is the number of roots.
  index_t roots() const { return columns_.roots; }
  /// The number of nodes, including the roots.
  index_t nodes() const { return static_cast<index_t>(columns_.token.size()); }
  /// The number of leaves, which is the number of distinct sequences.
  index_t leaves() const { return static_cast<index_t>(columns_.item_offsets.size()) - 1; }
  /// The smallest number of a leaf. All later nodes are leaves.
  node_t first_leaf() const { return static_cast<node_t>(nodes() - leaves()); }
  /// Whether a node is a leaf.
  bool is_leaf(node_t node) const { return node >= first_leaf(); }

  /// The items of a leaf in ascending order: one, unless several items have the same sequence. Throws error when the
  /// node isn't a leaf.
  std::span<item_id const> items(node_t leaf) const {
    expects(is_leaf(leaf) && leaf < nodes(), "trie: node ", leaf, " isn't a leaf");
    auto const at = to_size(leaf - first_leaf());
    return {columns_.items.data() + columns_.item_offsets[at],
            to_size(columns_.item_offsets[at + 1] - columns_.item_offsets[at])};
  }
  /// The number of leaves below a root.
  index_t leaves_below(node_t root) const {
    auto first = root, last = static_cast<node_t>(root + 1);
    for (index_t level = 0; level < columns_.levels; ++level) {
      first = first_child(first);
      last = first_child(last);
    }
    return last - first;
  }
  /// The parent of a node; −1 for a root.
  node_t parent(node_t node) const { return columns_.parent[to_size(node)]; }
  /// The token on the edge to a node; −1 for a root.
  token_t token(node_t node) const { return columns_.token[to_size(node)]; }

  /// Views of the trie's arrays, for the kernels of a backend. Valid as long as the trie.
  trie_view<host_space> arrays() const {
    return level_order_trie(view_of(std::span(columns_.first_child)), view_of(std::span(columns_.token)));
  }

 private:
  node_t first_child(node_t node) const { return columns_.first_child[to_size(node)]; }

  trie_columns columns_;
};

}  // namespace mql4grec::search

#if !MQL4GREC_COMPILED
#include "mql4grec/search/trie.inl.hpp"
#endif
