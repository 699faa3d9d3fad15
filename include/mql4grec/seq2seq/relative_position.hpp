#pragma once
// T5's relative position bias depends only on the distance between query and key. Attention therefore looks it up in a
// table with one column per distance. A distance is key − query, so keys before the query have negative distances.
#include <algorithm>
#include <cmath>

#include "mql4grec/core/view.hpp"
#include "mql4grec/seq2seq/config.hpp"

namespace mql4grec::seq2seq {

/// Which keys an attention sees: all of a sequence (encoder), or those up to the query's position (decoder).
enum class attention_direction { bidirectional, causal };

/// The bucket of a distance, as T5's _relative_position_bucket: exact for small distances, then logarithmic; the last
/// bucket contains all distances from max_distance on. With attention_direction::bidirectional, the second half of the
/// buckets is for keys after the query.
inline index_t relative_position_bucket(index_t key_minus_query, attention_direction direction, index_t buckets,
                                        index_t max_distance) {
  index_t bucket = 0, distance = -key_minus_query;
  if (direction == attention_direction::bidirectional) {
    buckets /= 2;
    if (key_minus_query > 0) bucket += buckets;
    distance = std::abs(distance);
  } else {
    distance = std::max<index_t>(distance, 0);
  }
  index_t const exact = buckets / 2;
  if (distance < exact) return bucket + distance;
  // in float, as in transformers: a distance on a border must fall to the same side
  float const steps = std::log(static_cast<float>(distance) / static_cast<float>(exact)) /
                      static_cast<float>(std::log(static_cast<double>(max_distance) / static_cast<double>(exact))) *
                      static_cast<float>(buckets - exact);
  return bucket + std::min(exact + static_cast<index_t>(steps), buckets - 1);
}

/// Writes buckets (2·longest − 1): the buckets of the distances −(longest−1) … longest−1. Distance 0 is at index
/// longest−1.
inline void distance_buckets(attention_direction direction, t5_config const& c, host_vector_view<index_t> buckets) {
  index_t const zero = buckets.size() / 2;
  for (index_t i = 0; i < buckets.size(); ++i)
    buckets(i) = relative_position_bucket(i - zero, direction, c.buckets, c.max_distance);
}

}  // namespace mql4grec::seq2seq
