#pragma once
// Inputs and gradients of attention over packed sequences. The defaults are T5's: scores are not divided by √width, and
// every head has keys and values of its own.
#include <cstddef>

#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/backend/contract/dropout.hpp"

namespace mql4grec {
inline namespace contract {

/// The packed sequences that attentions share, and their number of heads.
template <MemorySpace S>
struct attention_sequences {
  view<index_t const, S, 1> query_offsets, key_offsets;  ///< (sequences + 1), as attention_inputs
  index_t heads = 1;                                     ///< as attention_inputs::heads
  index_t queries = 0;                                   ///< the number of query rows of all sequences

  /// The number of sequences.
  constexpr index_t sequences() const { return query_offsets.size() - 1; }
};

/// The passes that a plan is for.
enum class attention_passes { forward, forward_and_backward };

/// What a backend computes once for all attentions over the same offsets, in a format of its own; see
/// nn::make_attention_plan. Empty where the backend needs no plan.
template <MemorySpace S>
struct attention_plan {
  /// What the forward and the backward pass read; `backward` is empty unless it was requested.
  view<std::byte const, S, 1> forward = {}, backward = {};
};

/// The inputs of attention. Sequences are packed: sequence s has the queries query_offsets(s) … query_offsets(s+1)−1
/// and the keys key_offsets(s) … key_offsets(s+1)−1. A query attends to keys of its own sequence only.
template <MemorySpace S, class T>
struct attention_inputs {
  view<T const, S, 2> q;                                 ///< (query tokens, heads·width)
  view<T const, S, 2> k, v;                              ///< (key tokens, heads/group·width)
  view<index_t const, S, 1> query_offsets, key_offsets;  ///< (sequences + 1)
  index_t heads = 1;                                     ///< the columns of q are divided evenly among the heads
  /// The number of consecutive heads that share a head of k and v (grouped-query attention, Ainslie et al. 2023); a
  /// divisor of `heads`. Forward pass only, unless it is 1.
  index_t group = 1;
  double scale = 1;  ///< factor of q·k, such as 1/√width; T5 has none. Forward pass only, unless it is 1.
  /// (heads, distances). Column j − i + zero_distance is added to the score of query i and key j. The bias is looked up
  /// by distance; no queries × keys tensor is stored. Empty: no bias.
  view<T const, S, 2> bias = {};
  index_t zero_distance = 0;  ///< the column of `bias` for a query and a key at the same position
  bool causal = false;        ///< a query attends only to keys up to its own position
  dropout drop = {};          ///< dropout of the attention weights: row = query token, column = head · keys + key
  /// The result of `pack_keys` for k and its heads/group heads, useful when many calls attend to the same keys. Empty:
  /// k is read as it is.
  view<T const, S, 1> packed_keys = {};
  attention_plan<S> plan = {};  ///< the plan of these offsets and heads; or empty
  bool keeps_weights =
      true;  ///< false: no backward pass follows, and the weights' memory may contain anything afterwards

  /// The number of sequences.
  MQL4GREC_HD constexpr index_t sequences() const { return query_offsets.size() - 1; }
  /// The number of columns of one head.
  MQL4GREC_HD constexpr index_t width() const { return q.columns() / heads; }
};

/// The gradients of attention's inputs. dq, dk and dv are overwritten; dbias is accumulated (like `bias`, it is empty
/// when there is none).
template <MemorySpace S, class T>
struct attention_gradients {
  view<T, S, 2> dq, dk, dv;  ///< shapes of q, k and v
  view<T, S, 2> dbias = {};  ///< (heads, distances)
};

}  // namespace contract
}  // namespace mql4grec
