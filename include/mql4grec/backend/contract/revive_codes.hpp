#pragma once
// The operands of revive_codes, which moves the codes of a codebook that no row has needed for a while.
#include <cstdint>

#include "mql4grec/backend/contract/adamw.hpp"
#include "mql4grec/core/ids.hpp"

namespace mql4grec {
inline namespace contract {

/// A batch at a level of a residual quantizer; (n, width) and (n), and (1).
template <MemorySpace S, class T>
struct level_batch {
  view<code_t const, S, 1> nearest;      ///< the nearest code of each row
  view<T const, S, 2> before;            ///< the rows as the level gets them
  view<T const, S, 2> after;             ///< what is left of them after it
  view<step_report const, S, 1> report;  ///< of the batch's update; when it isn't finite, nothing changes
};

/// The codes of a level while they are trained; (K, width) and (K).
template <MemorySpace S, class T>
struct trained_codes {
  view<T, S, 2> vectors;                        ///< what rows are quantized to
  view<T, S, 2> first_moments, second_moments;  ///< of their gradients
  view<std::int32_t, S, 1> idle;                ///< batches since a code was last the nearest of any row
};

}  // namespace contract
}  // namespace mql4grec
