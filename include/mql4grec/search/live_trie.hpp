#pragma once
// A trie that changes while searches read it. Nodes are never changed once a version that contains them has been
// published: a change writes new versions of the children on its path, from the leaf to the root, and all other
// subtrees are shared with earlier versions (path copying). A version is therefore nothing but its roots.
//
//   live_trie::insert(), remove() → publish() → trie_version, which any number of threads read
//
// A trie may begin with nodes that are mapped from a file (see packed_catalog.hpp). They come first and never change;
// changes are added after them in memory, so that the processes of a machine share the pages.
//
// Besides its tables, a trie may have subsets of them: each is a root of its own over some of the items, and changes as
// tables do. To a search it is another table.
//
// The children of a node are contiguous and sorted by token, as in an item_trie, so a search in a version gives the
// beams of a search in an item_trie of the same items. What differs: the numbers of nodes have no order, nodes that no
// version reaches remain until compact(), and a node has no parent.
#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "mql4grec/backend/contract/beam.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/reserved_array.hpp"
#include "mql4grec/search/trie.hpp"

namespace mql4grec::search {

/// The nodes that a trie begins with, in a mapped file: a trie over tables, each array as in trie_storage. Node 0 has
/// no children, and the roots of the tables follow it.
struct mapped_nodes {
  std::shared_ptr<core::detail::mapped_file const> file = nullptr;  ///< nullptr: the trie begins without nodes
  index_t levels = 0, nodes = 0, entries = 0;                       ///< entries: of all lists
  index_t most_children = 0, most_listed = 0;                       ///< of any node, and of any leaf
  /// Where the arrays begin in the file, at multiples of the size of a page.
  index_t first_child = 0, children_end = 0, token = 0, lists = 0;
  std::vector<index_t> leaves = {};  ///< of each table
};

namespace detail {

/// The nodes of all versions. Node 0 has no children and belongs to no version. A leaf has no children either: its
/// `first_child` and `children_end` are both the position of its list in `lists`, which is the number of its items and
/// then the items.
struct trie_storage {
  reserved_array<node_t> first_child, children_end;  // (nodes)
  reserved_array<token_t> token;                     // (nodes)
  reserved_array<item_id> lists;                     // list 0 is empty

  mapped_nodes base;  // the first nodes and lists

  trie_storage(index_t nodes, index_t list_entries)
      : first_child(nodes), children_end(nodes), token(nodes), lists(list_entries) {}
  trie_storage(index_t nodes, index_t list_entries, mapped_nodes const& from)
      : first_child(nodes, *from.file, from.first_child, from.nodes),
        children_end(nodes, *from.file, from.children_end, from.nodes),
        token(nodes, *from.file, from.token, from.nodes),
        lists(list_entries, *from.file, from.lists, from.entries),
        base(from) {}
};

/// The roots of a version.
struct trie_roots {
  std::vector<node_t> nodes;    // (tables)
  std::vector<index_t> leaves;  // (tables): below each
  index_t all_leaves;           // their sum
};

}  // namespace detail

/// One version of a live_trie: immutable and cheap to copy. It keeps its nodes alive. Const member functions may be
/// called from several threads at once.
class trie_version {
 public:
  /// A version of a trie without roots.
  trie_version() = default;

  /// The number of tokens of each sequence, which is the depth of the leaves.
  index_t levels() const { return levels_; }
  /// The number of roots.
  index_t roots() const { return tables_ ? std::ssize(tables_->nodes) : 0; }
  /// The root of the table with this position.
  node_t root(index_t table) const { return tables_->nodes[to_size(table)]; }
  /// The nodes of all tables.
  std::span<node_t const> root_nodes() const {
    return tables_ ? std::span<node_t const>(tables_->nodes) : std::span<node_t const>();
  }
  /// One more than the largest number of a node.
  index_t nodes() const { return nodes_; }
  /// The number of leaves below all roots.
  index_t leaves() const { return tables_ ? tables_->all_leaves : 0; }
  /// The number of leaves below the root of a table, which is the number of its distinct sequences.
  index_t leaves_of(index_t table) const { return tables_->leaves[to_size(table)]; }

  /// The items of a leaf in ascending order.
  std::span<item_id const> items(node_t leaf) const { return list(storage_->first_child[leaf]); }
  /// The items of a leaf whose `first_child` is this number.
  std::span<item_id const> list(node_t first_child) const {
    auto const* const found = storage_->lists.data() + first_child;
    return {found + 1, to_size(index(*found))};
  }
  /// The tokens on the edges to a node's children, in ascending order; of a leaf none.
  std::span<token_t const> allowed(node_t node) const {
    auto const first = storage_->first_child[node];
    return {storage_->token.data() + first, to_size(storage_->children_end[node] - first)};
  }
  /// The child that a token leads to; −1 when the token isn't allowed.
  node_t next(node_t node, token_t token) const {
    auto const choices = allowed(node);
    auto const found = std::ranges::lower_bound(choices, token);
    if (found == choices.end() || *found != token) return -1;
    return storage_->first_child[node] + static_cast<node_t>(found - choices.begin());
  }
  /// The leaf of a sequence in a table; −1 if no item has it.
  node_t find(index_t table, std::span<token_t const> sequence) const {
    auto node = root(table);
    for (auto const token : sequence)
      if (node = next(node, token); node < 0) break;
    return node;
  }

  /// Views of the arrays of all versions, for the kernels of a backend. Valid as long as this version or a copy of it.
  trie_view<host_space> arrays() const {
    return {.nodes = {{storage_->first_child.data(), nodes_},
                      {storage_->children_end.data(), nodes_},
                      {storage_->token.data(), nodes_}},
            .childless = 0};
  }

 private:
  friend class live_trie;
  template <Backend>
  friend class device_trie;  // which recognizes versions of one trie

  std::shared_ptr<detail::trie_storage const> storage_;
  std::shared_ptr<detail::trie_roots const> tables_;  // nullptr: none
  index_t levels_ = 0, nodes_ = 0, reachable_ = 0;
};

/// The sizes of a live_trie.
struct live_trie_capacity {
  /// Nodes that changes may add before the trie has to be compacted. A change adds the children of all nodes of its
  /// path. Only address space is reserved for them: 12 bytes each. Default: as many as there are, at least 2²¹.
  std::optional<index_t> spare_nodes = {};
  /// The same for entries of leaves: a change of a sequence adds the number of items of the leaf and one. 4 bytes each.
  index_t spare_entries = index_t{1} << 22;
};

/// The newest version of a trie, and the changes that will be part of the next one. One thread uses it at a time; the
/// versions that it publishes are read by others meanwhile.
class live_trie {
 public:
  /// A trie over the tables, which have sequences of the same length. Throws error as item_trie does, or when the
  /// capacity doesn't fit 32-bit numbers.
  explicit live_trie(std::span<language::token_table const* const> tables, live_trie_capacity const& capacity = {})
      : live_trie(tables, {}, capacity) {}
  /// The same with subsets: for each list of items, in any order, one of every table. Subset s of table t is the table
  /// with the position tables.size() · (1 + s) + t. Items without a sequence in a table are left out.
  live_trie(std::span<language::token_table const* const> tables, std::span<std::span<item_id const> const> subsets,
            live_trie_capacity const& capacity = {});
  /// The same, with the nodes of the tables from a file. They aren't read now, nor copied.
  live_trie(mapped_nodes const& base, std::span<language::token_table const* const> tables,
            std::span<std::span<item_id const> const> subsets, live_trie_capacity const& capacity = {});

  /// The number of tokens of each sequence.
  index_t levels() const { return levels_; }
  /// Nodes that were written since the last compaction, including those that are no longer reachable.
  index_t nodes() const { return nodes_; }
  /// Nodes that the newest version can reach.
  index_t reachable() const { return reachable_; }
  /// Whether so many further changes, each of an item in one table, certainly fit the reserved memory: if not, the trie
  /// has to be compacted first.
  bool has_room(index_t changes = 1) const;

  /// Adds a table without items, after all others. Throws error when there is no room.
  void add_table();

  /// Adds an item with this sequence to a table. Returns false if it is there already. `sequence` has levels() tokens.
  /// Throws error when there is no room.
  bool insert(index_t table, std::span<token_t const> sequence, item_id item);
  /// Removes an item with this sequence from a table. Returns false if it isn't there. Throws error when there is no
  /// room.
  bool remove(index_t table, std::span<token_t const> sequence, item_id item);

  /// All changes so far as a version. Later changes don't alter it.
  [[nodiscard]] trie_version publish();

  /// A trie with the content of a version, in memory of its own and without unreachable nodes. Nodes that are mapped
  /// from a file stay there, so the time follows the others. May be called while others read or change the trie of the
  /// version.
  [[nodiscard]] static live_trie compact(trie_version const& from, live_trie_capacity const& capacity = {});

 private:
  /// The range of a node's children, or twice the position of a leaf's list.
  struct node_range {
    node_t first, end;
  };

  live_trie() = default;
  void reserve(index_t nodes, index_t entries, live_trie_capacity const& capacity, mapped_nodes const& base = {});
  node_range children(node_t node) const { return {storage_->first_child[node], storage_->children_end[node]}; }
  index_t size(node_t node) const { return storage_->children_end[node] - storage_->first_child[node]; }
  void set(node_t node, node_range range) {
    storage_->first_child[node] = range.first;
    storage_->children_end[node] = range.end;
    most_children_ = std::max<index_t>(most_children_, range.end - range.first);
  }
  node_t append(token_t token, node_range range) {
    auto const node = static_cast<node_t>(nodes_++);
    storage_->token[node] = token;
    set(node, range);
    return node;
  }
  void append_copies(node_t first, node_t end) {
    for (node_t node = first; node < end; ++node) append(storage_->token[node], children(node));
  }
  node_range append_list(std::span<item_id const> before, item_id item, std::span<item_id const> after);
  std::span<item_id const> items(node_t leaf) const {
    auto const* const list = storage_->lists.data() + storage_->first_child[leaf];
    return {list + 1, to_size(index(*list))};
  }
  /// Adds a table of some of the items of another one.
  void add_subset(language::token_table const& table, std::span<item_id const> items);
  /// Appends the nodes below one at a depth, for items that are sorted by sequence, then by number.
  node_range append_below(language::token_table const& table, std::span<item_id const> sorted, index_t depth);
  /// Sets path_ to the nodes of the longest prefix of the sequence that the table contains; returns its length.
  index_t walk(index_t table, std::span<token_t const> sequence);
  /// Gives the node path_[depth] another range, in new versions of the nodes above it where those are published.
  void replace(index_t table, index_t depth, node_range range);

  std::shared_ptr<detail::trie_storage> storage_;
  std::vector<node_t> roots_, path_;
  std::vector<index_t> leaves_;
  index_t levels_ = 0, nodes_ = 0, entries_ = 0, reachable_ = 0;
  index_t most_children_ = 0, most_listed_ = 0;  // of any node and any leaf so far
  index_t published_ = 0;                        // nodes from here on are in no version yet and may be changed
};

}  // namespace mql4grec::search

#if !MQL4GREC_COMPILED
#include "mql4grec/search/live_trie.inl.hpp"
#endif
