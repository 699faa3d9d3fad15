#pragma once
// Packed sequences of tokens in a backend's memory: all tokens in one array without padding, and the offset of each
// sequence.
#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/core/ids.hpp"

namespace mql4grec {
inline namespace contract {

/// Sequence s consists of the tokens offsets(s) … offsets(s+1)−1. T is token_t or token_t const.
template <MemorySpace S, class T = token_t>
struct packed_tokens {
  /// Offsets are const when tokens are.
  using offset = std::conditional_t<std::is_const_v<T>, index_t const, index_t>;

  view<T, S, 1> tokens;        ///< (all tokens)
  view<offset, S, 1> offsets;  ///< (sequences + 1)

  /// The number of sequences.
  MQL4GREC_HD index_t sequences() const { return offsets.size() - 1; }
};

/// The operations that building a batch requires of a backend: gathering sequences by number, and shifting targets to
/// the right to obtain the decoder's inputs.
template <class B>
concept PackingOps = Backend<B> &&
    requires(B& b, packed_tokens<typename B::memory_space, token_t const> from, in_vector<B, index_t> which,
             packed_tokens<typename B::memory_space> to, in_vector<B, token_t> tokens, out_vector<B, token_t> shifted) {
  gather_sequences(b, from, which, token_t{}, to);
  shift_right(b, tokens, which, token_t{}, shifted);
};

}  // namespace contract
}  // namespace mql4grec
