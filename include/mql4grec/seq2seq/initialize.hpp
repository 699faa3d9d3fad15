#pragma once
// Random parameters for a new T5, with the distributions of transformers. The numbers are drawn on the host, so every
// backend starts from the same bits.
#include <cmath>
#include <string_view>

#include "mql4grec/backend/contract/transfer.hpp"
#include "mql4grec/core/random.hpp"
#include "mql4grec/seq2seq/t5.hpp"

namespace mql4grec::seq2seq {

/// The standard deviation of a parameter's initial values in transformers' T5 (T5PreTrainedModel._init_weights). `name`
/// is the tensor's name. Norm gains are not drawn; they start at 1.
inline double initial_deviation(t5_config const& c, std::string_view name) {
  double const d = static_cast<double>(c.model_width), inner = static_cast<double>(c.attention_width());
  auto const ends = [&](std::string_view suffix) { return name.ends_with(suffix); };
  if (name == "shared.weight" || name == "lm_head.weight") return c.initializer_factor;
  if (ends("Attention.q.weight")) return c.initializer_factor / std::sqrt(d * static_cast<double>(c.head_width));
  if (ends("Attention.o.weight")) return c.initializer_factor / std::sqrt(inner);
  if (ends("DenseReluDense.wo.weight")) return c.initializer_factor / std::sqrt(static_cast<double>(c.inner_width));
  return c.initializer_factor / std::sqrt(d);  // k, v, wi, wi_0, wi_1, relative_attention_bias
}

/// Fills a model with random parameters. Each parameter has its own stream of the seed, so its values don't depend on
/// other parameters.
template <class B, class T>
void initialize(t5<B, T>& model, std::uint64_t seed) {
  auto const& entries = model.layout().entries();
  fill(model.parameters(), [&](host_vector_view<T> flat) {
    for (std::size_t p = 0; p < entries.size(); ++p) {
      auto const values = flat.part(entries[p].offset, entries[p].size());
      random_stream random(seed, 1 + p);
      double const deviation = entries[p].is_vector ? 0 : initial_deviation(model.config(), entries[p].name);
      for (index_t i = 0; i < values.size(); ++i)
        values(i) = entries[p].is_vector ? T(1) : static_cast<T>(deviation * random.normal());
    }
  });
}

}  // namespace mql4grec::seq2seq
