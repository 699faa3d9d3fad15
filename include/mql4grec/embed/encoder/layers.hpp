#pragma once
// The parameters of a transformer layer, of any of the encoders. q, k and v are adjacent in the flat buffer, and so are
// the branches of a gated activation: each group is one matrix product.
#include <string>
#include <utility>
#include <vector>

#include "mql4grec/nn/dense.hpp"
#include "mql4grec/nn/parameters.hpp"

namespace mql4grec::embed {

/// The parameters of a norm.
template <class T, MemorySpace S>
struct norm_weights {
  view<T, S, 1> gain;  ///< (d)
  view<T, S, 1> bias;  ///< (d); empty for RMSNorm
};

/// The parameters of a transformer layer. A bias is empty where the model has none.
template <class T, MemorySpace S>
struct layer_weights {
  nn::dense_weights<T, S> qkv;                           ///< ((heads + 2·key heads)·head width, d)
  nn::dense_weights<T, S> output;                        ///< (d, heads·head width)
  nn::dense_weights<T, S> expand;                        ///< (branches·ff, d); gated: the gate, then the linear branch
  nn::dense_weights<T, S> contract;                      ///< (d, ff)
  norm_weights<T, S> attention_norm, feed_forward_norm;  ///< of the sublayers
};

/// Where a model's parameters have a bias.
enum class bias { absent, present };

namespace detail {

/// The names of a layer's parameters without ".weight" and ".bias", and their shapes.
struct layer_names {
  struct part {
    std::string name;
    index_t rows;
  };
  std::vector<part> qkv, expand;  ///< parts of a merged matrix
  std::string output, contract, attention_norm, feed_forward_norm;
  index_t width, context_width, inner_width;
  bias attention, feed_forward, norm;
};

/// Adds merged matrices, then their biases.
inline void add_dense(nn::parameter_layout& layout, std::vector<layer_names::part> const& parts, index_t columns,
                      bias has) {
  for (auto const& [name, rows] : parts) layout.add_matrix(name + ".weight", rows, columns);
  if (has == bias::present)
    for (auto const& [name, rows] : parts) layout.add_vector(name + ".bias", rows);
}
inline void add_norm(nn::parameter_layout& layout, std::string const& name, index_t width, bias has) {
  layout.add_vector(name + ".weight", width);
  if (has == bias::present) layout.add_vector(name + ".bias", width);
}
inline void add_layer(nn::parameter_layout& layout, layer_names const& n) {
  layout.align();
  add_dense(layout, n.qkv, n.width, n.attention);
  add_dense(layout, {{n.output, n.width}}, n.context_width, n.attention);
  layout.align();
  add_dense(layout, n.expand, n.width, n.feed_forward);
  add_dense(layout, {{n.contract, n.width}}, n.inner_width, n.feed_forward);
  add_norm(layout, n.attention_norm, n.width, n.norm);
  add_norm(layout, n.feed_forward_norm, n.width, n.norm);
}

/// The views of a flat buffer by the names of its layout.
template <class T, MemorySpace S>
class named_views {
 public:
  named_views(nn::parameter_layout const& layout, view<T, S, 1> flat) : layout_(layout), flat_(flat) {}

  view<T, S, 2> matrix(std::string const& name) const {
    auto const& p = layout_.find(name);
    return nn::matrix_at(flat_, p.offset, p.rows, p.columns);
  }
  view<T, S, 1> vector(std::string const& name) const {
    auto const& p = layout_.find(name);
    return flat_.part(p.offset, p.size());
  }
  norm_weights<T, S> norm(std::string const& name, bias has) const {
    return {vector(name + ".weight"), has == bias::present ? vector(name + ".bias") : view<T, S, 1>{}};
  }
  layer_weights<T, S> layer(layer_names const& n) const {
    return {.qkv = dense(n.qkv, n.width, n.attention),
            .output = dense({{n.output, n.width}}, n.context_width, n.attention),
            .expand = dense(n.expand, n.width, n.feed_forward),
            .contract = dense({{n.contract, n.width}}, n.inner_width, n.feed_forward),
            .attention_norm = norm(n.attention_norm, n.norm),
            .feed_forward_norm = norm(n.feed_forward_norm, n.norm)};
  }

 private:
  nn::dense_weights<T, S> dense(std::vector<layer_names::part> const& parts, index_t columns, bias has) const {
    index_t rows = 0;
    for (auto const& part : parts) rows += part.rows;
    auto const& first = parts.front().name;
    nn::dense_weights<T, S> merged{
        .weight = nn::matrix_at(flat_, layout_.find(first + ".weight").offset, rows, columns), .bias = {}};
    if (has == bias::present) merged.bias = flat_.part(layout_.find(first + ".bias").offset, rows);
    return merged;
  }

  nn::parameter_layout const& layout_;
  view<T, S, 1> flat_;
};

}  // namespace detail

/// Configuration and parameters of an encoder on a backend. `layout_of(config)` and `views_of(config, views)` describe
/// the parameters; each encoder declares them with its weights.
template <Backend B, class T, class Config, template <class, MemorySpace> class Weights>
class encoder_model {
 public:
  /// The memory space of the parameters.
  using space = typename B::memory_space;

  /// Allocates the parameters and sets them to zero; read_bert() and the like fill them. Throws error if the
  /// configuration is invalid.
  encoder_model(B& backend, Config const& config)
      : config_(config),
        layout_(layout_of((validate(config), config))),
        values_(backend.template allocate<T>(layout_.size())),
        weights_(views_of(config_, detail::named_views<T const, space>(layout_, std::as_const(values_).view_all()))) {}

  /// The configuration.
  Config const& config() const { return config_; }
  /// The names, shapes and offsets of the parameters.
  nn::parameter_layout const& layout() const { return layout_; }
  /// All parameters as one vector.
  view<T, space, 1> parameters() { return values_.view_all(); }
  /// All parameters as one vector.
  view<T const, space, 1> parameters() const { return values_.view_all(); }
  /// The parameters as views, by layer.
  Weights<T const, space> const& weights() const { return weights_; }

 private:
  Config config_;
  nn::parameter_layout layout_;
  buffer<T, space> values_;
  Weights<T const, space> weights_;
};

}  // namespace mql4grec::embed
