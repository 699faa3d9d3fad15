#pragma once
// The configuration of an RQ-VAE.
#include <vector>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::quantize {

/// The levels whose commitment loss β · ‖sg[v] − r‖² has a gradient with respect to the encoder.
enum class commitment {
  first_level,  ///< as in the released code, whose straight-through residuals have no gradient past level 0
  all_levels    ///< as in the formula: every residual is z minus constants
};

/// The shape of a residual-quantized autoencoder and the weights of its losses. The defaults are the paper's (Section
/// 4.1, released code).
struct rq_vae_config {
  index_t input_width = 0;  ///< d_in, the width of the features; must be set
  /// Widths of the encoder's hidden layers; the decoder has them in reverse order.
  std::vector<index_t> hidden = {2048, 1024, 512, 256, 128, 64};
  index_t latent_width = 32;                          ///< width of latents and code vectors
  std::vector<index_t> codes = {256, 256, 256, 256};  ///< K of each level
  double quant_weight = 1;                            ///< factor of the codebook and commitment losses
  double beta = 0.25;                                 ///< factor of the commitment loss within them
  commitment commit = commitment::first_level;        ///< see commitment

  /// L, the number of codebooks.
  index_t levels() const { return std::ssize(codes); }
  /// The widths of all layers of the encoder: d_in, the hidden widths, the latent width.
  std::vector<index_t> widths() const {
    std::vector<index_t> all = {input_width};
    all.insert(all.end(), hidden.begin(), hidden.end());
    all.push_back(latent_width);
    return all;
  }
  bool operator==(rq_vae_config const&) const = default;
};

/// Throws error for a configuration out of range.
inline void validate(rq_vae_config const& c) {
  constexpr index_t most = index_t{1} << 20;  // limits the memory that a damaged file can request
  for (auto const width : c.widths())
    expects(width >= 1 && width <= most, "RQ-VAE: a layer of width ", width, ", expected 1 to ", most);
  // One letter per level.
  expects(c.levels() >= 1 && c.levels() <= 26, "RQ-VAE: ", c.levels(), " levels, expected 1 to 26");
  for (auto const k : c.codes) expects(k >= 1 && k <= most, "RQ-VAE: a level of ", k, " codes, expected 1 to ", most);
  expects(c.quant_weight >= 0 && c.beta >= 0, "RQ-VAE: quant_weight ", c.quant_weight, " and beta ", c.beta,
          ", expected at least 0");
}

}  // namespace mql4grec::quantize
