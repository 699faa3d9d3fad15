#include "mql4grec/seq2seq/learner.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <set>
#include <string>

#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/small_t5.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
/// Example i contains i in two digits, and so does its target, with the digits swapped or, if `contrary`, not. Its
/// length varies with i mod 4.
struct digits {
  index_t count;
  bool contrary = false;

  index_t size() const { return count; }
  void write(index_t i, std::uint64_t seed, std::uint64_t epoch, tasks::batch& out) const {
    auto const high = token_t(2 + i / 7 % 7), low = token_t(2 + i % 7);
    std::vector<token_t> input = {high, low};
    input.insert(input.end(), static_cast<std::size_t>((i + static_cast<index_t>(seed + epoch)) % 4), token_t{2});
    out.append(input, contrary ? std::vector{high, low} : std::vector{low, high});
  }
};

template <class B, class T>
struct run {
  B backend;
  seq2seq::t5<B, T> model;
  seq2seq::training_options options;
  seq2seq::trainer<B, T> model_trainer{backend, model, options};
  seq2seq::training_progress progress = {};

  explicit run(seq2seq::training_options o, index_t threads = 1)
      : backend(make(threads)), model(random_t5<T>(backend, tiny_t5())), options(o) {}
  run(run const&) = delete;
  static B make(index_t threads) {
    if constexpr (std::is_same_v<B, cpu::backend>)
      return B(threads);
    else
      return B();
  }
  std::vector<T> parameters() const { return fetched(model.parameters()).values; }
};
using fast_run = run<cpu::backend, float>;

seq2seq::training_options quick(index_t epochs = 3) {
  return {.epochs = epochs,
          .batch_size = 5,
          .learning_rate = 1e-2,
          .dropout = 0.1,
          .patience = 0,
          .seed = 9,
          .block_tokens = 20};
}
tasks::batch batch_from(digits const& source, std::uint64_t seed = 0) {
  tasks::batch all;
  for (index_t i = 0; i < source.size(); ++i) source.write(i, seed, 0, all);
  return all;
}
}  // namespace

TEST_CASE("trainer: the same seed and the same number of workers give the same bits") {
  for (index_t threads : {1, 3}) {
    fast_run first(quick(), threads), second(quick(), threads);
    seq2seq::fit(first.model_trainer, digits{13}, digits{4}, first.progress);
    seq2seq::fit(second.model_trainer, digits{13}, digits{4}, second.progress);
    CHECK(first.parameters() == second.parameters());
    CHECK(first.progress.best_loss == second.progress.best_loss);
    for (std::size_t e = 0; e < 3; ++e) {
      CHECK(first.progress.history[e].train_loss == second.progress.history[e].train_loss);
      CHECK(first.progress.history[e].valid_loss == second.progress.history[e].valid_loss);
    }
  }
}

TEST_CASE_TEMPLATE("trainer: gradient surgery of one group is a plain step, of groups without conflict their sum", B,
                   MQL4GREC_TEST_BACKENDS) {
  auto const whole = batch_from(digits{8});
  tasks::batch first, second;
  for (index_t i = 0; i < 8; ++i) digits{8}.write(i, 0, 0, i < 3 ? first : second);
  auto options = quick();
  run<B, double> plain(options), alone(options);
  std::vector<tasks::batch> groups = {whole, {}, {}};
  CHECK(alone.model_trainer.step(std::span<tasks::batch const>(groups), 1e-2) == plain.model_trainer.step(whole, 1e-2));
  CHECK(alone.parameters() == plain.parameters());

  options.dropout = 0;
  run<B, double> summed(options), grouped(options);
  double const expected = summed.model_trainer.step(whole, 1e-2);
  groups = {first, second};
  CHECK_CLOSE(grouped.model_trainer.step(std::span<tasks::batch const>(groups), 1e-2), expected, 1e-12);
  std::vector<std::vector<double>> gradients;
  for (auto const& group : groups) {
    run<B, double> part(options);
    part.model_trainer.step(group, 1e-2);
    gradients.push_back(fetched(part.model_trainer.gradient()).values);
    for (auto& g : gradients.back())
      g *= static_cast<double>(group.targets.size()) / static_cast<double>(whole.targets.size());
  }
  std::vector products(2, std::vector<double>(2, 0));
  for (std::size_t i = 0; i < 2; ++i)
    for (std::size_t j = 0; j < 2; ++j)
      for (std::size_t e = 0; e < gradients[0].size(); ++e) products[i][j] += gradients[i][e] * gradients[j][e];
  bool const conflict = products[0][1] < 0;
  auto const actual = fetched(grouped.model_trainer.gradient()).values;
  for (std::size_t e = 0; e < actual.size(); ++e) {
    double sum = gradients[0][e] + gradients[1][e];
    if (conflict) sum -= products[0][1] * (gradients[1][e] / products[1][1] + gradients[0][e] / products[0][0]);
    CHECK_CLOSE(actual[e], sum, 1e-8);
  }
}

TEST_CASE("trainer: gradient surgery needs examples with tasks or datasets") {
  auto options = quick();
  options.surgery = seq2seq::gradient_groups::tasks;
  fast_run mine(options);
  CHECK_THROWS_AS(seq2seq::fit(mine.model_trainer, digits{13}, digits{4}, mine.progress), error);
}

TEST_CASE("trainer: results differ between seeds") {
  fast_run first(quick());
  auto other = quick();
  other.seed = 10;
  fast_run second(other);
  seq2seq::fit(first.model_trainer, digits{13}, digits{4}, first.progress);
  seq2seq::fit(second.model_trainer, digits{13}, digits{4}, second.progress);
  CHECK(first.parameters() != second.parameters());
}

TEST_CASE("trainer: workers and micro-batch size change only the order of sums") {
  run<cpu::backend, double> expected(quick());
  seq2seq::fit(expected.model_trainer, digits{13}, digits{4}, expected.progress);
  for (index_t threads : {1, 2, 3})
    for (index_t block_tokens : {1, 20, 1000}) {
      auto options = quick();
      options.block_tokens = block_tokens;
      run<cpu::backend, double> mine(options, threads);
      seq2seq::fit(mine.model_trainer, digits{13}, digits{4}, mine.progress);
      CHECK_CLOSE(mine.parameters(), expected.parameters(), 1e-8);
      CHECK_CLOSE(mine.progress.best_loss, expected.progress.best_loss, 1e-9);
    }
}

TEST_CASE_TEMPLATE(
    "trainer: a step is one clipped AdamW update with the gradient of the mean loss, and dropout depends on the step's "
    "number",
    B, MQL4GREC_TEST_BACKENDS) {
  run<B, double> mine(quick());
  auto const all = batch_from({7});
  double const scale = 1 / static_cast<double>(all.targets.size());
  auto expected = random_t5<double>(mine.backend, tiny_t5());
  optim::adamw_state<B, double> moments(mine.backend, expected.layout().size());
  for (std::uint32_t number = 1; number <= 3; ++number) {
    loss_and_gradient<double, B> const by_hand(mine.backend, expected, all, whole(all),
                                               {.rate = 0.1, .seed = 9, .step = number}, scale);
    double norm = 0;
    for (double const g : numbers_of(by_hand.gradient).values) norm += g * g;
    norm = std::sqrt(norm);
    CHECK(norm > 1.1);  // so that clipping has something to do
    optim::update<double>(mine.backend, quick().optimizer, {1e-2, norm}, expected.layout(),
                          {by_hand.gradient, expected.parameters(), moments});
    CHECK_CLOSE(mine.model_trainer.step(all, 1e-2), by_hand.loss * scale, 1e-12);
    CHECK_CLOSE(mine.model_trainer.gradient(), by_hand.gradient, 1e-12);
    CHECK_CLOSE(mine.parameters(), expected.parameters(), 1e-9);
  }
  CHECK(mine.model_trainer.moments().step == 3);
}

TEST_CASE("trainer: the mean loss is over all tokens, without dropout, for any number of examples") {
  digits const many{4100};
  fast_run mine(quick(), 2);
  auto const all = batch_from(many, 9);
  cpu::backend b;
  double const expected = static_cast<double>(loss_of(b, random_t5<double>(b, tiny_t5()), all, whole(all))) /
                          static_cast<double>(all.targets.size());
  CHECK_CLOSE(mine.model_trainer.mean_loss(many), expected, 1e-5);
  CHECK(mine.model_trainer.mean_loss(digits{0}) == 0);
}

TEST_CASE_TEMPLATE("trainer: a loss that isn't finite is reported with its step and changes nothing", B,
                   MQL4GREC_TEST_BACKENDS) {
  for (float poison : {NAN, INFINITY, -INFINITY}) {
    run<B, float> mine(quick());
    auto const all = batch_from({7});
    mine.model_trainer.step(all, 1e-3);
    auto const set_first = [&](float value) {  // of the embedding, which every logit sees
      fill(mine.model.parameters().part(0, 1), [&](host_vector_view<float> to) { to(0) = value; });
    };
    set_first(poison);
    auto const before = mine.parameters();
    std::string message;
    try {
      mine.model_trainer.step(all, 1e-3);
    } catch (training_error const& e) {
      message = e.what();
    }
    CHECK(message.starts_with("step 2: the loss is "));
    for (std::size_t i = 1; i < before.size(); ++i) REQUIRE(mine.parameters()[i] == before[i]);
    CHECK(mine.model_trainer.moments().step == 1);
    set_first(0);  // once it is well again, training goes on
    CHECK(std::isfinite(mine.model_trainer.step(all, 1e-3)));
  }
}

TEST_CASE("trainer: a diverging run ends at the last finite state") {
  auto options = quick(50);
  options.learning_rate = 1e30;
  options.warmup = 0;
  fast_run mine(options);
  std::vector<float> last = mine.parameters();
  CHECK_THROWS_AS(seq2seq::fit(mine.model_trainer, digits{13}, digits{4}, mine.progress,
                               {.on_step = [&](auto const&, double, std::int64_t) { last = mine.parameters(); }}),
                  training_error);
  CHECK(std::ranges::equal(mine.parameters(), last, [](float a, float b) { return a == b || (a != a && b != b); }));
  CHECK(mine.progress.step == mine.model_trainer.moments().step);
  CHECK(mine.progress.step < 10);
}

TEST_CASE(
    "fit: a validation loss that isn't finite ends the run and is reported with its epoch; no model becomes the best") {
  fast_run mine(quick());
  bool reported = false;
  auto const spoil = [&](seq2seq::training_progress const& p, double, std::int64_t steps) {
    if (p.step == 2 * steps) mine.model.parameters()(0) = NAN;
  };
  CHECK_THROWS_WITH_AS(
      seq2seq::fit(
          mine.model_trainer, digits{13}, digits{4}, mine.progress,
          {.on_step = spoil, .on_epoch = [&](seq2seq::training_progress const& p, bool) { reported = p.epoch > 1; }}),
      doctest::Contains("epoch 2: the validation loss is nan"), training_error);
  CHECK_FALSE(reported);
  CHECK(mine.progress.history.size() == 1);
}

TEST_CASE("trainer: overfits a small training set") {
  auto options = quick(150);
  options.dropout = 0;
  fast_run mine(options);
  double first = 0;
  seq2seq::fit(mine.model_trainer, digits{12}, digits{12}, mine.progress,
               {.on_step = [&](seq2seq::training_progress const& p, double loss, std::int64_t) {
                 if (p.step == 1) first = loss;
               }});
  CHECK(first > 1);
  CHECK(mine.progress.history.back().train_loss < 0.1 * first);
  CHECK(mine.progress.best_loss < 0.1 * first);
}

TEST_CASE("fit: every example is read once per epoch, shuffled anew, and the last batch may be smaller") {
  struct capturer {
    std::vector<std::vector<index_t>>& seen;
    index_t size() const { return 13; }
    void write(index_t i, std::uint64_t seed, std::uint64_t epoch, tasks::batch& out) const {
      CHECK(seed == 9);
      seen.resize(static_cast<std::size_t>(epoch) + 1);
      seen.back().push_back(i);
      digits{13}.write(i, seed, epoch, out);
    }
  };
  std::vector<std::vector<index_t>> seen;
  std::vector<std::int64_t> examples;
  fast_run mine(quick());
  seq2seq::fit(mine.model_trainer, capturer{seen}, digits{4}, mine.progress,
               {.on_step = [&](seq2seq::training_progress const& p, double, std::int64_t steps) {
                 CHECK(steps == 3);
                 examples.push_back(p.examples);
               }});
  CHECK(examples == std::vector<std::int64_t>{5, 10, 13, 18, 23, 26, 31, 36, 39});
  REQUIRE(seen.size() == 3);
  CHECK(seen[0] != seen[1]);
  CHECK(seen[1] != seen[2]);
  for (auto& epoch : seen) {
    std::ranges::sort(epoch);
    for (index_t i = 0; i < 13; ++i) CHECK(epoch[static_cast<std::size_t>(i)] == i);
  }
}

TEST_CASE("fit: an epoch of fewer updates than a pass is a random part of the examples, another one each time") {
  struct recorder {
    std::vector<std::pair<std::uint64_t, index_t>>& seen;
    index_t size() const { return 13; }
    void write(index_t i, std::uint64_t seed, std::uint64_t epoch, tasks::batch& out) const {
      seen.emplace_back(epoch, i);
      digits{13}.write(i, seed, epoch, out);
    }
  };
  auto const examples_of = [](index_t updates) {
    std::vector<std::pair<std::uint64_t, index_t>> seen;
    auto options = quick();
    options.epoch_updates = updates;
    fast_run mine(options);
    seq2seq::fit(mine.model_trainer, recorder{seen}, digits{4}, mine.progress);
    CHECK(mine.progress.epoch == 3);
    CHECK(mine.progress.step == 3 * std::min<index_t>(updates, 3));
    CHECK(mine.progress.examples == std::ssize(seen));
    CHECK(mine.progress.history.size() == 3);
    return seen;
  };
  auto const parts = examples_of(2);
  REQUIRE(parts.size() == 30);
  std::set<std::set<index_t>> epochs;
  for (std::uint64_t e = 0; e < 3; ++e) {
    std::set<index_t> examples;
    for (auto const& [epoch, i] : parts)
      if (epoch == e) examples.insert(i);
    CHECK(examples.size() == 10);  // none twice
    epochs.insert(examples);
  }
  CHECK(epochs.size() > 1);
  CHECK(examples_of(3).size() == 39);
  CHECK(examples_of(100) == examples_of(3));
}

TEST_CASE(
    "fit: an epoch's training loss is the mean over its tokens, its validation loss that of the model at its end") {
  fast_run mine(quick(2));
  double sum = 0, tokens = 0;
  seq2seq::fit(mine.model_trainer, digits{13}, digits{4}, mine.progress,
               {.on_step =
                    [&](seq2seq::training_progress const& p, double loss, std::int64_t) {
                      double const n = 3. * (p.epoch_step == 2 ? 3 : 5);  // two digits and </s> an example
                      sum += loss * n;
                      tokens += n;
                    },
                .on_epoch =
                    [&](seq2seq::training_progress const& p, bool) {
                      CHECK(p.history.back().train_loss == doctest::Approx(sum / tokens));
                      CHECK(p.history.back().valid_loss == mine.model_trainer.mean_loss(digits{4}));
                      sum = tokens = 0;
                    }});
  CHECK(mine.progress.history.size() == 2);
}

TEST_CASE("fit: the learning rate follows the schedule, step by step") {
  for (auto curve : {seq2seq::learning_curve::cosine, seq2seq::learning_curve::constant}) {
    auto options = quick(6);
    options.curve = curve;
    options.warmup = curve == seq2seq::learning_curve::cosine ? 0.3 : 2;
    fast_run mine(options), by_hand(options);  // one example an epoch: its order is no secret
    seq2seq::fit(mine.model_trainer, digits{1}, digits{1}, mine.progress);
    optim::schedule const schedule = curve == seq2seq::learning_curve::cosine
                                         ? optim::schedule(optim::cosine_schedule{2, 6})
                                         : optim::constant_schedule{2};
    CHECK(seq2seq::schedule_of(options, 1) == schedule);
    for (std::int64_t step = 0; step < 6; ++step) {
      tasks::batch all;
      digits{1}.write(0, 9, static_cast<std::uint64_t>(step), all);
      by_hand.model_trainer.step(all, 1e-2 * optim::multiplier(schedule, step));
      CHECK(mine.progress.history[static_cast<std::size_t>(step)].learning_rate ==
            1e-2 * optim::multiplier(schedule, step));
    }
    CHECK(mine.parameters() == by_hand.parameters());
  }
}

TEST_CASE("fit: training stops after `patience` epochs without improvement; with patience 0 it runs to the end") {
  auto options = quick(30);
  options.dropout = 0;
  options.patience = 3;
  fast_run mine(options);
  std::map<std::int64_t, bool> better;
  // the training targets contradict the validation targets
  seq2seq::fit(mine.model_trainer, digits{12}, digits{12, true}, mine.progress,
               {.on_epoch = [&](seq2seq::training_progress const& p, bool is) { better[p.epoch] = is; }});
  CHECK(mine.progress.finished);
  CHECK(mine.progress.epoch < 30);
  CHECK(mine.progress.epoch == mine.progress.best_epoch + 3);
  double best = INFINITY;
  for (std::int64_t e = 1; e <= mine.progress.epoch; ++e) {
    double const loss = mine.progress.history[static_cast<std::size_t>(e) - 1].valid_loss;
    CHECK(better[e] == (loss < best));
    best = std::min(best, loss);
  }
  CHECK(mine.progress.best_loss == best);

  options.patience = 0;
  fast_run patient(options);
  seq2seq::fit(patient.model_trainer, digits{12}, digits{12, true}, patient.progress);
  CHECK(patient.progress.epoch == 30);
}

TEST_CASE("fit: without validation examples, the latest model is the best") {
  auto options = quick();
  options.patience = 1;
  fast_run mine(options);
  int better = 0;
  seq2seq::fit(mine.model_trainer, digits{5}, digits{0}, mine.progress,
               {.on_epoch = [&](seq2seq::training_progress const&, bool is) { better += is; }});
  CHECK(mine.progress.epoch == 3);
  CHECK(better == 3);
  CHECK(mine.progress.best_epoch == 3);
  for (auto const& epoch : mine.progress.history)
    CHECK(std::isnan(epoch.valid_loss));  // and never 0, which would be perfect
}

TEST_CASE("fit: a run stopped before its first update isn't finished") {
  fast_run mine(quick());
  seq2seq::fit(mine.model_trainer, digits{13}, digits{4}, mine.progress,
               {.should_stop = [](seq2seq::training_progress const& p) { return p.step == 4; }});
  CHECK(mine.progress.step == 4);
  CHECK(mine.progress.epoch == 1);
  CHECK(mine.progress.epoch_step == 1);
  CHECK_FALSE(mine.progress.finished);
}

TEST_CASE("fit: a finished run is unchanged; a run without examples is refused") {
  fast_run mine(quick(1));
  seq2seq::fit(mine.model_trainer, digits{13}, digits{4}, mine.progress);
  auto const before = mine.progress;
  auto const parameters = mine.parameters();
  seq2seq::fit(mine.model_trainer, digits{13}, digits{4}, mine.progress);
  CHECK(mine.progress == before);
  CHECK(mine.parameters() == parameters);
  seq2seq::training_progress fresh;
  CHECK_THROWS_AS(seq2seq::fit(mine.model_trainer, digits{0}, digits{4}, fresh), error);
}

TEST_CASE("training_options: values out of range throw an error that names the option") {
  CHECK_NOTHROW(seq2seq::validate(seq2seq::training_options{}));
  for (seq2seq::training_options const& wrong :
       {seq2seq::training_options{.epochs = 0}, seq2seq::training_options{.epoch_updates = -1},
        seq2seq::training_options{.batch_size = 0}, seq2seq::training_options{.learning_rate = 0},
        seq2seq::training_options{.learning_rate = NAN}, seq2seq::training_options{.warmup = -1},
        seq2seq::training_options{.dropout = 1}, seq2seq::training_options{.dropout = -0.1},
        seq2seq::training_options{.patience = -1}, seq2seq::training_options{.block_tokens = 0},
        seq2seq::training_options{.gradient_shards = -1}}) {
    CHECK_THROWS_WITH_AS(seq2seq::validate(wrong), doctest::Contains("expected"), error);
    CHECK_THROWS_AS(fast_run{wrong}, error);
  }
}
