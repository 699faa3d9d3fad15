#pragma once
// Layer-wise learning rates: layers near the input, which are the most general ones, change least when a model is
// fine-tuned (Howard & Ruder, "Universal Language Model Fine-tuning for Text Classification", ACL 2018).
#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "mql4grec/nn/parameters.hpp"
#include "mql4grec/optim/adamw.hpp"
#include "mql4grec/seq2seq/config.hpp"

namespace mql4grec::seq2seq {

namespace detail {

/// The height of a parameter in the model, from 0.
inline index_t height_of(t5_config const& c, std::string const& name) {
  index_t const top = c.encoder_layers + c.decoder_layers + 1;
  auto const layer_in = [&](char const* stack, index_t below) {
    return below + 1 + std::atol(name.c_str() + std::string(stack).size());
  };
  if (name.starts_with("encoder.block.")) return layer_in("encoder.block.", 0);
  if (name.starts_with("decoder.block.")) return layer_in("decoder.block.", c.encoder_layers);
  if (name.starts_with("encoder.")) return c.encoder_layers;
  return name.starts_with("shared.") ? 0 : top;
}

}  // namespace detail

/// Factors of the learning rate for a layer decay in (0, 1], with the layers numbered as in BEiT (Bao et al., ICLR
/// 2022) through encoder and decoder: the embedding has height 0, layer l of the encoder 1 + l, layer l of the decoder
/// 1 + encoder layers + l, and the head one more than the last layer. A parameter of height h has the factor
/// decayᵗᵒᵖ⁻ʰ. The head is the decoder's final norm and the output matrix; a tied output matrix is the embedding.
/// Tables of relative positions belong to the layer 0 that their names contain, the encoder's final norm to its last
/// layer. Empty for a decay of 1.
[[nodiscard]] inline std::vector<optim::rate_segment> layer_rates(t5_config const& c,
                                                                  nn::parameter_layout const& layout, double decay) {
  std::vector<optim::rate_segment> rates;
  if (decay == 1) return rates;
  index_t const top = c.encoder_layers + c.decoder_layers + 1;
  for (auto const& p : layout.entries()) {
    double const factor = std::pow(decay, static_cast<double>(top - detail::height_of(c, p.name)));
    if (rates.empty() || rates.back().factor != factor) rates.push_back({.last = 0, .factor = factor});
    rates.back().last = p.offset + p.size();
  }
  rates.back().last = layout.size();
  return rates;
}

}  // namespace mql4grec::seq2seq
