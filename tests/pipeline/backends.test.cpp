// Whole stages on every backend: what a device must be handed crosses by itself, and results don't depend on where they
// were computed.
#include "support/backends.hpp"
#include "core/temporary_directory.hpp"
#include "mql4grec/catalog/synthetic.hpp"
#include "mql4grec/language/to_tokens.hpp"
#include "mql4grec/pipeline/evaluate.hpp"
#include "mql4grec/pipeline/quantizer.hpp"
#include "mql4grec/pipeline/translate.hpp"
#include "mql4grec/quantize/rq_vae/learner.hpp"
#include "mql4grec/quantize/rq_vae/pass.hpp"
#include "support/check_close.hpp"
#include "support/small_t5.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {

language::vocabulary const& vocab() {
  static language::vocabulary const all({.modalities = {{"a", {16, 16, 16, 16}}, {"A", {16, 16, 16, 16}}}});
  return all;
}

tasks::dataset shop() {
  auto const made = catalog::make_synthetic_dataset({.items = 60, .users = 40}, 0);
  tasks::dataset data{.interactions = made.interactions, .items = made.items, .name = "shop"};
  for (auto const kind : {language::modality::text, language::modality::image})
    data.tokens.push_back(language::to_tokens(view_of(made.codes[static_cast<std::size_t>(kind)]), vocab(), kind));
  return data;
}

template <Backend B>
pipeline::evaluation evaluate_on(B backend) {
  auto config = small_t5();
  config.vocabulary = vocab().size();
  return pipeline::evaluate(backend, random_frozen_t5<double>(backend, config), {vocab(), tasks::next_only()}, shop(),
                            {.search = {.beams = 7}});
}

/// A translator that was taught for some epochs, its kept codes, and its errors on the way.
struct translated {
  std::vector<double> losses;
  pipeline::translated_catalog catalog;
};

/// Some items are alike, so that there is something to reallocate.
matrix<float> items() {
  auto rows = random_normal<float>({120, 6}, 3);
  for (index_t i = 0; i < 12; ++i) std::copy_n(rows.values.begin(), 6, rows.values.begin() + i * 6);
  return rows;
}
std::vector<index_t> all_items() {
  std::vector<index_t> rows(120);
  std::iota(rows.begin(), rows.end(), index_t{0});
  return rows;
}

template <Backend B>
translated train_quantizer_on(B backend) {
  auto const values = items();
  embed::matrix_features const features(values);
  quantize::rq_vae<B, float> model(backend, {.input_width = 6, .hidden = {8}, .latent_width = 4, .codes = {8, 8, 16}});
  quantize::initialize(model, 5);
  quantize::rq_vae_training_options const options{
      .training = {.learning_rate = 1e-2, .epsilons = {0, 0, 0.05}, .batch_size = 64, .revive_after = 4},
      .epochs = 6,
      .autoencoder_epochs = 1,
      .evaluate_every = 2,
      .kmeans_iterations = 4,
      .seed = 7};
  quantize::rq_vae_trainer<B, float> trainer(backend, model, options.training);
  quantize::rq_vae_progress progress;
  translated out;
  quantize::fit(trainer, features, options, progress,
                {.on_step = [&](auto const&, quantize::rq_vae_losses const& losses, std::int64_t) {
                  out.losses.push_back(losses.total);
                }});
  out.catalog = pipeline::translate_catalog(backend, model, features, {.rows = all_items()});
  return out;
}

/// Learnt into a directory, and read from there.
template <Backend B>
pipeline::translated_catalog clustered(B backend, index_t rotation_rounds) {
  temporary_directory const root;
  auto const values = items();
  embed::matrix_features const features(values);
  pipeline::learn_residual_kmeans(backend, {.out = root / "run"},
                                  {.codes = {8, 8, 16}, .rotation_rounds = rotation_rounds}, features);
  auto const model = quantize::read_residual_kmeans(backend, root / "run/model.safetensors");
  CHECK((model.rotated() || rotation_rounds == 0));
  return pipeline::translate_catalog(backend, model, features, {.rows = all_items()});
}

}  // namespace

TEST_CASE_TEMPLATE("pipeline: evaluation is the same on every backend", B, MQL4GREC_TEST_BACKENDS) {
  auto const expected = evaluate_on(reference::backend()).result, actual = evaluate_on(B()).result;
  CHECK(actual.users == 40);
  CHECK_CLOSE(actual.of(language::modality::text).sequence->ndcg(10),
              expected.of(language::modality::text).sequence->ndcg(10), 1e-12);
  CHECK_CLOSE(actual.of(language::modality::image).sequence->ndcg(10),
              expected.of(language::modality::image).sequence->ndcg(10), 1e-12);
  CHECK_CLOSE(actual.ensemble.item->hit(5), expected.ensemble.item->hit(5), 1e-12);
}

TEST_CASE_TEMPLATE("pipeline: RQ-VAE training converges, and every item gets a unique sequence, on every backend", B,
                   MQL4GREC_TEST_BACKENDS) {
  auto const expected = train_quantizer_on(reference::backend()), actual = train_quantizer_on(B());
  CHECK_CLOSE(actual.losses, expected.losses, 2e-3);
  CHECK(actual.catalog.uniqueness.unique());
  CHECK(actual.catalog.outcome.moved >= 11);
  CHECK_CLOSE(actual.catalog.reconstruction_error, expected.catalog.reconstruction_error, 1e-2);
}

TEST_CASE_TEMPLATE("pipeline: residual k-means converges, and every item gets a unique sequence, on every backend", B,
                   MQL4GREC_TEST_BACKENDS) {
  for (index_t const rounds : {0, 2}) {
    auto const expected = clustered(reference::backend(), rounds), actual = clustered(B(), rounds);
    CHECK(actual.uniqueness.unique());
    CHECK(actual.outcome.moved >= 11);
    CHECK_CLOSE(actual.reconstruction_error, expected.reconstruction_error, 1e-2);
  }
}
