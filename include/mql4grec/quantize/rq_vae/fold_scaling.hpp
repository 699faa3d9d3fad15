#pragma once
// Removes the need for feature scaling from a trained RQ-VAE.
#include "mql4grec/embed/features.hpp"
#include "mql4grec/quantize/rq_vae/rq_vae.hpp"

namespace mql4grec::quantize {

/// Changes a model that was trained on (x − mean) · scale into one that has the same codes for x itself and decodes to
/// the scale of x. The map is merged into the encoder's first layer, its inverse into the decoder's last layer. Host
/// models only. Throws error when the mean doesn't have the model's input width.
template <Backend B, class T>
  requires std::same_as<typename B::memory_space, host_space>
void fold_scaling(rq_vae<B, T>& model, embed::feature_scaling const& scaling) {
  auto const w = rq_vae_windows(model.config(), model.layout(), model.parameters());
  auto const& first = w.encoder.front();
  auto const& last = w.decoder.back();
  expects(std::ssize(scaling.mean) == first.weight.columns(), "scaling: a mean of ", scaling.mean.size(),
          " entries for features of ", first.weight.columns());
  double const scale = static_cast<double>(scaling.scale);
  auto const mean = [&](index_t j) { return static_cast<double>(scaling.mean[to_size(j)]); };
  for (index_t i = 0; i < first.weight.rows(); ++i) {  // W (s·x − s·m) + b = (s·W) x + (b − s·W·m)
    double shift = 0;
    for (index_t j = 0; j < first.weight.columns(); ++j) {
      double const scaled = scale * static_cast<double>(first.weight(i, j));
      shift += scaled * mean(j);
      first.weight(i, j) = static_cast<T>(scaled);
    }
    first.bias(i) = static_cast<T>(static_cast<double>(first.bias(i)) - shift);
  }
  for (index_t i = 0; i < last.weight.rows(); ++i) {  // (W h + b) / s + m
    for (index_t j = 0; j < last.weight.columns(); ++j)
      last.weight(i, j) = static_cast<T>(static_cast<double>(last.weight(i, j)) / scale);
    last.bias(i) = static_cast<T>(static_cast<double>(last.bias(i)) / scale + mean(i));
  }
}

}  // namespace mql4grec::quantize
