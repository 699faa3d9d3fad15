#pragma once
// The parameters of a SASRec: their order in the flat buffer, their names in files, and the views that the layers use.
// q, k and v of a layer are adjacent and form one matrix. Training states store the flat buffer, so its order is part
// of their format.
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "mql4grec/backend/contract/transfer.hpp"
#include "mql4grec/core/random.hpp"
#include "mql4grec/nn/parameters.hpp"
#include "mql4grec/sasrec/config.hpp"

namespace mql4grec::sasrec {

/// Views into a flat buffer with the layout of sasrec_layout: of parameters (T const) or of their gradients (T). d is
/// the width.
template <class T, MemorySpace S>
struct sasrec_weights {
  /// A view of a matrix.
  using matrix = view<T, S, 2>;
  /// A view of a vector.
  using vector = view<T, S, 1>;

  /// The parameters of one layer.
  struct layer {
    matrix qkv;                                ///< (3·d, d) q, k and v
    matrix output;                             ///< (d, d)
    matrix expand;                             ///< (inner, d)
    matrix contract;                           ///< (d, inner)
    vector attention_norm, feed_forward_norm;  ///< (d) gains
  };

  matrix items;               ///< (items, d) embeddings, and the output matrix
  matrix positions;           ///< (positions, d) embeddings; row 0 is the most recent item's
  std::vector<layer> layers;  ///< first to last
  vector norm;                ///< (d) gain of the final norm
};

/// The names and offsets of all parameters. Those with weight decay come first.
[[nodiscard]] inline nn::parameter_layout sasrec_layout(sasrec_config const& c) {
  nn::parameter_layout layout;
  auto const name = [](index_t l, char const* rest) { return "layers." + std::to_string(l) + "." + rest + ".weight"; };
  layout.add_matrix("item_embedding.weight", c.items, c.width);
  layout.align();
  layout.add_matrix("position_embedding.weight", c.positions, c.width);
  layout.begin_of_hidden();
  for (index_t l = 0; l < c.layers; ++l) {
    for (char const* part : {"attention.query", "attention.key", "attention.value", "attention.output"})
      layout.add_matrix(name(l, part), c.width, c.width);
    layout.add_matrix(name(l, "feed_forward.expand"), c.inner_width, c.width);
    layout.add_matrix(name(l, "feed_forward.contract"), c.width, c.inner_width);
    layout.align();
  }
  layout.end_of_decayed();
  for (index_t l = 0; l < c.layers; ++l)
    for (char const* part : {"attention_norm", "feed_forward_norm"}) layout.add_vector(name(l, part), c.width);
  layout.add_vector("norm.weight", c.width);
  return layout;
}

/// The views of a buffer with the layout of sasrec_layout(c).
template <class T, MemorySpace S>
[[nodiscard]] sasrec_weights<T, S> sasrec_windows(sasrec_config const& c, nn::parameter_layout const& layout,
                                                  view<T, S, 1> flat) {
  auto const matrix = [&](std::string const& name, index_t rows, index_t columns) {
    return nn::matrix_at(flat, layout.find(name + ".weight").offset, rows, columns);
  };
  auto const vector = [&](std::string const& name) { return flat.part(layout.find(name + ".weight").offset, c.width); };
  sasrec_weights<T, S> w;
  w.items = matrix("item_embedding", c.items, c.width);
  w.positions = matrix("position_embedding", c.positions, c.width);
  for (index_t l = 0; l < c.layers; ++l) {
    auto const at = "layers." + std::to_string(l) + ".";
    w.layers.push_back({.qkv = matrix(at + "attention.query", 3 * c.width, c.width),
                        .output = matrix(at + "attention.output", c.width, c.width),
                        .expand = matrix(at + "feed_forward.expand", c.inner_width, c.width),
                        .contract = matrix(at + "feed_forward.contract", c.width, c.inner_width),
                        .attention_norm = vector(at + "attention_norm"),
                        .feed_forward_norm = vector(at + "feed_forward_norm")});
  }
  w.norm = vector("norm");
  return w;
}

/// A SASRec on a backend: configuration and parameters.
template <Backend B, class T>
class sasrec_model {
 public:
  /// The memory space of the parameters.
  using space = typename B::memory_space;

  /// Allocates the parameters and sets them to zero; initialize() and read_model() fill them. Throws error if the
  /// configuration is invalid.
  sasrec_model(B& backend, sasrec_config const& config)
      : config_(config),
        layout_(sasrec_layout((validate(config), config))),
        values_(backend.template allocate<T>(layout_.size())),
        weights_(sasrec_windows(config_, layout_, view<T const, space, 1>(values_.view_all()))) {}

  /// The configuration.
  sasrec_config const& config() const { return config_; }
  /// The names, shapes and offsets of the parameters.
  nn::parameter_layout const& layout() const { return layout_; }
  /// All parameters as one vector.
  view<T, space, 1> parameters() { return values_.view_all(); }
  /// All parameters as one vector.
  view<T const, space, 1> parameters() const { return values_.view_all(); }
  /// The parameters as views, by layer.
  sasrec_weights<T const, space> const& weights() const { return weights_; }

 private:
  sasrec_config config_;
  nn::parameter_layout layout_;
  buffer<T, space> values_;
  sasrec_weights<T const, space> weights_;
};

/// Fills a model with random parameters: normal with the configuration's deviation, which is divided by √(head width)
/// for queries; gains are 1. Each parameter has its own stream of the seed. The numbers are drawn on the host, so every
/// backend starts from the same bits.
template <class B, class T>
void initialize(sasrec_model<B, T>& model, std::uint64_t seed) {
  auto const& c = model.config();
  auto const& entries = model.layout().entries();
  double const head_width = static_cast<double>(c.width / c.heads);
  fill(model.parameters(), [&](host_vector_view<T> flat) {
    for (std::size_t p = 0; p < entries.size(); ++p) {
      random_stream random(seed, 1 + p);
      double const deviation = c.deviation / (entries[p].name.ends_with("query.weight") ? std::sqrt(head_width) : 1);
      for (T& value : as_span(flat.part(entries[p].offset, entries[p].size())))
        value = entries[p].is_vector ? T(1) : static_cast<T>(deviation * random.normal());
    }
  });
}

}  // namespace mql4grec::sasrec
