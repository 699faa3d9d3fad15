// Trainings on several ranks: the same bits as on one.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <concepts>
#include <string>

#include "mql4grec/seq2seq/learner.hpp"
#include "mql4grec/train/threads.hpp"
#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/small_t5.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
/// Examples of different lengths, which depend on the epoch; with a task and a dataset.
struct ragged {
  index_t count;

  struct place {
    std::size_t task, dataset;
  };
  index_t size() const { return count; }
  void write(index_t i, std::uint64_t seed, std::uint64_t epoch, tasks::batch& out) const {
    std::vector<token_t> input = {token_t(2 + i / 7 % 7), token_t(2 + i % 7)};
    input.insert(input.end(), static_cast<std::size_t>((3 * i + static_cast<index_t>(seed + epoch)) % 8), token_t{2});
    out.append(input, std::vector{input[1], input[0]});
  }
  place origin(index_t i, std::uint64_t, std::uint64_t) const { return {to_size(i % 2), 0}; }
};

seq2seq::training_options in_shards(index_t shards) {
  return {.epochs = 3,
          .batch_size = 11,
          .learning_rate = 1e-2,
          .dropout = 0.1,
          .patience = 0,
          .seed = 9,
          .gradient_shards = shards,
          .sum_entries = 100,  // so that layers are summed one by one
          .block_tokens = 16};
}

/// What a training leaves.
struct outcome {
  std::vector<float> parameters, first, second;
  std::vector<double> losses;
  std::int64_t updates = 0;
  double best_loss = 0;
  bool operator==(outcome const&) const = default;
};

template <class B>
B backend_of(index_t threads) {
  if constexpr (std::same_as<B, cpu::backend>)
    return B(threads);
  else
    return B();
}

/// The outcomes on all ranks, whose backends have so many threads.
template <class B = cpu::backend>
std::vector<outcome> trained(index_t ranks, index_t threads, seq2seq::training_options const& options,
                             index_t examples = 25) {
  std::vector<outcome> all(to_size(ranks));
  train::run_on_threads(ranks, [&](train::host_communicator communicator) {
    auto b = backend_of<B>(threads);
    auto model = random_t5<float>(b, tiny_t5());
    seq2seq::trainer<B, float, train::host_communicator> trainer(b, model, options, communicator);
    auto& mine = all[to_size(communicator.rank())];
    seq2seq::training_progress progress;
    seq2seq::fit(trainer, ragged{examples}, ragged{7}, progress,
                 {.on_step = [&](auto const&, double loss, std::int64_t) { mine.losses.push_back(loss); },
                  .on_epoch = [&](auto const& p, bool) { mine.losses.push_back(p.history.back().valid_loss); }});
    mine.parameters = fetched(model.parameters()).values;
    trainer.collect_moments();
    trainer.collect_moments();  // a second time changes nothing
    mine.first = fetched(trainer.moments().first.view_all()).values;
    mine.second = fetched(trainer.moments().second.view_all()).values;
    mine.updates = trainer.moments().step;
    mine.best_loss = progress.best_loss;
  });
  return all;
}

/// Checks that the outcome doesn't depend on the number of ranks and of threads.
void check_equal(seq2seq::training_options const& options, index_t examples = 25) {
  auto const expected = trained(1, 1, options, examples).front();
  CHECK(expected.updates == 3 * ((examples + 10) / 11));
  for (index_t ranks = 1; ranks <= std::min<index_t>(4, options.gradient_shards); ++ranks) {
    index_t const threads = ranks % 3 == 1 ? 2 : 1;
    INFO("ranks " << ranks << ", threads " << threads);
    for (auto const& one : trained(ranks, threads, options, examples)) CHECK(one == expected);
  }
}
}  // namespace

TEST_CASE("ranks: losses, parameters and moments have the same bits for any number of ranks and threads") {
  for (index_t shards : {1, 2, 4, 6, 7}) {
    INFO("shards " << shards);
    check_equal(in_shards(shards));
  }
}

TEST_CASE("ranks: the same with a last batch of fewer examples than shards, with small and large micro-batches") {
  check_equal(in_shards(4), 11 * 2 + 1);
  for (index_t block_tokens : {1, 1000}) {
    auto options = in_shards(4);
    options.block_tokens = block_tokens;
    check_equal(options);
  }
}

TEST_CASE("ranks: the same with Muon, with a decay of layers and with gradient surgery") {
  auto muon = in_shards(4);
  muon.hidden_optimizer = optim::muon{};
  muon.layer_decay = 0.8;
  check_equal(muon);
  auto surgery = in_shards(4);
  surgery.surgery = seq2seq::gradient_groups::tasks;
  auto const expected = trained(1, 1, surgery).front();
  for (index_t ranks : {2, 3})
    for (auto const& one : trained(ranks, 1, surgery)) CHECK(one == expected);
}

TEST_CASE("ranks: moments that are divided among the ranks give the same bits, and are whole when they are collected") {
  auto const expected = trained(1, 1, in_shards(6)).front();
  for (double layer_decay : {1.0, 0.8}) {
    auto options = in_shards(6);
    options.layer_decay = layer_decay;
    auto const whole = layer_decay == 1 ? expected : trained(1, 1, options).front();
    options.sharded_moments = true;
    for (index_t ranks : {1, 2, 3, 4}) {
      auto all = trained(ranks, ranks % 2 + 1, options);
      CHECK(all.front() == whole);
      for (auto& one : all) {
        if (&one != &all.front()) CHECK(one.first.size() < whole.first.size());
        one.first = whole.first;
        one.second = whole.second;
        CHECK(one == whole);
      }
    }
  }
  auto surgery = in_shards(4);
  surgery.surgery = seq2seq::gradient_groups::tasks;
  auto const by_one = trained(1, 1, surgery).front();
  surgery.sharded_moments = true;
  CHECK(trained(2, 1, surgery).front() == by_one);
  auto muon = in_shards(4);
  muon.hidden_optimizer = optim::muon{};
  muon.sharded_moments = true;
  CHECK_THROWS_WITH_AS(trained(2, 1, muon), doctest::Contains("sharded_moments with Muon"), error);
}

#if defined(MQL4GREC_TEST_DEVICE_BACKENDS)
TEST_CASE_TEMPLATE("ranks: on devices, too, shards and parts of the moments give the bits of one rank", B,
                   MQL4GREC_TEST_DEVICE_BACKENDS) {
  auto options = in_shards(4);
  SUBCASE("AdamW") {}
  SUBCASE("gradient surgery") { options.surgery = seq2seq::gradient_groups::tasks; }
  auto const expected = trained<B>(1, 1, options).front();
  for (bool const sharded_moments : {false, true}) {
    options.sharded_moments = sharded_moments;
    for (index_t const ranks : {2, 3}) CHECK(trained<B>(ranks, 1, options).front() == expected);
  }
}
#endif

TEST_CASE("ranks: sums beside the backward pass, with ranges of any size, have the bits of sums after it") {
  auto const expected = trained(1, 1, in_shards(6)).front();
  for (index_t sum_entries : {0, 1, 1000, 1 << 20})
    for (bool sharded_moments : {false, true})
      for (index_t ranks : {2, 3}) {
        auto options = in_shards(6);
        options.sum_entries = sum_entries;
        options.sharded_moments = sharded_moments;
        INFO("sum_entries " << sum_entries << ", ranks " << ranks);
        CHECK(trained(ranks, 2, options).front() == expected);
      }
}

TEST_CASE("ranks: an error of one rank ends the others in the midst of their sums, and is thrown") {
  auto const work = [](train::host_communicator communicator) {
    cpu::backend b(2);
    auto model = random_t5<float>(b, tiny_t5());
    seq2seq::trainer<cpu::backend, float, train::host_communicator> trainer(b, model, in_shards(4), communicator);
    tasks::batch all;
    for (index_t i = 0; i < 9; ++i) ragged{9}.write(i, 0, 0, all);
    trainer.step(all, 1e-3);
    CHECK(trainer.time_of_sums().all > 0);
    CHECK(trainer.time_of_sums().hidden <= trainer.time_of_sums().all);
    if (communicator.rank() == 1) raise("out of luck");
    trainer.step(all, 1e-3);
  };
  CHECK_THROWS_WITH_AS(train::run_on_threads(3, work), "out of luck", error);
}

TEST_CASE("ranks: ranges of a gradient are all of it, in the order of the backward pass") {
  using train::gradient_range;
  std::vector<index_t> const reported = {90, 70, 65, 20};
  CHECK(train::ranges_of(reported, 100, 110, 0) == std::vector<gradient_range>{{0, 110, 0}});
  CHECK(train::ranges_of(reported, 100, 110, 1) ==
        std::vector<gradient_range>{{90, 10, 90}, {70, 20, 70}, {65, 5, 65}, {20, 45, 20}, {0, 20, 0}, {100, 10, 0}});
  CHECK(train::ranges_of(reported, 100, 100, 30) ==
        std::vector<gradient_range>{{70, 30, 70}, {20, 50, 20}, {0, 20, 0}});
  CHECK(train::ranges_of(reported, 100, 100, 1000) == std::vector<gradient_range>{{0, 100, 0}});
}

TEST_CASE("ranks: each writes the tokens of its own shards, and few others") {
  struct counted {
    std::vector<std::atomic<int>>& writes;  // of each rank
    std::size_t rank;

    index_t size() const { return 64; }
    void write(index_t i, std::uint64_t seed, std::uint64_t epoch, tasks::batch& out) const {
      ++writes[rank];
      ragged{64}.write(i, seed, epoch, out);
    }
  };
  for (index_t ranks : {1, 2, 4}) {
    std::vector<std::atomic<int>> writes(to_size(ranks));
    train::run_on_threads(ranks, [&](train::host_communicator communicator) {
      cpu::backend b;
      auto model = random_t5<float>(b, tiny_t5());
      auto options = in_shards(4);
      options.batch_size = 32;
      seq2seq::trainer<cpu::backend, float, train::host_communicator> trainer(b, model, options, communicator);
      seq2seq::training_progress progress;
      counted const all{writes, to_size(communicator.rank())};
      seq2seq::fit(trainer, all, all, progress);
    });
    int sum = 0;
    for (auto const& one : writes) {
      INFO("ranks " << ranks << ", writes " << one);
      CHECK(static_cast<index_t>(one) <= 3 * (64 + 64) / ranks * 5 / 4);
      sum += one;
    }
    CHECK(sum >= 3 * (64 + 64));
  }
}

TEST_CASE("ranks: a shared batch has the lengths of all sequences, and the tokens of the rank's own") {
  tasks::batch whole;
  for (index_t i = 0; i < 20; ++i) ragged{20}.write(i * i, 3, 1, whole);
  for (index_t sequences : {0, 1, 2, 20}) {
    std::vector<tasks::batch> parts(3);
    std::vector<row_range> shards(3);
    train::run_on_threads(3, [&](train::host_communicator communicator) {
      reference::backend b;
      auto const rank = to_size(communicator.rank());
      shards[rank] = {2 * communicator.rank(), 2};
      seq2seq::detail::shared_batch_writer writer;
      for (int again = 0; again < 2; ++again)
        writer.write(
            b, communicator, {.cut = {.tokens = 5, .shards = 6}, .shards = shards[rank]}, sequences,
            [](index_t i, tasks::batch& to) { ragged{20}.write(i * i, 3, 1, to); }, parts[rank]);
    });
    index_t own_sequences = 0;
    for (std::size_t rank = 0; rank < 3; ++rank) {
      auto const& part = parts[rank];
      REQUIRE(part.size() == sequences);
      std::vector<tasks::micro_batch> cut;
      seq2seq::cut_into_micro_batches(part, {.tokens = 5, .shards = 6}, cut);
      auto const own = seq2seq::detail::sequences_of(cut, {{.tokens = 5, .shards = 6}, shards[rank]});
      own_sequences += own.count;
      for (index_t i = 0; i < sequences; ++i) {
        REQUIRE(part.input(i).size() == whole.input(i).size());
        REQUIRE(part.target(i).size() == whole.target(i).size());
        if (i < own.first || i >= own.first + own.count) continue;
        CHECK(std::ranges::equal(part.input(i), whole.input(i)));
        CHECK(std::ranges::equal(part.target(i), whole.target(i)));
      }
    }
    CHECK(own_sequences == sequences);
  }
}

TEST_CASE("ranks: another number of shards gives other bits, and sums that are close") {
  auto const one = trained(1, 1, in_shards(1)).front(), four = trained(1, 1, in_shards(4)).front();
  CHECK(one.parameters != four.parameters);
  CHECK_CLOSE(four.best_loss, one.best_loss, 1e-3);
}

TEST_CASE("ranks: without a number of shards, every worker of every rank has one") {
  auto const two_workers = trained(1, 2, in_shards(0)).front();
  for (auto const& one : trained(2, 1, in_shards(0))) CHECK(one.parameters == two_workers.parameters);
  CHECK(two_workers.parameters == trained(1, 1, in_shards(2)).front().parameters);
}

TEST_CASE("ranks: fewer shards than ranks, and unequal numbers of shards, are refused on every rank") {
  CHECK_THROWS_WITH_AS(trained(3, 1, in_shards(2)), doctest::Contains("2 gradient_shards for 3 ranks"), error);
  auto const work = [](train::host_communicator communicator) {
    cpu::backend b;
    auto model = random_t5<float>(b, tiny_t5());
    seq2seq::trainer<cpu::backend, float, train::host_communicator> const trainer(
        b, model, in_shards(communicator.rank() == 1 ? 8 : 4), communicator);
  };
  CHECK_THROWS_WITH_AS(train::run_on_threads(2, work), doctest::Contains("rank 1: the number of gradient shards"),
                       error);
}

TEST_CASE("ranks: a loss that isn't finite is reported with its step on every rank") {
  for (index_t ranks : {1, 3}) {
    std::vector<std::string> messages(to_size(ranks));
    train::run_on_threads(ranks, [&](train::host_communicator communicator) {
      cpu::backend b;
      auto model = random_t5<float>(b, tiny_t5());
      seq2seq::trainer<cpu::backend, float, train::host_communicator> trainer(b, model, in_shards(4), communicator);
      tasks::batch all;
      for (index_t i = 0; i < 9; ++i) ragged{9}.write(i, 0, 0, all);
      trainer.step(all, 1e-3);
      model.parameters()(0) = NAN;
      try {
        trainer.step(all, 1e-3);
      } catch (training_error const& e) {
        messages[to_size(communicator.rank())] = e.what();
      }
      CHECK(trainer.moments().step == 1);
    });
    for (auto const& message : messages) CHECK(message.starts_with("step 2: the loss is "));
  }
}

TEST_CASE("shards: nodes are the largest that some shards have, and the sum of all is one node") {
  auto const text_of = [](index_t first, index_t count, index_t shards) {
    std::string text;
    for (auto const& node : optim::nodes_of({first, count}, shards))
      text += (text.empty() ? "" : " ") + std::to_string(node.first) + "+" + std::to_string(node.size);
    return text;
  };
  CHECK(text_of(0, 8, 8) == "0+8");
  CHECK(text_of(0, 1, 1) == "0+1");
  CHECK(text_of(1, 5, 8) == "1+1 2+2 4+2");
  CHECK(text_of(0, 6, 6) == "0+8");
  CHECK(text_of(4, 2, 6) == "4+4");  // there is nothing beyond
  CHECK(text_of(2, 1, 3) == "2+2");
  CHECK(text_of(3, 0, 4) == "");
  for (index_t shards = 1; shards < 40; ++shards) CHECK(optim::nodes_of({0, shards}, shards).size() == 1);
}
