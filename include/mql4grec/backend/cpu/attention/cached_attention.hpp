#pragma once
// Attention over cached ancestors in a beam search, for float.
#include "mql4grec/backend/cpu/operations.hpp"
#include "mql4grec/backend/cpu/primitives/math.hpp"

namespace mql4grec::cpu {

namespace detail {

/// Up to `lanes` heads of a row are processed together, each in a lane of its own: the softmax over a handful of steps
/// is then vectorized, and the cache rows are read as they lie in memory.
struct cached_attention_kernel {
  static constexpr index_t max_steps = 64;  // more than any item has levels; the caller checks it

  using head_weights = float[max_steps][lanes];  // column = head

  MQL4GREC_INLINE static void softmax(head_weights& weights, index_t steps) {
    float shift[lanes], sum[lanes];
    for (index_t l = 0; l < lanes; ++l) {
      shift[l] = weights[0][l];
      sum[l] = 0.f;
    }
    for (index_t s = 1; s < steps; ++s)
      for (index_t l = 0; l < lanes; ++l) shift[l] = weights[s][l] > shift[l] ? weights[s][l] : shift[l];
    for (index_t s = 0; s < steps; ++s)
      for (index_t l = 0; l < lanes; ++l) sum[l] += weights[s][l] = exp_approximate(weights[s][l] - shift[l]);
    for (index_t s = 0; s < steps; ++s)
      for (index_t l = 0; l < lanes; ++l) weights[s][l] /= sum[l];
  }

  /// to (width) = Σ over steps of weight · value
  MQL4GREC_INLINE static void add_values(head_weights const& weights, index_t head, float const* values, index_t stride,
                                         std::int32_t const* places, index_t steps, float* to, index_t width) {
    index_t c = 0;
    for (; c + lanes <= width; c += lanes) {
      float part[lanes] = {};
      for (index_t s = 0; s < steps; ++s)
        for (index_t l = 0; l < lanes; ++l) part[l] += weights[s][head] * values[places[s] * stride + c + l];
      for (index_t l = 0; l < lanes; ++l) to[c + l] = part[l];
    }
    for (; c < width; ++c) {
      to[c] = 0.f;
      for (index_t s = 0; s < steps; ++s) to[c] += weights[s][head] * values[places[s] * stride + c];
    }
  }

  MQL4GREC_INLINE static void run(cached_attention_inputs<host_space, float> const& in, out_matrix<backend, float> to) {
    float const *q = in.q.data, *const cache = in.cache.data, *const bias = in.bias.data + in.zero_distance;
    std::int32_t const* places = in.places.data;
    float* context = to.data;
    index_t const q_stride = in.q.stride, cache_stride = in.cache.stride, places_stride = in.places.stride,
                  bias_stride = in.bias.stride, context_stride = to.stride;
    index_t const steps = in.places.columns(), rows = to.rows(), heads = in.bias.rows(), inner = to.columns(),
                  width = inner / heads;
    head_weights weights = {};
    for (index_t i = 0; i < rows; ++i, q += q_stride, places += places_stride, context += context_stride)
      for (index_t first = 0; first < heads; first += lanes) {
        index_t const some = heads - first < lanes ? heads - first : lanes;
        for (index_t s = 0; s < steps; ++s) {
          float const* const key = cache + places[s] * cache_stride;
          // of the next row, while this one is computed: the cache exceeds the processor's caches
          float const* const next = cache + places[i + 1 < rows ? places_stride + s : s] * cache_stride;
          for (index_t h = first; h < first + some; ++h) {
            weights[s][h - first] =
                dot(q + h * width, key + h * width, width) + bias[h * bias_stride + s - (steps - 1)];
            for (index_t c = 0; c < width; c += lanes) {
              __builtin_prefetch(next + h * width + c);
              __builtin_prefetch(next + inner + h * width + c);
            }
          }
        }
        softmax(weights, steps);
        for (index_t h = first; h < first + some; ++h)
          add_values(weights, h - first, cache + inner + h * width, cache_stride, places, steps, context + h * width,
                     width);
      }
  }
};

}  // namespace detail

template <std::same_as<float> T>
void cached_attention(backend& b, cached_attention_inputs<host_space, T> const& in, out_matrix<backend, T> context) {
  if (in.places.columns() > detail::cached_attention_kernel::max_steps)
    return reference::cached_attention<T>(b, in, context);
  dispatch<detail::cached_attention_kernel>(in, context);
}

}  // namespace mql4grec::cpu
