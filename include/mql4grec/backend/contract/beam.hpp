#pragma once
// What a beam search asks of a backend, beside the layers: attention over cached ancestors, and the choice of the next
// beams.
#include <cstdint>

#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/core/ids.hpp"

namespace mql4grec {

using node_t = std::int32_t;  ///< a node of the trie; 0 is the root

/// Self-attention of one decoder step. A beam's past isn't copied when beams branch: each row names the places of its
/// ancestors in the cache instead.
template <MemorySpace S, class T>
struct cached_attention_inputs {
  view<T const, S, 2> q;                  ///< (rows, heads·width)
  view<T const, S, 2> cache;              ///< (places, 2·heads·width): k, v side by side
  view<std::int32_t const, S, 2> places;  ///< (rows, steps): the row's ancestors, oldest first, itself last
  view<T const, S, 2> bias;               ///< (heads, distances), as attention_inputs::bias
  index_t zero_distance = 0;
};

/// The trie as plain arrays: the children of node n are the nodes first_child(n) … first_child(n+1)−1.
template <MemorySpace S>
struct trie_view {
  view<node_t const, S, 1> first_child;  ///< (nodes + 1)
  view<token_t const, S, 1> token;       ///< (nodes): the token on the edge to the node
};

/// One step's candidates: every allowed child of every beam. Users' beams lie side by side.
template <MemorySpace S, class T>
struct beam_candidates {
  view<T const, S, 2> logits;             ///< (rows, V)
  view<T const, S, 1> scores;             ///< (rows) Σ log p so far
  view<node_t const, S, 1> nodes;         ///< (rows)
  view<index_t const, S, 1> row_offsets;  ///< (users + 1)
  trie_view<S> trie;
  view<std::uint8_t const, S, 2> allowed = {};  ///< (users, nodes): 0 forbids; empty: everything is allowed
  bool over_children = false;  ///< log p normalised over the allowed children instead of the vocabulary
};

/// The best candidates of each user, best first; equal scores in the order of rows and children.
template <MemorySpace S, class T>
struct beam_choice {
  view<T, S, 2> scores;              ///< (users, beams)
  view<std::int32_t, S, 2> parents;  ///< (users, beams): row of the step before
  view<node_t, S, 2> nodes;          ///< (users, beams)
  view<index_t, S, 1> counts;        ///< (users): how many there are, at most beams
};

/// The rows of one step. Rows of a user lie side by side; places are their ancestors' in the cache, oldest first,
/// themselves last.
template <MemorySpace S, class T>
struct beam_rows {
  view<T, S, 1> scores;             ///< (most rows) Σ log p so far
  view<node_t, S, 1> nodes;         ///< (most rows)
  view<std::int32_t, S, 2> places;  ///< (most rows, levels + 1)
  view<token_t, S, 1> tokens;       ///< (most rows) what each row reads next
  view<index_t, S, 1> offsets;      ///< (users + 1)
};

}  // namespace mql4grec
