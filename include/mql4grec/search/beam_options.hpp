#pragma once
// The options of a beam search.
#include <algorithm>
#include <cmath>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::search {

/// The set of tokens over which the probabilities of a step are normalised.
enum class normalization {
  vocabulary,  ///< the whole vocabulary: the scores of transformers' generate() with prefix_allowed_tokens_fn
  children     ///< the allowed children of the beam's node: the scores form a distribution over items
};

/// The largest number of beams per query.
inline constexpr index_t max_beams = 4096;

/// Options of a beam search. The defaults give the scores of transformers' generate().
struct beam_options {
  index_t beams = 20;         ///< beams per query, 1 … 4096; also the maximum number of results per query
  double length_penalty = 1;  ///< scores are divided by length^penalty; the length includes </s> when it is scored
  normalization normalize = normalization::vocabulary;  ///< see normalization
  /// Whether the score includes the log-probability of the forced </s> after the last code. With
  /// normalization::children, </s> has probability 1 and adds 0.
  bool score_eos = true;
  index_t block_rows = 480;  ///< queries · beams that a worker computes at once

  bool operator==(beam_options const&) const = default;
};

/// The number of queries that a worker computes at once: a micro-batch.
[[nodiscard]] inline index_t queries_at_once(beam_options const& o) {
  return std::max<index_t>(1, o.block_rows / o.beams);
}

/// Throws error for options out of range.
inline void validate(beam_options const& o) {
  expects(o.beams >= 1 && o.beams <= max_beams, "beam search: ", o.beams, " beams, expected 1 to ", max_beams);
  expects(std::isfinite(o.length_penalty), "beam search: the length penalty isn't finite");
  expects(o.block_rows >= 1, "beam search: blocks of ", o.block_rows, " rows, expected at least 1");
}

}  // namespace mql4grec::search
