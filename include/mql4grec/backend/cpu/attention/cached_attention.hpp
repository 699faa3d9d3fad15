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

  MQL4GREC_INLINE static void run(float const* q, index_t q_stride, float const* cache, index_t cache_stride,
                                  std::int32_t const* places, index_t places_stride, index_t steps, float const* bias,
                                  index_t bias_stride, float* context, index_t context_stride, index_t rows,
                                  index_t heads, index_t width) {
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
  index_t const heads = in.bias.rows(), steps = in.places.columns();
  if (steps > detail::cached_attention_kernel::max_steps) return reference::cached_attention<T>(b, in, context);
  dispatch<detail::cached_attention_kernel>(in.q.data, in.q.stride, in.cache.data, in.cache.stride, in.places.data,
                                            in.places.stride, steps, in.bias.data + in.zero_distance, in.bias.stride,
                                            context.data, context.stride, context.rows(), heads,
                                            context.columns() / heads);
}

}  // namespace mql4grec::cpu
