#pragma once
// The part of a live trie that some queries may reach. A filter is a root: nodes that are added for one search lead to
// what remains, and everything below that is whole is shared with the trie. The cost follows the number of sequences
// that are kept or dropped, whichever are given, and not the size of the catalog.
//
//   filtered.clear();
//   roots.push_back(filtered.keep(version, table, sequences));   // only these
//   roots.push_back(filtered.drop(version, table, sequences));   // all but these
//   searcher.search({…, .roots = roots, .added = filtered.nodes()}, …)
#include <algorithm>
#include <optional>
#include <span>
#include <vector>

#include "mql4grec/search/live_trie.hpp"

namespace mql4grec::search {

/// Sequences of tokens of one table, each once, in ascending order. See sort_sequences().
using sequence_list = std::vector<std::span<token_t const>>;

/// Brings a list into the order that filtered_trie requires, and removes sequences that are there more than once.
inline void sort_sequences(sequence_list& sequences) {
  std::ranges::sort(sequences, [](auto a, auto b) { return std::ranges::lexicographical_compare(a, b); });
  auto const twice =
      std::unique(sequences.begin(), sequences.end(), [](auto a, auto b) { return std::ranges::equal(a, b); });
  sequences.erase(twice, sequences.end());
}

/// Nodes that are added to a version of a live trie for one search. Reuses its memory. Not thread safe.
class filtered_trie {
 public:
  /// Removes all nodes.
  void clear() {
    first_child_.clear();
    children_end_.clear();
    token_.clear();
  }
  /// Adds a root below which the table has only these sequences, all of which it contains. Returns the root.
  node_t keep(trie_version const& version, index_t table, std::span<std::span<token_t const> const> sequences) {
    node_t const root = add(1);
    set(root, token_t{-1}, kept({version, sequences}, version.root(table), 0));
    return root;
  }
  /// Adds a root below which the table has all sequences but these, all of which it contains. Returns the root.
  node_t drop(trie_version const& version, index_t table, std::span<std::span<token_t const> const> sequences) {
    node_t const root = add(1);
    set(root, token_t{-1}, left({version, sequences}, version.root(table), 0).value_or(node_range{0, 0}));
    return root;
  }

  /// The nodes, for search_queries::added. Valid until the next change.
  trie_nodes<host_space> nodes() const {
    return {view_of(std::span(first_child_)), view_of(std::span(children_end_)), view_of(std::span(token_))};
  }
  /// The items of a leaf, which is one of the version's or was added to it: those that the leaf has without the filter.
  std::span<item_id const> items(trie_version const& version, node_t leaf) const {
    return leaf < first_added_node ? version.items(leaf) : version.list(first_child_[place(leaf)]);
  }

 private:
  struct node_range {
    node_t first, end;
  };
  /// The sequences below a node of the version.
  struct part {
    trie_version const& version;
    std::span<std::span<token_t const> const> sequences;
    part of(std::size_t first, std::size_t last) const { return {version, sequences.subspan(first, last - first)}; }
    /// The number of sequences, from `first` on, with the same token at a depth.
    std::size_t same(std::size_t first, std::size_t depth) const {
      auto last = first + 1;
      while (last < sequences.size() && sequences[last][depth] == sequences[first][depth]) ++last;
      return last;
    }
  };

  static std::size_t place(node_t node) { return to_size(node - first_added_node); }
  node_t add(index_t count) {
    auto const first = first_added_node + static_cast<node_t>(token_.size());
    expects(std::ssize(token_) + count < first_added_node, "filter: more than ", first_added_node, " nodes");
    auto const size = token_.size() + to_size(count);
    first_child_.resize(size, 0);
    children_end_.resize(size, 0);
    token_.resize(size, token_t{-1});
    return first;
  }
  void set(node_t node, token_t token, node_range range) {
    first_child_[place(node)] = range.first;
    children_end_[place(node)] = range.end;
    token_[place(node)] = token;
  }
  static node_range children(trie_version const& version, node_t node) {
    auto const arrays = version.arrays();
    return {arrays.first_child(node), arrays.children_end(node)};
  }

  /// The children of a node that lead to the sequences. A leaf keeps its list.
  node_range kept(part const& of, node_t node, index_t depth) {
    if (depth == of.version.levels()) return children(of.version, node);
    auto const& all = of.sequences;
    auto const level = to_size(depth);
    index_t count = 0;
    for (std::size_t i = 0; i < all.size(); i = of.same(i, level)) ++count;
    if (count == 0) return {0, 0};
    auto const first = add(count);
    auto next = first;
    for (std::size_t i = 0, last = 0; i < all.size(); i = last) {
      last = of.same(i, level);
      auto const token = all[i][level];
      set(next++, token, kept(of.of(i, last), of.version.next(node, token), depth + 1));
    }
    return {first, next};
  }

  /// The children of a node that lead to other sequences; nothing if there are none.
  std::optional<node_range> left(part const& of, node_t node, index_t depth) {
    auto const all = children(of.version, node);
    if (of.sequences.empty()) return all;
    if (depth == of.version.levels()) return std::nullopt;
    auto const level = to_size(depth);
    auto const arrays = of.version.arrays();
    auto const first = add(all.end - all.first);
    auto next = first;
    std::size_t i = 0;
    for (auto child = all.first; child < all.end; ++child) {
      auto const token = arrays.token(child);
      auto const last = i < of.sequences.size() && of.sequences[i][level] == token ? of.same(i, level) : i;
      if (auto const range = left(of.of(i, last), child, depth + 1)) set(next++, token, *range);
      i = last;
    }
    return next == first ? std::nullopt : std::optional(node_range{first, next});
  }

  std::vector<node_t> first_child_, children_end_;
  std::vector<token_t> token_;
};

}  // namespace mql4grec::search
