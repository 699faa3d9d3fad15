#pragma once
// The input of one decoder step in a beam search. `places` are rows of the cache, not positions in a sequence.
#include <cstdint>

#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/core/ids.hpp"

namespace mql4grec {

/// The rows of one decoder step; one row per beam.
template <class B>
struct decoder_rows {
  in_vector<B, token_t> tokens;       ///< (rows) the token that each row reads; <pad> in the first step
  in_matrix<B, std::int32_t> places;  ///< (rows, steps so far) the cache rows of each row's ancestors, its own last
  in_vector<B, index_t> query_offsets;  ///< (queries + 1) query q has the rows query_offsets(q) … query_offsets(q+1)−1
};

}  // namespace mql4grec
