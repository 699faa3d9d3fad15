#pragma once
// What the recipes of docs/cookbook.md share: a small synthetic shop as a dataset, and a small model.
#include "mql4grec/catalog/synthetic.hpp"
#include "mql4grec/mql4grec.hpp"

namespace mql4grec::test {

inline vocabulary const& shop_vocabulary() {
  static vocabulary const small({.modalities = {{"a", {16, 16, 16, 16}}, {"A", {16, 16, 16, 16}}}});
  return small;
}

inline dataset shop_dataset() {
  auto const& vocab = shop_vocabulary();
  // example-begin dataset
  auto const shop = catalog::make_synthetic_dataset({.items = 100, .users = 100}, 0);
  dataset data{.interactions = shop.interactions, .items = shop.items, .name = shop.name};
  data.tokens.push_back(to_tokens(view_of(shop.codes[0]), vocab, modality::text));
  data.tokens.push_back(to_tokens(view_of(shop.codes[1]), vocab, modality::image));
  // example-end dataset
  return data;
}

/// A model that is trained within a second. The defaults are the paper's.
inline t5_config small_shape(vocabulary const& vocab) {
  // example-begin shape
  t5_config const shape{.vocabulary = vocab.size(),
                        .model_width = 16,
                        .head_width = 8,
                        .heads = 2,
                        .inner_width = 32,
                        .encoder_layers = 1,
                        .decoder_layers = 1};
  // example-end shape
  return shape;
}

inline t5<cpu::backend, float> untrained_model(cpu::backend& backend) {
  t5<cpu::backend, float> model(backend, small_shape(shop_vocabulary()));
  initialize(model, 42);
  return model;
}

}  // namespace mql4grec::test
