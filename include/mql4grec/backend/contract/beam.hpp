#pragma once
// The operations that a beam search requires of a backend besides the layers: attention over cached ancestors, and the
// selection of the next beams. The rows of one user are always consecutive.
#include <cstdint>

#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/core/ids.hpp"

namespace mql4grec {
inline namespace contract {

using node_t = std::int32_t;  ///< the number of a node of the trie; 0 is the first root

/// Inputs of self-attention in one decoder step. When beams branch, their keys and values are not copied: each row
/// lists the cache rows of its ancestors instead (`places`).
template <MemorySpace S, class T>
struct cached_attention_inputs {
  view<T const, S, 2> q;      ///< (rows, heads·width)
  view<T const, S, 2> cache;  ///< (cache rows, 2·heads·width): a row's keys, then its values
  view<std::int32_t const, S, 2>
      places;                 ///< (rows, steps): cache rows of the row's ancestors, oldest first, itself last
  view<T const, S, 2> bias;   ///< (heads, distances), as attention_inputs::bias
  index_t zero_distance = 0;  ///< as attention_inputs::zero_distance
};

/// Consecutive nodes of a trie as plain arrays.
template <MemorySpace S>
struct trie_nodes {
  view<node_t const, S, 1> first_child;   ///< (nodes)
  view<node_t const, S, 1> children_end;  ///< (nodes)
  view<token_t const, S, 1> token;        ///< (nodes): the token on the edge to the node
};

/// The numbers of nodes that are added to a trie for one search begin here.
inline constexpr node_t first_added_node = node_t{1} << 30;

/// A trie: the children of node n are the nodes first_child(n) … children_end(n)−1, in ascending order of their tokens.
/// Several nodes may have the same children, and not every node has to be below a root: see search/live_trie.hpp and
/// search/filtered_trie.hpp.
template <MemorySpace S>
struct trie_view {
  trie_nodes<S> nodes;       ///< numbered from 0 on
  trie_nodes<S> added = {};  ///< numbered from first_added_node on; their children are added nodes or others
  node_t childless = 0;      ///< a node without children and with a valid token; unused rows of a device are there

  /// The first child of a node.
  MQL4GREC_HD node_t first_child(index_t node) const {
    return node < first_added_node ? nodes.first_child(node) : added.first_child(node - first_added_node);
  }
  /// The node after the last child of a node.
  MQL4GREC_HD node_t children_end(index_t node) const {
    return node < first_added_node ? nodes.children_end(node) : added.children_end(node - first_added_node);
  }
  /// The token on the edge to a node.
  MQL4GREC_HD token_t token(index_t node) const {
    return node < first_added_node ? nodes.token(node) : added.token(node - first_added_node);
  }
};

/// A trie whose nodes are numbered level by level: the children of a node end where those of the next one begin.
/// `first_child` has (nodes + 1) entries, `token` (nodes), at least one; the last node has no children.
template <MemorySpace S>
trie_view<S> level_order_trie(view<node_t const, S, 1> first_child, view<token_t const, S, 1> token) {
  index_t const nodes = token.size();
  return {.nodes = {first_child.part(0, nodes), first_child.part(1, nodes), token},
          .childless = static_cast<node_t>(nodes - 1)};
}

/// The candidates of one step: every allowed child of every beam. The rows of a user are consecutive.
template <MemorySpace S, class T>
struct beam_candidates {
  view<T const, S, 2> logits;             ///< (rows, V)
  view<T const, S, 1> scores;             ///< (rows): Σ log p so far
  view<node_t const, S, 1> nodes;         ///< (rows): the node of the trie that the row has reached
  view<index_t const, S, 1> row_offsets;  ///< (users + 1): user u has the rows row_offsets(u) … row_offsets(u+1)−1
  trie_view<S> trie;                      ///< the allowed sequences
  view<std::uint8_t const, S, 2> allowed = {};  ///< (users, nodes): 0 forbids a node; empty: all nodes are allowed
  bool normalize_over_allowed =
      false;  ///< log p is normalized over the allowed children instead of the whole vocabulary
};

/// The best candidates of each user, best first. Equal scores are ordered by row, then by child.
template <MemorySpace S, class T>
struct beam_choice {
  view<T, S, 2> scores;              ///< (users, beams)
  view<std::int32_t, S, 2> parents;  ///< (users, beams): the row that each candidate continues
  view<node_t, S, 2> nodes;          ///< (users, beams): the candidate's node of the trie
  view<index_t, S, 1> counts;        ///< (users): number of candidates found, at most `beams`
};

/// The rows of one step. The rows of a user are consecutive.
template <MemorySpace S, class T>
struct beam_rows {
  view<T, S, 1> scores;      ///< (maximum rows): Σ log p so far
  view<node_t, S, 1> nodes;  ///< (maximum rows): the node of the trie that the row has reached
  view<std::int32_t, S, 2>
      places;                   ///< (maximum rows, levels + 1): cache rows of the ancestors, oldest first, itself last
  view<token_t, S, 1> tokens;   ///< (maximum rows): the token that the decoder reads next
  view<index_t, S, 1> offsets;  ///< (users + 1)
};

/// The inputs of branch_beams: the candidates that were chosen at one step, and the rows that they continue.
template <MemorySpace S, class T>
struct beam_branches {
  beam_choice<S, T> choice;  ///< the chosen children
  trie_view<S> trie;         ///< the allowed sequences
  beam_rows<S, T> from;      ///< the rows of this step
  index_t steps = 0;         ///< the number of steps so far, of which `from` lists the cache rows
  index_t first_place = 0;   ///< the cache row of the next step's first row
};

}  // namespace contract
}  // namespace mql4grec
