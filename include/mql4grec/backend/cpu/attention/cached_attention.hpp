#pragma once
// Attention over cached ancestors in a beam search, for float.
#include "mql4grec/backend/cpu/operations.hpp"
#include "mql4grec/backend/cpu/primitives/math.hpp"

namespace mql4grec::cpu {

namespace detail {

struct cached_attention_kernel {
  static constexpr index_t max_steps = 64;  // more than any item has levels; the caller checks it

  /// Prefetches the cache rows that a head of the next row needs while the current row is computed: the key/value cache
  /// exceeds the processor's caches.
  MQL4GREC_INLINE static void prefetch(float const* head, index_t stride, std::int32_t const* places, index_t steps,
                                       index_t inner, index_t width) {
    for (index_t s = 0; s < steps; ++s)
      for (index_t c = 0; c < width; c += lanes) {
        __builtin_prefetch(head + places[s] * stride + c);
        __builtin_prefetch(head + places[s] * stride + inner + c);
      }
  }

  MQL4GREC_INLINE static void run(cached_attention_inputs<host_space, float> const& in, out_matrix<backend, float> to) {
    float const *q = in.q.data, *const cache = in.cache.data, *const bias = in.bias.data + in.zero_distance;
    std::int32_t const* places = in.places.data;
    float* context = to.data;
    index_t const q_stride = in.q.stride, cache_stride = in.cache.stride, places_stride = in.places.stride,
                  bias_stride = in.bias.stride, context_stride = to.stride;
    index_t const steps = in.places.columns(), rows = to.rows(), heads = in.bias.rows(), width = to.columns() / heads;
    float weights[max_steps];
    index_t const inner = heads * width;
    for (index_t i = 0; i < rows; ++i, q += q_stride, places += places_stride, context += context_stride)
      for (index_t h = 0; h < heads; ++h) {
        if (i + 1 < rows) prefetch(cache + h * width, cache_stride, places + places_stride, steps, inner, width);
        float shift = -3e38f, sum = 0;
        for (index_t s = 0; s < steps; ++s) {
          weights[s] = dot(q + h * width, cache + places[s] * cache_stride + h * width, width) +
                       bias[h * bias_stride + s - (steps - 1)];
          shift = weights[s] > shift ? weights[s] : shift;
        }
        for (index_t s = 0; s < steps; ++s) sum += weights[s] = exp_approximate(weights[s] - shift);
        float* const out = context + h * width;
        for (index_t c = 0; c < width; ++c) out[c] = 0.f;
        for (index_t s = 0; s < steps; ++s)
          add_scaled(weights[s] / sum, cache + places[s] * cache_stride + inner + h * width, out, width);
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
