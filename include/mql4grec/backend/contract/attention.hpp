#pragma once
#include <cstddef>

#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/backend/contract/dropout.hpp"

namespace mql4grec {

/// What a backend works out once for all attentions over the same sequences, in a form of its own; see
/// nn::make_attention_plan.
template <MemorySpace S>
struct attention_plan {
  view<std::byte const, S, 1> forward = {}, backward = {};
};

/// What attention reads. Sequences are packed: sequence s has the queries query_offsets(s) … query_offsets(s+1)−1
/// and the keys key_offsets(s) … key_offsets(s+1)−1; nothing attends across sequences. T5's scores are not scaled.
template <MemorySpace S, class T>
struct attention_inputs {
  view<T const, S, 2> q;                                 ///< (query tokens, heads·width)
  view<T const, S, 2> k, v;                              ///< (key tokens, heads·width)
  view<index_t const, S, 1> query_offsets, key_offsets;  ///< (sequences + 1)
  index_t heads = 1;
  /// (heads, distances): what is added to the score of query i and key j stands in column j − i + zero_distance.
  /// Looked up, never spread out to queries × keys. Empty: no bias.
  view<T const, S, 2> bias = {};
  index_t zero_distance = 0;
  bool causal = false;  ///< a query sees the keys up to its own place only
  dropout drop = {};    ///< of the weights; its row is the query token, its column head · keys + key
  /// What `pack_keys` made of k, for keys that many calls attend to; or empty.
  view<T const, S, 1> packed_keys = {};
  attention_plan<S> plan = {};  ///< of these offsets and heads; or empty

  MQL4GREC_HD constexpr index_t sequences() const { return query_offsets.size() - 1; }
  MQL4GREC_HD constexpr index_t width() const { return q.columns() / heads; }
};

/// The gradients. dq, dk, dv are overwritten, dbias (like bias, empty when there is none) is accumulated.
template <MemorySpace S, class T>
struct attention_gradients {
  view<T, S, 2> dq, dk, dv;
  view<T, S, 2> dbias = {};
};

}  // namespace mql4grec
