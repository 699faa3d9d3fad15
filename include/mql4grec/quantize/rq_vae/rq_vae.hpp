#pragma once
// The parameters of a residual-quantized autoencoder: their order in the flat buffer, and their names, which are those
// of the released code's state dict. In that code, each layer is three modules (dropout, linear, activation), so the
// linear modules have the numbers 1, 4, 7, …
#include <cmath>
#include <string>

#include "mql4grec/core/random.hpp"
#include "mql4grec/nn/dense.hpp"
#include "mql4grec/nn/parameters.hpp"
#include "mql4grec/quantize/codebook/codebook.hpp"
#include "mql4grec/quantize/rq_vae/config.hpp"

namespace mql4grec::quantize {

/// Views of a flat buffer with the layout of rq_vae_layout(): of parameters (T const) or of their gradients (T).
template <class T, MemorySpace S>
struct rq_vae_weights {
  std::vector<nn::dense_weights<T, S>> encoder, decoder;  ///< (layers)
  std::vector<view<T, S, 2>> codebooks;                   ///< (levels) of (K, latent width)
};

namespace detail {
inline std::string layer_name(char const* stack, std::size_t layer) {
  return std::string(stack) + ".mlp_layers." + std::to_string(3 * layer + 1);
}
inline std::string codebook_name(std::size_t level) {
  return "rq.vq_layers." + std::to_string(level) + ".embedding.weight";
}

/// Calls visit(name, input width, output width) for each layer of a stack, "encoder" or "decoder".
template <class Visit>
void for_each_layer(rq_vae_config const& c, char const* stack, Visit&& visit) {
  auto widths = c.widths();
  if (std::string_view(stack) == "decoder") std::ranges::reverse(widths);
  for (std::size_t l = 0; l + 1 < widths.size(); ++l) visit(layer_name(stack, l), widths[l], widths[l + 1]);
}
}  // namespace detail

/// The names and offsets of all parameters. Weight decay applies to all of them.
[[nodiscard]] inline nn::parameter_layout rq_vae_layout(rq_vae_config const& c) {
  nn::parameter_layout layout;
  auto const dense = [&](std::string const& name, index_t in, index_t out) {
    layout.add_matrix(name + ".weight", out, in);
    layout.add_vector(name + ".bias", out);
    layout.align();
  };
  detail::for_each_layer(c, "encoder", dense);
  for (std::size_t l = 0; l < c.codes.size(); ++l)
    layout.add_matrix(detail::codebook_name(l), c.codes[l], c.latent_width);
  layout.align();
  detail::for_each_layer(c, "decoder", dense);
  layout.end_of_decayed();
  return layout;
}

/// The views of a buffer with the layout rq_vae_layout(c).
template <class T, MemorySpace S>
[[nodiscard]] rq_vae_weights<T, S> rq_vae_windows(rq_vae_config const& c, nn::parameter_layout const& layout,
                                                  view<T, S, 1> flat) {
  rq_vae_weights<T, S> w;
  auto const stack = [&](char const* name, auto& layers) {
    detail::for_each_layer(c, name, [&](std::string const& layer, index_t in, index_t out) {
      layers.push_back({nn::matrix_at(flat, layout.find(layer + ".weight").offset, out, in),
                        flat.part(layout.find(layer + ".bias").offset, out)});
    });
  };
  stack("encoder", w.encoder);
  stack("decoder", w.decoder);
  for (std::size_t l = 0; l < c.codes.size(); ++l)
    w.codebooks.push_back(
        nn::matrix_at(flat, layout.find(detail::codebook_name(l)).offset, c.codes[l], c.latent_width));
  return w;
}

/// A residual-quantized autoencoder (RQ-VAE) on a backend: its configuration and parameters. Const member functions may
/// be called from several threads at once.
template <Backend B, class T>
class rq_vae {
 public:
  /// The memory space of the parameters.
  using space = typename B::memory_space;

  /// All parameters are zero; see initialize() and read_rq_vae(). Throws error for an invalid configuration.
  rq_vae(B& backend, rq_vae_config const& config)
      : config_((validate(config), config)),
        layout_(rq_vae_layout(config_)),
        values_(backend.template allocate<T>(layout_.size())),
        weights_(rq_vae_windows(config_, layout_, view<T const, space, 1>(values_.view_all()))) {}

  /// The shape of the model and the weights of its losses.
  rq_vae_config const& config() const { return config_; }
  /// The width of the features, d_in.
  index_t input_width() const { return config_.input_width; }
  /// The width of latents and code vectors.
  index_t latent_width() const { return config_.latent_width; }
  /// The names and offsets of the parameters.
  nn::parameter_layout const& layout() const { return layout_; }
  /// All parameters in one flat buffer with the layout layout().
  view<T, space, 1> parameters() { return values_.view_all(); }
  /// All parameters in one flat buffer, const.
  view<T const, space, 1> parameters() const { return values_.view_all(); }
  /// The parameters by layer and level.
  rq_vae_weights<T const, space> const& weights() const { return weights_; }

  /// The vectors (K, latent width) of one level, writable.
  out_matrix<B, T> codebook(index_t level) {
    return nn::matrix_at(values_.view_all(), layout_.find(detail::codebook_name(to_size(level))).offset,
                         config_.codes[to_size(level)], config_.latent_width);
  }
  /// One view per level, the form in which quantizers accept codebooks. Valid as long as the model.
  std::vector<codebook_view<B, T>> codebooks() const {
    std::vector<codebook_view<B, T>> all;
    for (auto const vectors : weights_.codebooks) all.emplace_back(vectors);
    return all;
  }

 private:
  rq_vae_config config_;
  nn::parameter_layout layout_;
  buffer<T, space> values_;
  rq_vae_weights<T const, space> weights_;
};

/// Initialises the parameters as the released code does: Xavier-normal weights (variance 2 / (in + out)), zero biases,
/// and codebooks uniform in ±1/K until k-means replaces them. Random numbers are generated on the host, with one stream
/// of the seed per parameter.
template <class B, class T>
void initialize(rq_vae<B, T>& model, std::uint64_t seed) {
  auto const& entries = model.layout().entries();
  fill(model.parameters(), [&](host_vector_view<T> flat) {
    for (std::size_t p = 0; p < entries.size(); ++p) {
      auto const values = flat.part(entries[p].offset, entries[p].size());
      random_stream random(seed, 1 + p);
      if (entries[p].is_vector) {
        fill(values, T{});
      } else if (entries[p].name.starts_with("rq.")) {
        double const bound = 1.0 / static_cast<double>(entries[p].rows);
        for (index_t i = 0; i < values.size(); ++i) values(i) = static_cast<T>(bound * (2 * random.uniform() - 1));
      } else {
        double const deviation = std::sqrt(2.0 / static_cast<double>(entries[p].rows + entries[p].columns));
        for (index_t i = 0; i < values.size(); ++i) values(i) = static_cast<T>(deviation * random.normal());
      }
    }
  });
}

}  // namespace mql4grec::quantize
