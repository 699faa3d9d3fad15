// Dropout of the whole model: a plan names the masks, and the same plan names the same ones.
#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/small_t5.hpp"

#include <set>

using namespace mql4grec;
using namespace mql4grec::test;

TEST_CASE_TEMPLATE("dropout: the loss is a function of rate, seed and step", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  tasks::batch const all = small_batch();
  auto const model = random_t5<float>(b, small_t5());
  auto const loss = [&](nn::dropout_plan const& plan) { return loss_of(b, model, all, whole(all), plan); };
  nn::dropout_plan const plan{.rate = 0.3, .seed = 1, .step = 1};
  CHECK(loss(plan) == loss(plan));
  CHECK(loss(plan) != loss({.rate = 0.3, .seed = 1, .step = 2}));
  CHECK(loss(plan) != loss({.rate = 0.3, .seed = 2, .step = 1}));
  CHECK(loss(plan) != loss({.rate = 0.4, .seed = 1, .step = 1}));
  CHECK(loss({.rate = 0, .seed = 1, .step = 1}) == loss({}));
}

TEST_CASE_TEMPLATE("dropout: inference ignores the rate of the configuration", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  tasks::batch const all = small_batch();
  auto config = small_t5();
  config.dropout = 0;
  auto const dry = random_t5<float>(b, config);
  config.dropout = 0.9;
  auto const wet = random_t5<float>(b, config);
  CHECK(loss_of(b, dry, all, whole(all)) == loss_of(b, wet, all, whole(all)));
}

TEST_CASE("dropout: every use of dropout in the model has its own site") {
  for (index_t layers : {1, 4}) {
    seq2seq::t5_config config;
    config.encoder_layers = layers, config.decoder_layers = 5 - layers;
    std::set<index_t> sites{seq2seq::detail::site_encoder_embedding, seq2seq::detail::site_encoder_end,
                            seq2seq::detail::site_decoder_embedding, seq2seq::detail::site_decoder_end};
    std::size_t places = 4;
    auto const add = [&](index_t first) {
      for (index_t inside :
           {seq2seq::detail::site_weights, seq2seq::detail::site_hidden, seq2seq::detail::site_residual})
        sites.insert(first + inside), ++places;
    };
    for (index_t l = 0; l < config.encoder_layers; ++l)
      for (index_t sublayer : {0, 1}) add(seq2seq::detail::encoder_site(l, sublayer));
    for (index_t l = 0; l < config.decoder_layers; ++l)
      for (index_t sublayer : {0, 1, 2}) add(seq2seq::detail::decoder_site(config, l, sublayer));
    CHECK(sites.size() == places);
  }
}

TEST_CASE("dropout: the embeddings of encoder and decoder drop the entries of the plan") {
  reference::backend b;
  scratch_scope<reference::backend> const scope(b.scratch());
  tasks::batch const all = small_batch();
  auto const model = random_t5<double>(b, small_t5());
  nn::dropout_plan const plan{.rate = 0.5, .seed = 3, .step = 4};
  auto const block = seq2seq::detail::take_block(b, all, tasks::micro_batch{1, 3}, model.config());
  seq2seq::detail::encoder_tape<reference::backend, double> tape;
  seq2seq::detail::model_pass<reference::backend, double> const pass{
      .backend = b, .config = model.config(), .weights = model.weights(), .dropout = plan};
  seq2seq::detail::encoder_forward(pass, block.inputs, block.input_rows, tape);
  auto const first = tape.layers[0].attention.input.stream;
  for (index_t i = 0; i < first.rows(); ++i)
    for (index_t j = 0; j < first.columns(); ++j) {
      double const embedded = model.weights().embedding(index(block.inputs(i)), j);
      CHECK(first(i, j) == (keeps(plan.at(seq2seq::detail::site_encoder_embedding, 3), i, j)
                                ? 2 * embedded
                                : 0));  // row 3 of the batch comes first
    }
}
