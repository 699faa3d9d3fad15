#pragma once
// Builds batches of packed sequences.
#include "mql4grec/backend/contract/packed_tokens.hpp"
#include "mql4grec/backend/reference/backend.hpp"

namespace mql4grec::reference {

/// to = the sequences of `from` with the numbers `which`, in that order. `to` may have more sequences than that: its
/// remaining rows are divided evenly among the additional sequences, and contain `filler`.
inline void gather_sequences(backend&, packed_tokens<host_space, token_t const> from, in_vector<backend, index_t> which,
                             token_t filler, packed_tokens<host_space> to) {
  index_t const fillers = to.sequences() - which.size();
  to.offsets(0) = 0;
  for (index_t s = 0; s < which.size(); ++s) {
    index_t const begin = from.offsets(which(s)), length = from.offsets(which(s) + 1) - begin;
    for (index_t i = 0; i < length; ++i) to.tokens(to.offsets(s) + i) = from.tokens(begin + i);
    to.offsets(s + 1) = to.offsets(s) + length;
  }
  index_t const used = to.offsets(which.size()), left = to.tokens.size() - used;
  for (index_t f = 0; f < fillers; ++f) to.offsets(which.size() + f + 1) = used + left * (f + 1) / fillers;
  for (index_t i = used; i < to.tokens.size(); ++i) to.tokens(i) = filler;
}

/// shifted = tokens moved one position to the right within each sequence. Every sequence begins with `first`, which
/// also replaces no_target (T5's _shift_right).
inline void shift_right(backend&, in_vector<backend, token_t> tokens, in_vector<backend, index_t> offsets,
                        token_t first, out_vector<backend, token_t> shifted) {
  for (index_t s = 0; s + 1 < offsets.size(); ++s)
    for (index_t i = offsets(s); i < offsets(s + 1); ++i)
      shifted(i) = i == offsets(s) || tokens(i - 1) == no_target ? first : tokens(i - 1);
}

}  // namespace mql4grec::reference
