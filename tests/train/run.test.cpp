#include "mql4grec/train/run.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "core/temporary_directory.hpp"
#include "mql4grec/backend/cpu/cpu.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/embed/features.hpp"
#include "mql4grec/pipeline/quantizer.hpp"
#include "mql4grec/pipeline/train.hpp"
#include "mql4grec/sasrec/run.hpp"
#include "support/check_close.hpp"
#include "support/small_t5.hpp"
#include "support/tensors.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

// What every learner must do, for each that there is: a new one gets a struct here, and all of these tests.
namespace {

struct t5_kind {
  static constexpr char const* data_condition = "users_and_tokens";
  using observer = pipeline::run_observer;
  static constexpr std::int64_t steps = 9;

  static auto run(std::filesystem::path const& out, bool resume, observer const& watch, train::run_limits limits = {},
                  index_t variant = 0) {
    static language::vocabulary const vocab({.modalities = {{"a", {3, 3}}, {"A", {3, 3}}}});
    tasks::dataset data;
    for (index_t u = 0; u < 10; ++u) {
      std::vector<item_id> items;
      for (index_t i = 0; i < 5; ++i) items.push_back(item_id((u + i * (1 + variant)) % 9));
      data.interactions.add_user(std::to_string(u), items);
    }
    data.interactions.item_count = 9;
    for (auto kind : {language::modality::text, language::modality::image}) {
      auto& table = data.tokens.emplace_back(kind, 9, 2);
      for (index_t i = 0; i < 9; ++i)
        table.set(item_id(i), std::vector{vocab.token(kind, 0, code_t(i / 3)), vocab.token(kind, 1, code_t(i % 3))});
    }
    auto model = small_t5();
    model.model_width = 8;
    cpu::backend b;
    return pipeline::train_model(
        b,
        {.out = out,
         .tasks = "next",
         .training = {.epochs = 3, .batch_size = 14, .learning_rate = 1e-2, .dropout = 0.1, .patience = 0, .seed = 4},
         .model = model,
         .resume = resume,
         .limits = limits},
        {{data}, vocab}, watch);
  }
};

struct rq_vae_kind {
  static constexpr char const* data_condition = "values_of_features";
  using observer = pipeline::quantizer_run_observer;
  static constexpr std::int64_t steps = 12;

  static pipeline::quantizer_run request(std::filesystem::path const& out, bool resume) {
    return {.out = out,
            .model = {.hidden = {8}, .latent_width = 4, .codes = {4, 4}},
            .options = {.training = {.learning_rate = 1e-2, .epsilons = {0, 0.01}, .batch_size = 30, .revive_after = 2},
                        .epochs = 4,
                        .autoencoder_epochs = 1,
                        .evaluate_every = 2,
                        .kmeans_iterations = 3,
                        .collapse_patience = 0,
                        .seed = 7},
            .resume = resume};
  }
  static auto train(pipeline::quantizer_run const& how, observer const& watch, index_t variant = 0,
                    index_t threads = 1) {
    auto values = random_normal<float>({70, 6}, 3);
    if (variant > 0)
      for (auto& x : values.values) x = -x;  // has the same scale
    cpu::backend b({.threads = threads});
    embed::matrix_features const features(host_matrix_view<float const>(values.values.data(), 70, 6));
    return pipeline::train_quantizer(b, how, features, embed::check_finite(features, "features"), watch);
  }
  static auto run(std::filesystem::path const& out, bool resume, observer const& watch, train::run_limits limits = {},
                  index_t variant = 0) {
    auto how = request(out, resume);
    how.limits = limits;
    return train(how, watch, variant);
  }
};

struct sasrec_kind {
  static constexpr char const* data_condition = "users_and_items";
  using observer = sasrec::run_observer;
  static constexpr std::int64_t steps = 6;

  static auto run(std::filesystem::path const& out, bool resume, observer const& watch, train::run_limits limits = {},
                  index_t variant = 0) {
    catalog::interactions data;
    for (index_t u = 0; u < 10; ++u) {
      std::vector<item_id> items;
      for (index_t i = 0; i < 5; ++i) items.push_back(item_id((u + i * (1 + variant)) % 9));
      data.add_user(std::to_string(u), items);
    }
    cpu::backend b({.threads = 2});
    return sasrec::train_model(
        b,
        {.out = out,
         .training =
             {.epochs = 3, .batch_size = 5, .learning_rate = 1e-2, .hidden_optimizer = optim::muon{}, .patience = 0},
         .model = {.width = 8, .inner_width = 8},
         .resume = resume,
         .limits = limits},
        data, watch);
  }
};

/// Ends a call after so many updates.
template <class Observer>
Observer stops_after(std::int64_t updates) {
  Observer watch;
  watch.interrupted = [updates, calls = std::int64_t{0}]() mutable { return calls++ == updates; };
  return watch;
}

/// The tensors of a state, bit for bit: all results of training, without the measured times.
std::string trained_tensors(std::filesystem::path const& out) {
  safetensors const file(out / "training.safetensors");
  std::string all = file.metadata().at("optimizer_step");
  for (auto const* name : {"parameters", "first_moment", "second_moment"}) {
    auto const values = file.values<float>(name);
    all.append(reinterpret_cast<char const*>(values.data()), values.size() * sizeof(float));
  }
  return all;
}

}  // namespace

TEST_CASE_TEMPLATE("run: interrupted after any number of updates and resumed, it gives the same bits", Kind, t5_kind,
                   rq_vae_kind, sasrec_kind) {
  temporary_directory const root;
  auto const whole = Kind::run(root / "whole", false, {});
  CHECK(whole.status == train::run_status::finished);
  REQUIRE(whole.progress.step == Kind::steps);
  for (std::int64_t stop = 0; stop <= Kind::steps; ++stop) {
    CAPTURE(stop);
    auto const out = root / std::to_string(stop);
    auto const first = Kind::run(out, false, stops_after<typename Kind::observer>(stop));
    CHECK(first.progress.step == stop);
    CHECK(first.status == (stop < Kind::steps ? train::run_status::interrupted : train::run_status::finished));
    auto const second = Kind::run(out, true, {});
    CHECK((second.progress.finished && second.progress.step == Kind::steps));
    CHECK(trained_tensors(out) == trained_tensors(root / "whole"));
    CHECK(read_file(out / "model.safetensors") == read_file(root / "whole" / "model.safetensors"));
  }
}

TEST_CASE_TEMPLATE("run: a killed process leaves the state of some update, and resuming gives the same result", Kind,
                   t5_kind, rq_vae_kind, sasrec_kind) {
  temporary_directory const root;
  Kind::run(root / "whole", false, {});
  struct killed {};
  for (std::int64_t kill = 1; kill < Kind::steps; kill += 2) {
    CAPTURE(kill);
    auto const out = root / std::to_string(kill);
    typename Kind::observer watch;
    watch.on_step = [&](auto const& p, auto const&, std::int64_t) {
      if (p.step == kill) throw killed();  // nothing is written after this
    };
    CHECK_THROWS_AS(Kind::run(out, false, watch, {.checkpoint_seconds = 0}), killed);
    CHECK(Kind::run(out, true, {}).progress.finished);
    CHECK(trained_tensors(out) == trained_tensors(root / "whole"));
  }
}

TEST_CASE_TEMPLATE("run: a directory with another run or model is refused and unchanged", Kind, t5_kind, rq_vae_kind,
                   sasrec_kind) {
  temporary_directory const root;
  Kind::run(root / "run", false, {});
  auto const before = read_file(root / "run" / "training.safetensors");
  CHECK(complaint<error>([&] { return Kind::run(root / "run", false, {}); }) ==
        (root / "run").string() + ": holds a training run; resume it, or write to another directory");
  CHECK(read_file(root / "run" / "training.safetensors") == before);
  std::filesystem::remove(root / "run" / "training.safetensors");
  for (bool const resume : {false, true})
    CHECK(complaint<error>([&] { return Kind::run(root / "run", resume, {}); }) ==
          (root / "run").string() + ": holds a model that isn't this run's; write to another directory");
}

TEST_CASE_TEMPLATE("run: a run out of time reports that, and can be resumed", Kind, t5_kind, rq_vae_kind, sasrec_kind) {
  temporary_directory const root;
  auto const none = Kind::run(root / "run", false, {}, {.max_seconds = 0});
  CHECK((none.status == train::run_status::out_of_time && none.progress.step == 0));
  CHECK(Kind::run(root / "run", true, {}).status == train::run_status::finished);
}

TEST_CASE("run: a collapsed quantizer is refused, and again when it is resumed, within the training and at its end") {
  temporary_directory const root;
  for (index_t const patience : {1, 2, 3}) {  // 2: after the last epoch; 3: the model to be kept
    CAPTURE(patience);
    for (bool const resume : {false, true, true}) {
      auto how = rq_vae_kind::request(root / std::to_string(patience), resume);
      how.options.collapse_patience = patience;
      how.options.least_entropy = 1.1;  // no codebook can reach this
      auto const what = complaint<training_error>([&] { return rq_vae_kind::train(how, {}); });
      CHECK(what.find(": a codebook has collapsed") != what.npos);
    }
  }
}

TEST_CASE_TEMPLATE("run: other data of the same size are refused with their checksums", Kind, t5_kind, rq_vae_kind,
                   sasrec_kind) {
  temporary_directory const root;
  Kind::run(root / "run", false, stops_after<typename Kind::observer>(1));
  auto const before = read_file(root / "run" / "training.safetensors");
  auto const what = complaint<file_error>([&] { return Kind::run(root / "run", true, {}, {}, 1); });
  CHECK(what.find(std::string(": belongs to a run with ") + Kind::data_condition + " = ") != what.npos);
  CHECK(what.find("checksum") != what.npos);
  CHECK(read_file(root / "run" / "training.safetensors") == before);
  CHECK(Kind::run(root / "run", true, {}).progress.finished);
}

TEST_CASE("run: a quantizer that goes on with other threads tells so, unless they don't matter") {
  temporary_directory const root;
  for (index_t const shards : {0, 2}) {
    auto how = rq_vae_kind::request(root / std::to_string(shards), false);
    how.options.training.gradient_shards = shards;
    rq_vae_kind::train(how, stops_after<rq_vae_kind::observer>(1));
    how.resume = true;
    std::string changes;
    rq_vae_kind::train(how, {.on_changed_settings = [&](std::string const& text) { changes = text; }}, 0, 2);
    CHECK(changes == (shards == 0 ? "threads was 1 and is 2" : ""));
  }
}
