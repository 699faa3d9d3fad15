#include "mql4grec/seq2seq/layer_rates.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <map>

#include "mql4grec/seq2seq/learner.hpp"
#include "support/backends.hpp"
#include "support/small_t5.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
/// The factor of every parameter.
std::map<std::string, double> factors(seq2seq::t5_config const& c, double decay) {
  auto const layout = seq2seq::t5_layout(c);
  auto const rates = seq2seq::layer_rates(c, layout, decay);
  std::map<std::string, double> found;
  for (auto const& p : layout.entries())
    optim::for_each_rate(rates, p.offset, p.offset + p.size(), [&](index_t first, index_t last, double factor) {
      CHECK((first == p.offset && last == p.offset + p.size()));
      found[p.name] = factor;
    });
  CHECK(rates.back().last == layout.size());
  return found;
}
}  // namespace

TEST_CASE("layer_rates: heights rise from the embedding through encoder and decoder to the head") {
  seq2seq::t5_config c = small_t5();
  c.encoder_layers = 2;
  c.decoder_layers = 12;
  for (bool const tied : {true, false}) {
    c.tied = tied;
    auto const found = factors(c, 0.5);
    CHECK(std::ssize(found) == std::ssize(seq2seq::t5_layout(c).entries()));
    auto const height = [&](std::string const& name) { return 15 + std::log2(found.at(name)); };
    CHECK(height("shared.weight") == 0);
    CHECK(height("encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight") == 1);
    CHECK(height("encoder.block.0.layer.0.SelfAttention.q.weight") == 1);
    CHECK(height("encoder.block.1.layer.1.layer_norm.weight") == 2);
    CHECK(height("encoder.final_layer_norm.weight") == 2);
    CHECK(height("decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight") == 3);
    CHECK(height("decoder.block.0.layer.1.EncDecAttention.k.weight") == 3);
    CHECK(height("decoder.block.11.layer.1.EncDecAttention.v.weight") == 14);
    CHECK(height("decoder.block.10.layer.2.DenseReluDense.wo.weight") == 13);
    CHECK(height("decoder.final_layer_norm.weight") == 15);
    CHECK(found.contains("lm_head.weight") != tied);
    if (!tied) CHECK(height("lm_head.weight") == 15);
  }
  CHECK(seq2seq::layer_rates(c, seq2seq::t5_layout(c), 1).empty());
}

TEST_CASE_TEMPLATE("layer_decay: parameters move by their layer's share of the step, with AdamW and with Muon", B,
                   cpu::backend, reference::backend) {
  B b;
  tasks::batch all;
  all.append(std::vector{token_t{2}, token_t{3}}, std::vector{token_t{4}});
  for (bool const muon : {false, true}) {
    auto const step_of = [&](double decay) {
      auto model = random_t5<float>(b, tiny_t5());
      auto const before = fetched(model.parameters()).values;
      seq2seq::training_options options{.layer_decay = decay, .dropout = 0};
      options.optimizer.weight_decay = 0;
      if (muon) options.hidden_optimizer = optim::muon{};
      seq2seq::trainer<B, float>(b, model, options).step(all, 1e-2);
      auto moved = fetched(model.parameters()).values;
      for (std::size_t i = 0; i < moved.size(); ++i) moved[i] -= before[i];
      return moved;
    };
    auto const plain = step_of(1), slowed = step_of(0.5);
    auto const factor = factors(tiny_t5(), 0.5);
    auto const layout = seq2seq::t5_layout(tiny_t5());
    for (auto const& p : layout.entries())
      for (index_t i = p.offset; i < p.offset + p.size(); ++i)
        CHECK(std::abs(slowed[to_size(i)] - factor.at(p.name) * plain[to_size(i)]) < 1e-6);
  }
}

TEST_CASE("layer_decay: values out of range are refused") {
  for (double const decay : {0.0, -0.5, 1.5, std::nan("")})
    CHECK_THROWS_AS(seq2seq::validate({.layer_decay = decay}), error);
}
