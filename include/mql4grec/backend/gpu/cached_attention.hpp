#pragma once
#include "mql4grec/backend/beam.hpp"
#include "mql4grec/backend/gpu/cross_entropy.hpp"

namespace mql4grec::gpu {

namespace detail {

/// One head of one row; `scores` (rows, heads·steps) is scratch.
template <class System, Real T>
struct attend_to_cache {
  cached_attention_inputs<device_space<System>, T> in;
  view<T, device_space<System>, 2> scores, context;

  MQL4GREC_HD void operator()(index_t i, index_t head) const {
    index_t const inner = context.columns(), width = inner / in.bias.rows(), steps = in.places.columns(), column = head * width;
    T* const weights = scores.row(i).data + head * steps;
    for (index_t s = 0; s < steps; ++s) {
      weights[s] = in.bias(head, s - (steps - 1) + in.zero_distance);
      for (index_t c = 0; c < width; ++c) weights[s] += in.q(i, column + c) * in.cache(in.places(i, s), column + c);
    }
    T const normaliser = log_sum_exp_of<T>(weights, steps);
    for (index_t c = 0; c < width; ++c) {
      T sum{};
      for (index_t s = 0; s < steps; ++s) sum += std::exp(weights[s] - normaliser) * in.cache(in.places(i, s), inner + column + c);
      context(i, column + c) = sum;
    }
  }
};

}  // namespace detail

// -> context (rows, inner)
template <Real T, class System>
void cached_attention(backend<System>& b, cached_attention_inputs<device_space<System>, T> const& in, out_matrix<backend<System>, T> context) {
  scratch_scope<backend<System>> const scope(b.scratch());
  index_t const heads = in.bias.rows();
  auto const scores = b.scratch().template take<T>(context.rows(), heads * in.places.columns());
  detail::for_each_entry(b, context.rows(), heads, detail::attend_to_cache<System, T>{in, scores, context});
}

}  // namespace mql4grec::gpu
