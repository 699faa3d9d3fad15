#include "mql4grec/seq2seq/initialize.hpp"

#include <map>

#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/small_t5.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
template <class T>
seq2seq::t5<reference::backend, T> initialized(seq2seq::t5_config const& config, std::uint64_t seed) {
  reference::backend b;
  seq2seq::t5<reference::backend, T> model(b, config);
  seq2seq::initialize(model, seed);
  return model;
}
}  // namespace

TEST_CASE("initialize: results depend on the seed only, and differ between seeds") {
  auto const one = initialized<float>(small_t5(), 1), same = initialized<float>(small_t5(), 1),
             other = initialized<float>(small_t5(), 2);
  CHECK_CLOSE(same.parameters(), one.parameters(), 0);
  CHECK_FALSE(compare(other.parameters(), one.parameters(), 0.1).holds);
}

TEST_CASE("initialize: a double model is the float model before rounding") {
  auto const fine = initialized<double>(small_t5(), 1);
  auto const rounded = initialized<float>(small_t5(), 1);
  for (index_t i = 0; i < fine.parameters().size(); ++i)
    CHECK(rounded.parameters()(i) == static_cast<float>(fine.parameters()(i)));
}

TEST_CASE("initialize: parameters have mean 0 and transformers' deviations; norm gains are 1") {
  for (auto activation : {nn::activation::relu, nn::activation::gated_gelu}) {
    seq2seq::t5_config const config{.vocabulary = 500, .activation = activation, .tied = false};
    auto const model = initialized<double>(config, 3);
    for (auto const& p : model.layout().entries()) {
      auto const values = as_span(model.parameters().part(p.offset, p.size()));
      double const n = static_cast<double>(p.size());
      double const mean = std::accumulate(values.begin(), values.end(), 0.) / n;
      double const square = std::inner_product(values.begin(), values.end(), values.begin(), 0.) / n;
      CAPTURE(p.name);
      if (p.is_vector) {
        CHECK((mean == 1 && square == 1));
        continue;
      }
      double const deviation = seq2seq::initial_deviation(config, p.name);
      CHECK_CLOSE(mean / deviation, 0., 5 / std::sqrt(n));  // five standard errors
      CHECK_CLOSE(std::sqrt(square) / deviation, 1., 5 / std::sqrt(2 * n));
    }
  }
}

TEST_CASE("initial_deviation: equals the deviations of T5PreTrainedModel._init_weights") {
  seq2seq::t5_config config{.model_width = 100, .head_width = 16, .heads = 4, .inner_width = 400};
  auto const deviation = [&](char const* name) { return seq2seq::initial_deviation(config, name); };
  std::string const block = "encoder.block.0.layer.";
  CHECK(deviation("shared.weight") == 1);
  CHECK(deviation("lm_head.weight") == 1);
  CHECK(seq2seq::initial_deviation(config, block + "0.SelfAttention.q.weight") == 1. / 40);
  CHECK(seq2seq::initial_deviation(config, block + "0.SelfAttention.k.weight") == 1. / 10);
  CHECK(seq2seq::initial_deviation(config, block + "0.SelfAttention.v.weight") == 1. / 10);
  CHECK(seq2seq::initial_deviation(config, block + "0.SelfAttention.o.weight") == 1. / 8);
  CHECK(seq2seq::initial_deviation(config, block + "0.SelfAttention.relative_attention_bias.weight") == 1. / 10);
  CHECK(seq2seq::initial_deviation(config, block + "1.DenseReluDense.wi_1.weight") == 1. / 10);
  CHECK(seq2seq::initial_deviation(config, block + "1.DenseReluDense.wo.weight") == 1. / 20);
  CHECK(deviation("decoder.block.0.layer.1.EncDecAttention.q.weight") == 1. / 40);
  config.initializer_factor = 0.5;
  CHECK(deviation("shared.weight") == 0.5);
}

TEST_CASE("initialize: parameters of equal shape and deviation get different numbers") {
  auto const model = initialized<double>(small_t5(), 1);
  auto const& layers = model.weights().encoder;
  CHECK_FALSE(compare(layers[0].expand, layers[1].expand, 0.1).holds);
  CHECK_FALSE(compare(layers[0].qkv.row_block(6, 6), layers[0].qkv.row_block(12, 6), 0.1).holds);  // k and v
}

TEST_CASE("model_sizes: their models have the number of parameters that the documentation states") {
  std::map<std::string_view, index_t> const expected = {
      {"whole", 4'724'352}, {"quarter", 181'312}, {"half", 1'248'064}, {"double", 27'277'056}};
  CHECK(seq2seq::model_sizes.size() == expected.size());
  for (auto const& [name, parameters] : expected)
    CHECK(seq2seq::t5_layout(seq2seq::resized({}, seq2seq::model_size_named(name))).size() == parameters);
  CHECK(seq2seq::resized({}, seq2seq::model_size_named("whole")) == seq2seq::t5_config{});
  CHECK(seq2seq::resized({.model_width = 3, .heads = 1}, seq2seq::model_size_named("quarter")).heads == 1);
  CHECK_THROWS_WITH_AS(static_cast<void>(seq2seq::model_size_named("huge")), "there is no model size 'huge'", error);
}
