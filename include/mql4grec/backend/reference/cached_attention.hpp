#pragma once
// Attention over cached ancestors in a beam search; see cached_attention_inputs.
#include <cmath>

#include "mql4grec/backend/contract/beam.hpp"
#include "mql4grec/backend/reference/cross_entropy.hpp"

namespace mql4grec::reference {

/// Computes context (rows, heads·width) for one decoder step.
template <Real T>
void cached_attention(backend& b, cached_attention_inputs<host_space, T> const& in, out_matrix<backend, T> context) {
  index_t const inner = context.columns(), heads = in.bias.rows(), width = inner / heads, steps = in.places.columns();
  scratch_scope<backend> const scope(b.scratch());
  auto const weights = take<T>(b, steps);
  for (index_t i = 0; i < context.rows(); ++i)
    for (index_t h = 0; h < heads; ++h) {
      auto const at = [&](index_t step, index_t part, index_t c) {
        return in.cache(in.places(i, step), part * inner + h * width + c);
      };
      for (index_t s = 0; s < steps; ++s) {
        weights(s) = in.bias(h, s - (steps - 1) + in.zero_distance);
        for (index_t c = 0; c < width; ++c) weights(s) += in.q(i, h * width + c) * at(s, 0, c);
      }
      T const normaliser = detail::log_sum_exp_of<T>(weights);
      for (index_t c = 0; c < width; ++c) {
        T sum{};
        for (index_t s = 0; s < steps; ++s) sum += std::exp(weights(s) - normaliser) * at(s, 1, c);
        context(i, h * width + c) = sum;
      }
    }
}

}  // namespace mql4grec::reference
