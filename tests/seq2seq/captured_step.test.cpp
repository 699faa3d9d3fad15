#include "mql4grec/seq2seq/captured_step.hpp"

#include <doctest/doctest.h>

#include "mql4grec/seq2seq/learner.hpp"
#include "mql4grec/train/threads.hpp"
#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/small_t5.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

TEST_CASE("device dataset: only backends with memory of their own train on it") {
  CHECK_FALSE((seq2seq::CapturedStepOps<cpu::backend, float> || seq2seq::CapturedStepOps<reference::backend, double>));
}

#if defined(MQL4GREC_TEST_DEVICE_BACKENDS)
namespace {
/// Example i of an epoch: inputs of 1 … 9 tokens that change with the epoch, the longest ones with every other; targets
/// of 2 … 4.
struct examples {
  index_t count;
  index_t size() const { return count; }
  void write(index_t i, std::uint64_t seed, std::uint64_t epoch, tasks::batch& out) const {
    auto const n = static_cast<std::uint64_t>(i);
    out.append(
        random_tokens((i + static_cast<index_t>(epoch)) % 9 + (i == 0 && epoch % 2 == 0 ? 9 : 0), 9, seed + n).values,
        random_tokens(1 + i % 3, 9, 1000 + n).values);
  }
  struct place {
    std::size_t task, dataset;
  };
  place origin(index_t i, std::uint64_t, std::uint64_t) const { return {to_size(i % 2), 0}; }
};
tasks::batch batch_from(examples const& source, std::uint64_t seed = 0) {
  tasks::batch all;
  for (index_t i = 0; i < source.size(); ++i) source.write(i, seed, 0, all);
  return all;
}
seq2seq::training_options quick() {
  return {.epochs = 4,
          .batch_size = 5,
          .learning_rate = 1e-2,
          .dropout = 0.2,
          .patience = 0,
          .seed = 9,
          .block_tokens = 1 << 20};
}
}  // namespace

TEST_CASE_TEMPLATE(
    "device dataset: rows are rounded up, and each filler has at least one row and at most as many as the longest "
    "example",
    B, MQL4GREC_TEST_DEVICE_BACKENDS) {
  B b;
  seq2seq::device_dataset<B> set;
  set.assign(b, batch_from({40}));
  std::vector<index_t> which;
  for (index_t i = 0; i < 40; ++i) {
    auto const shape = set.shape_of(which);
    index_t inputs = 0, targets = 0;
    for (index_t const s : which) inputs += 1 + s % 9 + (s == 0 ? 9 : 0), targets += 2 + s % 3;
    CHECK(shape.examples == i);
    CHECK(shape.input_rows % 256 == 0);
    CHECK(shape.target_rows % 64 == 0);
    for (auto const& [left, longest] :
         {std::pair{shape.input_rows - inputs, index_t{10}}, {shape.target_rows - targets, index_t{4}}}) {
      CHECK(left / shape.fillers >= 1);
      CHECK((left + shape.fillers - 1) / shape.fillers <= longest);
    }
    which.push_back(i * 7 % 40);
  }
  CHECK_THROWS_WITH_AS(set.shape_of(std::vector<index_t>{40}), "device dataset: example 40 of 40", error);
}

TEST_CASE_TEMPLATE("captured step: equals the update by the same batch written on the host, by AdamW and by Muon", B,
                   MQL4GREC_TEST_DEVICE_BACKENDS) {
  B b;
  auto options = quick();
  SUBCASE("AdamW") {}
  SUBCASE("Muon") { options.hidden_optimizer = optim::muon{}; }
  auto const all = batch_from({23});
  seq2seq::device_dataset<B> set;
  set.assign(b, all);
  auto mine = random_t5<double>(b, tiny_t5()), expected = random_t5<double>(b, tiny_t5());
  seq2seq::trainer<B, double> model_trainer(b, mine, options), by_hand(b, expected, options);
  for (index_t step = 0; step < 12; ++step) {  // two shapes, each as it comes, captured, and launched with other values
    std::vector<index_t> which;
    tasks::batch written;
    for (index_t i = 0; i < 5 + step % 2; ++i) {
      which.push_back((i * 5 + step) % 23);
      written.append(all.input(which.back()).first(all.input(which.back()).size() - 1),
                     all.target(which.back()).first(all.target(which.back()).size() - 1));
    }
    CHECK_CLOSE(model_trainer.step(set, which, 1e-2 / static_cast<double>(step + 1)),
                by_hand.step(written, 1e-2 / static_cast<double>(step + 1)), 1e-11);
    CHECK_CLOSE(mine.parameters(), fetched(expected.parameters()), 1e-9);
  }
  CHECK(model_trainer.moments().step == 12);
}

TEST_CASE_TEMPLATE("captured step: a graph captured with a few examples can be launched with more in the same memory",
                   B, MQL4GREC_TEST_DEVICE_BACKENDS) {
  B b;
  auto const many = batch_from({90}, 5), few = batch_from({10}, 5);
  seq2seq::device_dataset<B> set;
  set.assign(b, many);  // the memory
  auto mine = random_t5<double>(b, tiny_t5()), expected = random_t5<double>(b, tiny_t5());
  seq2seq::trainer<B, double> model_trainer(b, mine, quick()), by_hand(b, expected, quick());
  for (int step = 0; step < 6; ++step) {
    set.assign(b, step < 4 ? few : many);
    std::vector<index_t> which;
    tasks::batch written;
    for (index_t i = 0; i < 5; ++i) {
      which.push_back(step < 4 ? i : 81 + i);  // as long, and far beyond what was there when it was captured
      auto const& all = step < 4 ? few : many;
      written.append(all.input(which.back()).first(all.input(which.back()).size() - 1),
                     all.target(which.back()).first(all.target(which.back()).size() - 1));
    }
    CHECK_CLOSE(model_trainer.step(set, which, 1e-2), by_hand.step(written, 1e-2), 1e-11);
  }
  CHECK_CLOSE(mine.parameters(), fetched(expected.parameters()), 1e-9);
}

TEST_CASE_TEMPLATE("fit: a device, with a dataset whole or in parts, or without captured steps, trains as the host", B,
                   MQL4GREC_TEST_DEVICE_BACKENDS) {
  auto options = quick();
  bool captured = true;
  SUBCASE("passes over the examples") {}
  SUBCASE("epochs of a part of them") { options.epoch_updates = 3; }
  SUBCASE("options that captured steps don't have") {
    captured = false;
    SUBCASE("layer-wise learning rates") { options.layer_decay = 0.8; }
    SUBCASE("gradient surgery") { options.surgery = seq2seq::gradient_groups::tasks; }
    SUBCASE("shards of the gradient") { options.gradient_shards = 3; }
    SUBCASE("moments in parts") { options.sharded_moments = true; }
  }
  CHECK(seq2seq::can_be_captured(options) == captured);
  cpu::backend host;
  auto expected = random_t5<double>(host, tiny_t5());
  seq2seq::trainer<cpu::backend, double> by_host(host, expected, options);
  seq2seq::training_progress expected_progress;
  fit(by_host, examples{23}, examples{7}, expected_progress);
  for (index_t const at_a_time : captured ? std::vector<index_t>{1, 10, 14, 1000} : std::vector<index_t>{1000}) {
    B b;
    auto mine = random_t5<double>(b, tiny_t5());
    options.device_examples = at_a_time;
    seq2seq::trainer<B, double> model_trainer(b, mine, options);
    seq2seq::training_progress progress;
    fit(model_trainer, examples{23}, examples{7}, progress);
    CHECK_CLOSE(mine.parameters(), expected.parameters(), 1e-8);
    REQUIRE(progress.history.size() == 4);
    for (std::size_t e = 0; e < 4; ++e) {
      CHECK_CLOSE(progress.history[e].train_loss, expected_progress.history[e].train_loss, 1e-9);
      CHECK_CLOSE(progress.history[e].valid_loss, expected_progress.history[e].valid_loss, 1e-9);
    }
  }
}

namespace {
template <class Trainer>
void restore(Trainer& to, Trainer& from) {
  copy(std::as_const(from.moments().first).view_all(), to.moments().first.view_all());
  copy(std::as_const(from.moments().second).view_all(), to.moments().second.view_all());
  to.moments().step = from.moments().step;
}
}  // namespace

TEST_CASE_TEMPLATE("fit: a run stopped within an epoch and resumed gives the same bits", B,
                   MQL4GREC_TEST_DEVICE_BACKENDS) {
  B b;
  auto whole_model = random_t5<float>(b, tiny_t5()), parts_model = random_t5<float>(b, tiny_t5());
  seq2seq::trainer<B, float> whole_run(b, whole_model, quick()), parts_run(b, parts_model, quick());
  seq2seq::training_progress whole_progress, parts_progress;
  fit(whole_run, examples{23}, examples{7}, whole_progress);
  for (std::int64_t const stop : {3, 8, 100}) {  // each time with a new trainer
    seq2seq::trainer<B, float> fresh(b, parts_model, quick());
    if (stop > 3) restore(fresh, parts_run);
    fit(fresh, examples{23}, examples{7}, parts_progress,
        {.should_stop = [=](seq2seq::training_progress const& p) { return p.step == stop; }});
    restore(parts_run, fresh);
  }
  CHECK(parts_progress.finished);
  CHECK(fetched(whole_model.parameters()).values == fetched(parts_model.parameters()).values);
}

TEST_CASE_TEMPLATE("captured step: a loss that isn't finite is reported with its step and changes nothing", B,
                   MQL4GREC_TEST_DEVICE_BACKENDS) {
  B b;
  seq2seq::device_dataset<B> set;
  set.assign(b, batch_from({9}));
  auto model = random_t5<float>(b, tiny_t5());
  seq2seq::trainer<B, float> model_trainer(b, model, quick());
  std::vector<index_t> const which{0, 4, 8, 2};
  for (int i = 0; i < 3; ++i) model_trainer.step(set, which, 1e-3);
  auto const set_first = [&](float value) {
    fill(model.parameters().part(0, 1), [&](host_vector_view<float> x) { x(0) = value; });
  };
  set_first(NAN);
  auto const before = fetched(model.parameters()).values;
  CHECK_THROWS_WITH_AS(model_trainer.step(set, which, 1e-3), doctest::Contains("step 4: the loss is "), training_error);
  auto const after = fetched(model.parameters()).values;
  for (std::size_t i = 1; i < before.size(); ++i) REQUIRE(before[i] == after[i]);
  CHECK(model_trainer.moments().step == 3);
  set_first(0);
  CHECK(std::isfinite(model_trainer.step(set, which, 1e-3)));
}

TEST_CASE_TEMPLATE("device dataset: the mean loss is over all tokens, for any number of examples", B,
                   MQL4GREC_TEST_DEVICE_BACKENDS) {
  B b;
  cpu::backend host;
  auto model = random_t5<double>(b, tiny_t5()), same = random_t5<double>(b, tiny_t5());
  auto expected = random_t5<double>(host, tiny_t5());
  seq2seq::trainer<B, double> model_trainer(b, model, quick());
  seq2seq::trainer<cpu::backend, double> by_host(host, expected, quick());
  seq2seq::device_dataset<B> set, none;
  set.assign(b, batch_from({4100}, 9));
  none.assign(b, {});
  CHECK(model_trainer.mean_loss(none) == 0);
  for (int i = 0; i < 3; ++i) CHECK_CLOSE(model_trainer.mean_loss(set), by_host.mean_loss(examples{4100}), 1e-10);
}

#endif

#if MQL4GREC_HAS_THRUST && !defined(__CUDACC__)
namespace {
using device = gpu::backend<gpu::cpp>;

/// Threads as ranks; a sum must not be captured, because another rank may have done this shape before.
struct outside_of_graphs : train::host_communicator {
  explicit outside_of_graphs(train::host_communicator const& other) : train::host_communicator(other) {}
  void all_reduce(device& b, out_vector<device, double> values) const {
    CHECK(!b.context().graph);
    train::host_communicator::all_reduce(b, values);
  }
  void all_reduce(device& b, std::span<double> numbers) const { train::host_communicator::all_reduce(b, numbers); }
};
}  // namespace

TEST_CASE("captured step: two ranks with summed gradients equal one, for any division of a batch") {
  auto options = quick();
  options.dropout = 0;  // the ranks' own masks
  device b;
  auto expected = random_t5<double>(b, tiny_t5());
  seq2seq::trainer<device, double> model_trainer(b, expected, options);
  seq2seq::training_progress expected_progress;
  fit(model_trainer, examples{21}, examples{7},
      expected_progress);  // the last batch is a single example: the first rank has none of it, and begins there
  train::run_on_threads(2, [&](train::host_communicator const& communicator) {
    device mine;
    outside_of_graphs const ranks(communicator);
    auto model = random_t5<double>(mine, tiny_t5());
    seq2seq::trainer<device, double, outside_of_graphs> rank_trainer(mine, model, options, ranks);
    seq2seq::training_progress progress;
    fit(rank_trainer, examples{21}, examples{7}, progress,
        {.should_stop = [](seq2seq::training_progress const& p) { return p.step == 4; }});
    seq2seq::trainer<device, double, outside_of_graphs> later(mine, model, options, ranks);
    copy(std::as_const(rank_trainer.moments().first).view_all(), later.moments().first.view_all());
    copy(std::as_const(rank_trainer.moments().second).view_all(), later.moments().second.view_all());
    later.moments().step = 4;
    fit(later, examples{21}, examples{7}, progress);
    CHECK_CLOSE(model.parameters(), fetched(expected.parameters()), 1e-9);
    CHECK_CLOSE(progress.best_loss, expected_progress.best_loss, 1e-10);
  });
}
#endif
