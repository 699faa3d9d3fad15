#pragma once
// The operands of a decoding that the search passes to the model. `places` are rows of the key/value cache, not
// positions in a sequence.
#include <cstdint>

#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/core/ids.hpp"

namespace mql4grec::seq2seq {

/// The size of a decoding's key/value cache.
struct decoder_capacity {
  index_t rows;   ///< rows of all steps
  index_t steps;  ///< the largest number of steps
};

/// The rows of one decoder step; one row per beam.
template <class B>
struct decoder_rows {
  in_vector<B, token_t> tokens;       ///< (rows) the token that each row reads; <pad> in the first step
  in_matrix<B, std::int32_t> places;  ///< (rows, steps so far) the cache rows of each row's ancestors, its own last
  in_vector<B, index_t> query_offsets;  ///< (queries + 1) query q has the rows query_offsets(q) … query_offsets(q+1)−1
};

}  // namespace mql4grec::seq2seq
