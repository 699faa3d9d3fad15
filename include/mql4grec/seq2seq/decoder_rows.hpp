#pragma once
#include <cstdint>

#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/core/ids.hpp"

namespace mql4grec {

/// The rows of one decoder step.
template <class B>
struct decoder_rows {
  in_vector<B, token_t> tokens;         ///< (rows) what each row read last; <pad> in the first step
  in_matrix<B, std::int32_t> places;    ///< (rows, steps so far) the row's ancestors in the cache, itself last
  in_vector<B, index_t> query_offsets;  ///< (queries + 1): the rows of a query lie side by side
};

}  // namespace mql4grec
