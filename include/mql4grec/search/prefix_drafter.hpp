#pragma once
// Drafts new items: items that nobody has interacted with, which a model has never seen as a target. The search rarely
// reaches them, since it follows sequences that it has learnt. But their first codes are known from similar items, so
// new items that share a prefix with a beam are good candidates. A second search among the candidates scores them with
// the model, as every other item:
//
//   search → beams → prefix_drafter::draft() marks the new items near them → search among the marked nodes
#include <algorithm>
#include <concepts>
#include <cstdint>
#include <map>
#include <numeric>
#include <set>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "mql4grec/core/error.hpp"
#include "mql4grec/search/trie.hpp"

namespace mql4grec::search {

/// Options of a draft.
struct draft_options {
  /// Prefixes are shortened until at least so many sequences of new items are below them.
  index_t sequences = 20;
  /// A drafted sequence shares at least so many codes with a beam; 0 allows every new item.
  index_t shortest_prefix = 1;

  bool operator==(draft_options const&) const = default;
};

/// The sequences among `fresh`, sorted and each there once, that prefix_drafter::draft() drafts for beams with the
/// sequences `beams`, best first. Throws error if an option is negative.
[[nodiscard]] inline std::vector<std::span<token_t const>> draft_sequences(
    std::span<std::span<token_t const> const> fresh, std::span<std::span<token_t const> const> beams,
    draft_options const& options) {
  expects(options.sequences >= 0 && options.shortest_prefix >= 0, "draft: ", options.sequences,
          " sequences and prefixes of ", options.shortest_prefix, " codes, expected at least 0");
  std::vector<std::uint8_t> drafted(fresh.size(), 0);
  index_t total = 0, levels = fresh.empty() ? -1 : std::ssize(fresh.front());
  for (index_t length = levels; length >= options.shortest_prefix && total < options.sequences; --length)
    for (auto const& beam : beams) {
      if (total >= options.sequences) break;
      auto const prefix = beam.first(to_size(length));
      auto const below = [&](auto const& sequence) { return sequence.first(prefix.size()); };
      auto const before = [](auto a, auto b) { return std::ranges::lexicographical_compare(a, b); };
      auto const first = std::ranges::lower_bound(fresh, prefix, before, below);
      for (auto at = first; at != fresh.end() && std::ranges::equal(below(*at), prefix); ++at)
        total += std::exchange(drafted[to_size(at - fresh.begin())], std::uint8_t{1}) ? 0 : 1;
    }
  std::vector<std::span<token_t const>> out;
  for (std::size_t i = 0; i < fresh.size(); ++i)
    if (drafted[i]) out.push_back(fresh[i]);
  return out;
}

/// Finds the new items that share prefixes with beams. The trie must outlive this object. Const member functions may be
/// called from several threads at once.
class prefix_drafter {
 public:
  /// Counts the sequences of new items below every node. A sequence is new if `is_new(item)` is true for at least one
  /// of its items.
  template <std::predicate<item_id> New>
  prefix_drafter(item_trie const& trie, New&& is_new) : trie_(&trie), below_(to_size(trie.nodes()), 0) {
    for (node_t leaf = trie.first_leaf(); leaf < trie.nodes(); ++leaf)
      below_[to_size(leaf)] = std::ranges::any_of(trie.items(leaf), is_new) ? 1 : 0;
    // Children have larger numbers than their parents.
    for (auto node = static_cast<node_t>(trie.nodes() - 1); node >= trie.roots(); --node)
      below_[to_size(trie.parent(node))] += below_[to_size(node)];
  }

  /// The number of different sequences of new items.
  index_t new_sequences() const { return std::accumulate(below_.begin(), below_.begin() + trie_->roots(), index_t{0}); }

  /// Marks the nodes that lead to drafted sequences for a search, as mark_allowed() does: a byte of 1 for each, 0 for
  /// all others. `beams` are leaves, best first. Starting from whole sequences, the prefixes of all beams are shortened
  /// code by code; of each length, those of better beams come first. Every new sequence below a prefix is drafted,
  /// until there are options.sequences. Returns the number of drafted sequences. Throws error if `nodes` doesn't have
  /// trie.nodes() entries or if an option is negative.
  index_t draft(std::span<node_t const> beams, draft_options const& options, std::span<std::uint8_t> nodes) const {
    expects(std::ssize(nodes) == trie_->nodes(), "draft: ", nodes.size(), " marks for a trie of ", trie_->nodes(),
            " nodes");
    expects(options.sequences >= 0 && options.shortest_prefix >= 0, "draft: ", options.sequences,
            " sequences and prefixes of ", options.shortest_prefix, " codes, expected at least 0");
    std::ranges::fill(nodes, std::uint8_t{0});
    std::vector<node_t> ends(beams.begin(), beams.end());  // of the beams' prefixes, in the order of the beams
    std::map<node_t, index_t> drafted;                     // of each of these, the drafted sequences below it
    index_t total = 0;
    for (index_t length = trie_->levels(); length >= options.shortest_prefix && total < options.sequences; --length) {
      for (auto const end : ends) {
        if (total >= options.sequences) break;
        index_t const more = below_[to_size(end)] - std::exchange(drafted[end], below_[to_size(end)]);
        if (more > 0) mark(end, nodes);
        total += more;
      }
      if (length > 0) shorten(ends, drafted);
    }
    return total;
  }

 private:
  /// Replaces every prefix by the one that is a code shorter; of equal ones the first remains.
  void shorten(std::vector<node_t>& ends, std::map<node_t, index_t>& drafted) const {
    std::map<node_t, index_t> shorter;
    for (auto const& [end, count] : drafted) shorter[trie_->parent(end)] += count;
    drafted = std::move(shorter);
    std::vector<node_t> parents;
    std::set<node_t> seen;
    for (auto const end : ends)
      if (auto const parent = trie_->parent(end); seen.insert(parent).second) parents.push_back(parent);
    ends = std::move(parents);
  }

  /// Marks the path to a node and everything below it that leads to new items. The descendants of a node at one level
  /// have consecutive numbers.
  void mark(node_t node, std::span<std::uint8_t> nodes) const {
    for (auto above = trie_->parent(node); above >= 0; above = trie_->parent(above)) nodes[to_size(above)] = 1;
    auto const arrays = trie_->arrays();
    for (auto [first, last] = std::pair(node, static_cast<node_t>(node + 1)); first < last;
         std::tie(first, last) = std::pair(arrays.first_child(first), arrays.children_end(last - 1)))
      for (auto at = first; at < last; ++at)
        if (below_[to_size(at)] > 0) nodes[to_size(at)] = 1;
  }

  item_trie const* trie_;
  std::vector<index_t> below_;  // (nodes): sequences of new items at or below a node
};

}  // namespace mql4grec::search
