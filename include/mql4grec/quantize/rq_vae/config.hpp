#pragma once
#include <vector>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec {

/// Which levels pull the encoder towards their vectors (β · ‖sg[v] − r‖²).
enum class commitment {
  first_level,  ///< as the released code: its straight-through residuals carry no gradient past the first level
  all_levels    ///< as the formula: every residual is z less constants
};

/// The shape of a residual-quantized autoencoder and the weights of its losses; the defaults are the paper's
/// (Section 4.1, released code).
struct rq_vae_config {
  index_t input_width = 0;                                        ///< d_in, of the features
  std::vector<index_t> hidden = {2048, 1024, 512, 256, 128, 64};  ///< the encoder's; the decoder's are these backwards
  index_t latent_width = 32;
  std::vector<index_t> codes = {256, 256, 256, 256};  ///< K of each level
  double quant_weight = 1;                            ///< of the codebook and commitment losses
  double beta = 0.25;                                 ///< of the commitment loss within them
  commitment commit = commitment::first_level;

  index_t levels() const { return std::ssize(codes); }
  /// d_in, the hidden widths, the latent width.
  std::vector<index_t> widths() const {
    std::vector<index_t> all = {input_width};
    all.insert(all.end(), hidden.begin(), hidden.end());
    all.push_back(latent_width);
    return all;
  }
  bool operator==(rq_vae_config const&) const = default;
};

inline void validate(rq_vae_config const& c) {
  constexpr index_t most = index_t{1} << 20;  // what a damaged file may ask for at most
  for (auto const width : c.widths())
    expects(width >= 1 && width <= most, "RQ-VAE: a layer of width ", width, ", expected 1 to ", most);
  expects(c.levels() >= 1 && c.levels() <= 26, "RQ-VAE: ", c.levels(), " levels, expected 1 to 26");  // a letter each
  for (auto const k : c.codes) expects(k >= 1 && k <= most, "RQ-VAE: a level of ", k, " codes, expected 1 to ", most);
  expects(c.quant_weight >= 0 && c.beta >= 0, "RQ-VAE: quant_weight ", c.quant_weight, " and beta ", c.beta,
          ", expected at least 0");
}

}  // namespace mql4grec
