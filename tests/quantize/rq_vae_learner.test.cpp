#include "mql4grec/quantize/rq_vae/learner.hpp"

#include "core/temporary_directory.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/embed/statistics.hpp"
#include "mql4grec/quantize/rq_vae/state.hpp"
#include "support/backends.hpp"
#include "support/check_close.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
constexpr index_t items = 300, width = 12;

/// Items around a dozen centres, so that codes can be learned.
matrix<float> const& features() {
  static matrix<float> const all = [] {
    auto x = random_normal<float>({items, width}, 1);
    auto const centres = random_normal<float>({12, width}, 2);
    for (index_t i = 0; i < items; ++i)
      for (index_t j = 0; j < width; ++j)
        x.values[static_cast<std::size_t>(i * width + j)] =
            0.2f * x.values[static_cast<std::size_t>(i * width + j)] +
            centres.values[static_cast<std::size_t>(i % 12 * width + j)];
    return x;
  }();
  return all;
}

quantize::rq_vae_training_options quick(index_t epochs) {
  return {.training = {.learning_rate = 1e-2, .epsilons = {0, 0.01}, .batch_size = 128, .revive_after = 4},
          .epochs = epochs,
          .autoencoder_epochs = 1,
          .evaluate_every = 2,
          .kmeans_iterations = 5,
          .seed = 7};
}

struct run {
  cpu::backend backend;
  quantize::rq_vae<cpu::backend, float> model{
      backend, {.input_width = width, .hidden = {16}, .latent_width = 4, .codes = {8, 8}}};
  quantize::rq_vae_training_options options;
  quantize::rq_vae_trainer<cpu::backend, float> trainer{backend, model, options.training};
  quantize::rq_vae_progress progress = {};
  json conditions = quantize::run_conditions(options, model.config(), items);

  explicit run(index_t epochs, index_t threads = 1) : backend(threads), options(quick(epochs)) {
    quantize::initialize(model, 7);
  }
  run(run const&) = delete;

  void until(std::int64_t step) {
    quantize::fit(trainer, embed::matrix_features(features()), options, progress,
                  {.should_stop = [&](quantize::rq_vae_progress const& p) { return p.step >= step; }});
  }
  std::vector<float> parameters() const {
    return {model.parameters().data, model.parameters().data + model.parameters().size()};
  }
};

quantize::rq_vae_progress timeless(quantize::rq_vae_progress p) {
  p.seconds = 0;
  for (auto& epoch : p.history) epoch.seconds = 0;
  return p;
}
}  // namespace

TEST_CASE("RQ-VAE learner: the error falls far below the variance, and every level uses its codes") {
  run learner(60);
  learner.until(100000);
  CHECK(learner.progress.finished);
  CHECK(learner.progress.step == 60 * 3);
  CHECK(learner.progress.items == 60 * items);
  auto const variance = embed::check_finite(embed::matrix_features(features()), "features").variance;
  auto const& last = *learner.progress.history.back().evaluation;
  CHECK(last.reconstruction_error < 0.3 * variance);
  for (auto const& level : last.usage) CHECK(level.used == 8);
  CHECK(learner.progress.history.front().evaluation.has_value() == false);  // every second epoch is evaluated
  CHECK(learner.progress.best_epoch > 0);
}

TEST_CASE("RQ-VAE learner: a run saved after any step and restored ends with the bits of an uninterrupted run") {
  temporary_directory const root;
  run whole(4, 2);
  whole.until(100000);
  for (std::int64_t stop : {0, 1, 3, 5, 11, 12}) {  // 3 steps per epoch
    CAPTURE(stop);
    run first(4, 2), second(4, 2);
    first.until(stop);
    train::write_state(root / "state", first.trainer, first.progress, {std::make_shared<json const>(first.conditions)});
    second.progress = train::read_state<quantize::rq_vae_progress>(root / "state", second.trainer, second.conditions);
    second.until(100000);
    CHECK(second.parameters() == whole.parameters());
    CHECK(timeless(second.progress) == timeless(whole.progress));
  }
}

TEST_CASE("RQ-VAE learner: the state of another run is refused with the condition that differs") {
  temporary_directory const root;
  run one(4), more(5), other(4);
  other.options.evaluate_every = 1;
  other.conditions = quantize::run_conditions(other.options, other.model.config(), items);
  train::write_state(root / "state", one.trainer, one.progress, {std::make_shared<json const>(one.conditions)});
  CHECK(complaint<file_error>([&] {
          return train::read_state<quantize::rq_vae_progress>(root / "state", other.trainer, other.conditions);
        }) == (root / "state").string() + ": belongs to a run with evaluate_every = 2, but this one has 1");
  CHECK_NOTHROW(
      train::read_state<quantize::rq_vae_progress>(root / "state", more.trainer,
                                                   more.conditions));  // its learning rate doesn't depend on the epochs
}

TEST_CASE("RQ-VAE learner: a collapsed codebook ends the training with training_error") {
  run learner(50);
  learner.options.least_entropy = 1.1;  // no codebook can reach this
  learner.options.collapse_patience = 3;
  auto const what = complaint<training_error>([&] { return learner.until(100000); });
  CHECK(what.starts_with("epoch 6: a codebook has collapsed, codes used by level: "));
  CHECK(learner.progress.epoch == 6);
}

TEST_CASE("RQ-VAE learner: collapse is decided by perplexity, for any number of codes") {
  quantize::rq_vae_training_options const options;
  auto const collapsed = [&](std::vector<index_t> const& counts, index_t rows) {
    return quantize::detail::has_collapsed(
        {.usage = {quantize::usage_of(std::vector<index_t>{1, 1, 1, 1}), quantize::usage_of(counts)}}, options, rows);
  };
  for (std::size_t const codes : {2, 3, 8, 32, 50, 256, 1000}) {
    CAPTURE(codes);
    std::vector<index_t> odd(codes, 0), even(codes, 4), few(codes, 0);
    odd[0] = 399, odd[1] = 1;
    CHECK(collapsed(odd, 400));
    CHECK(!collapsed(even, 400));
    for (std::size_t i = 0; i < (codes + 1) / 2; ++i) few[i] = 4;
    CHECK(collapsed(few, 400) == (codes == 2));  // half of the codes are enough, a single one isn't
  }
  CHECK(!collapsed({7}, 400));            // a level of one code can't collapse
  CHECK(!collapsed({1, 1, 0, 0, 0}, 2));  // two items use at most two codes
}

TEST_CASE("RQ-VAE learner: a training of any length doesn't keep a collapsed model") {
  run learner(2);
  learner.options.least_entropy = 1.1;
  auto const what = complaint<training_error>([&] { return learner.until(100000); });
  CHECK(what.starts_with("epoch 2: a codebook has collapsed, codes used by level: "));
  CHECK(what.find("(perplexity ") != what.npos);
  run ignored(2);
  ignored.options.least_entropy = 1.1;
  ignored.options.collapse_patience = 0;
  ignored.until(100000);
  CHECK(ignored.progress.finished);
}

TEST_CASE("RQ-VAE learner: features that don't fit the model are refused") {
  run learner(1);
  matrix<float> const narrow({3, 5}, std::vector<float>(15, 1.f));
  CHECK_THROWS_WITH_AS(
      quantize::fit(learner.trainer, embed::matrix_features(narrow), learner.options, learner.progress),
      "RQ-VAE: features of width 5, expected 12", error);
  CHECK_THROWS_WITH_AS(
      quantize::fit(learner.trainer, embed::matrix_features(host_matrix_view<float const>(nullptr, 0, width)),
                    learner.options, learner.progress),
      "RQ-VAE: no items to train on, expected at least 1", error);
}
