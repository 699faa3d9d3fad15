#pragma once
// The part of a live trie that some queries may reach. A filter is a root: nodes that are added for one search lead to
// what remains, and everything below that is whole is shared with the trie. The cost follows the number of sequences
// that are kept or dropped, whichever are given, or that several tables decide about, and not the size of the catalog.
//
//   filtered.clear();
//   roots.push_back(filtered.keep(version, table, sequences));   // only these
//   roots.push_back(filtered.drop(version, root, sequences));    // all but these
//   roots.push_back(filtered.combine(version, sets, wanted));   // some tables, by rules
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

/// Tables of a trie_version, by their roots: a sequence remains if it is in `main`, in each of `all_of`, in at least
/// one of `any_of` (unless there are none) and not in any of `none_of`.
struct table_rules {
  node_t main;                       ///< the table of all sequences
  std::vector<node_t> all_of = {};   ///< tables that must have a sequence
  std::vector<node_t> any_of = {};   ///< tables of which one must have it; none: it need not be in any
  std::vector<node_t> none_of = {};  ///< tables that must not have it
};

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
  /// Adds a root below which another root, one of the version's or of these, has all sequences but these. Returns it.
  node_t drop(trie_version const& version, node_t from, std::span<std::span<token_t const> const> sequences) {
    node_t const root = add(1);
    set(root, token_t{-1}, left({version, sequences}, from, 0).value_or(node_range{0, 0}));
    return root;
  }
  /// Adds a root below which there are the sequences that fit the rules. Items that share a sequence may differ in what
  /// they fit, so a sequence that more than one table decides about remains if `wanted(item)` for one of its items in
  /// `main`. Subtrees that one table decides about are shared with it; the time follows the others. Returns the root,
  /// which is one of the version's if that is the result.
  template <class Wanted>
  node_t combine(trie_version const& version, table_rules const& rules, Wanted const& wanted) {
    table_stack_ = rules.all_of;
    table_stack_.insert(table_stack_.end(), rules.any_of.begin(), rules.any_of.end());
    table_stack_.insert(table_stack_.end(), rules.none_of.begin(), rules.none_of.end());
    table_group const all{.main = rules.main,
                          .begin = 0,
                          .all_of = rules.all_of.size(),
                          .any_of = rules.any_of.size(),
                          .none_of = rules.none_of.size()};
    bool const needs_any = !rules.any_of.empty();
    if (auto const only = deciding(all, needs_any)) return *only;
    node_t const root = add(1);
    set(root, token_t{-1},
        fitting(version, all, {.depth = 0, .needs_any = needs_any}, wanted).value_or(node_range{0, 0}));
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
  node_range children(trie_version const& version, node_t node) const {
    if (node >= first_added_node) return {first_child_[place(node)], children_end_[place(node)]};
    auto const arrays = version.arrays();
    return {arrays.first_child(node), arrays.children_end(node)};
  }
  token_t token(trie_version const& version, node_t node) const {
    return node >= first_added_node ? token_[place(node)] : version.arrays().token(node);
  }

  /// Nodes of the tables of some rules, all with the same path: that of `main`, and others in table_stack_, from
  /// `begin` on. Tables without such a node are left out.
  struct table_group {
    node_t main;
    std::size_t begin, all_of, any_of, none_of;
  };
  struct rule_position {
    index_t depth;
    bool needs_any;  // there are tables of any_of, here or elsewhere
  };

  /// The node that has what remains of a group; nothing if several tables decide about that.
  std::optional<node_t> deciding(table_group const& of, bool needs_any) const {
    if (of.none_of > 0) return std::nullopt;
    auto const any = needs_any ? of.any_of : 0;
    if (of.all_of + any > 1) return std::nullopt;
    return of.all_of + any == 1 ? table_stack_[of.begin] : of.main;
  }

  /// The nodes that a token leads to, on the top of table_stack_; nothing if no sequence below them fits.
  std::optional<table_group> next(trie_version const& version, table_group const& from, token_t token, bool needs_any) {
    table_group to{
        .main = version.next(from.main, token), .begin = table_stack_.size(), .all_of = 0, .any_of = 0, .none_of = 0};
    if (to.main < 0) return std::nullopt;
    for (std::size_t i = 0; i < from.all_of + from.any_of + from.none_of; ++i) {
      auto const node = version.next(table_stack_[from.begin + i], token);
      auto& count = i < from.all_of ? to.all_of : i < from.all_of + from.any_of ? to.any_of : to.none_of;
      if (node < 0 && i < from.all_of) return std::nullopt;
      if (node < 0) continue;
      table_stack_.push_back(node);
      ++count;
    }
    return needs_any && to.any_of == 0 ? std::nullopt : std::optional(to);
  }

  /// The children of a group's nodes that lead to what fits; nothing if there are none.
  template <class Wanted>
  std::optional<node_range> fitting(trie_version const& version, table_group const& at, rule_position where,
                                    Wanted const& wanted) {
    if (auto const only = deciding(at, where.needs_any)) return children(version, *only);
    if (where.depth == version.levels())
      return std::ranges::any_of(version.items(at.main), wanted) ? std::optional(children(version, at.main))
                                                                 : std::nullopt;
    // the table with the fewest children of those that all sequences must be in
    auto driver = children(version, at.main);
    auto const required = at.all_of + (at.all_of == 0 && where.needs_any && at.any_of == 1 ? 1 : 0);
    for (std::size_t i = 0; i < required; ++i) {
      auto const other = children(version, table_stack_[at.begin + i]);
      if (other.end - other.first < driver.end - driver.first) driver = other;
    }
    auto const first = add(driver.end - driver.first);
    auto to = first;
    for (auto child = driver.first; child < driver.end; ++child) {
      auto const top = table_stack_.size();
      auto const token_of_child = version.arrays().token(child);
      if (auto const below = next(version, at, token_of_child, where.needs_any))
        if (auto const range =
                fitting(version, *below, {.depth = where.depth + 1, .needs_any = where.needs_any}, wanted))
          set(to++, token_of_child, *range);
      table_stack_.resize(top);
    }
    return to == first ? std::nullopt : std::optional(node_range{first, to});
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
    auto const first = add(all.end - all.first);
    auto next = first;
    std::size_t i = 0;
    for (auto child = all.first; child < all.end; ++child) {
      auto const token = this->token(of.version, child);
      while (i < of.sequences.size() && of.sequences[i][level] < token) ++i;  // not below this node
      auto const last = i < of.sequences.size() && of.sequences[i][level] == token ? of.same(i, level) : i;
      if (auto const range = left(of.of(i, last), child, depth + 1)) set(next++, token, *range);
      i = last;
    }
    return next == first ? std::nullopt : std::optional(node_range{first, next});
  }

  std::vector<node_t> first_child_, children_end_;
  std::vector<token_t> token_;
  std::vector<node_t> table_stack_;  // of combine()
};

}  // namespace mql4grec::search
