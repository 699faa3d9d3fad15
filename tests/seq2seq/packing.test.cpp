// Sequences of a batch lie back to back and know nothing of one another; how a batch is cut and who computes it changes
// no more than the order of sums.
#include "mql4grec/backend/contract/row_blocks.hpp"
#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/small_t5.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
constexpr nn::dropout_plan with_dropout{.rate = 0.2, .seed = 5, .step = 3};

tasks::batch ragged_batch() {
  index_t const inputs[] = {3, 1, 6, 17, 2}, targets[] = {2, 4, 1, 5, 5};
  return batch_of(inputs, targets, 9);
}
tasks::batch single_sequence(tasks::batch const& all, index_t s) {
  tasks::batch one;
  auto const input = all.input(s), target = all.target(s);
  one.append(input.first(input.size() - 1), target.first(target.size() - 1));  // append closes them again
  return one;
}
}  // namespace

TEST_CASE_TEMPLATE("packing: the loss of a batch is the sum of the losses of its sequences", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  tasks::batch const all = ragged_batch();
  auto const model = random_t5<double>(b, small_t5());
  double sum = 0;
  for (index_t s = 0; s < all.size(); ++s) sum += loss_of(b, model, single_sequence(all, s), {0, 1});
  CHECK_CLOSE(loss_of(b, model, all, whole(all)), sum, 1e-13);
}

TEST_CASE_TEMPLATE("packing: a sequence's logits don't depend on the other sequences of the batch", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  tasks::batch const all = ragged_batch();
  auto const model = random_t5<double>(b, small_t5(nn::activation::gated_gelu));
  auto together = poisoned<double>(b, {std::ssize(all.targets), 9});
  seq2seq::t5_pass pass(b, model);
  pass.logits(all, whole(all), together);
  for (index_t s = 0; s < all.size(); ++s) {
    auto by_itself = poisoned<double>(b, {std::ssize(all.target(s)), 9});
    pass.logits(single_sequence(all, s), {0, 1}, by_itself);
    CHECK_CLOSE(by_itself,
                (*together).row_block(all.target_offsets[static_cast<std::size_t>(s)], std::ssize(all.target(s))),
                1e-13);
  }
}

TEST_CASE_TEMPLATE("packing: losses and gradients of micro-batches sum to those of the batch, including dropout", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  tasks::batch const all = ragged_batch();
  auto const model = random_t5<double>(b, small_t5());
  loss_and_gradient<double, B> const at_once(b, model, all, whole(all), with_dropout, 0.1);
  for (index_t tokens : {1, 10, 22}) {
    std::vector<tasks::micro_batch> micro_batches;
    seq2seq::cut_into_micro_batches(all, {.tokens = tokens}, micro_batches);
    double loss = 0;
    auto gradient = on(b, constant(model.layout().size(), 0.));
    seq2seq::t5_pass pass(b, model);  // one for all, as a worker has it
    auto const views = seq2seq::t5_windows(model.config(), model.layout(), *gradient);
    for (tasks::micro_batch part : micro_batches)
      loss += pass.loss_and_gradient(all, part, with_dropout, {.sum = views, .scale = 0.1});
    CAPTURE(tokens);
    CHECK_CLOSE(loss, at_once.loss, 1e-13);
    CHECK_CLOSE(gradient, at_once.gradient, 1e-13);
  }
}

TEST_CASE("packing: micro-batches cover the batch in order, each of about the given size and none empty") {
  tasks::batch const all = ragged_batch();
  for (index_t tokens : {1, 7, 10, 22, 1000})
    for (index_t shards : {1, 2, 3}) {
      std::vector<tasks::micro_batch> parts{{5, 7}};  // is emptied
      seq2seq::cut_into_micro_batches(all, {.tokens = tokens, .shards = shards}, parts);
      index_t next = 0;
      for (tasks::micro_batch part : parts) {
        CHECK((part.first == next && part.last > part.first));
        next = part.last;
        index_t sum = 0;
        for (index_t s = part.first; s + 1 < part.last; ++s) sum += seq2seq::cost(all, s);
        CHECK(sum < tokens);  // it would have ended before
      }
      CHECK(next == all.size());
    }
  std::vector<tasks::micro_batch> none;
  seq2seq::cut_into_micro_batches(tasks::batch{}, {.tokens = 10}, none);
  CHECK(none.empty());
}

TEST_CASE("packing: every shard gets as many micro-batches, and their cost differs by a sequence at most") {
  random_stream random(3, 0);
  std::vector<index_t> inputs(200), targets(200);
  for (auto& n : inputs) n = 1 + random.below(80);
  for (auto& n : targets) n = 1 + random.below(5);
  tasks::batch const all = batch_of(inputs, targets, 9);
  for (index_t shards : {1, 2, 3, 8}) {
    std::vector<tasks::micro_batch> parts;
    seq2seq::cut_into_micro_batches(all, {.tokens = 512, .shards = shards}, parts);
    CHECK(std::ssize(parts) % shards == 0);
    std::vector<index_t> costs(to_size(shards));
    for (index_t shard = 0; shard < shards; ++shard) {
      auto const share = worker_share{shard, shards}.of(std::ssize(parts));
      for (index_t p = share.first; p < share.first + share.count; ++p)
        for (index_t s = parts[to_size(p)].first; s < parts[to_size(p)].last; ++s)
          costs[to_size(shard)] += seq2seq::cost(all, s);
    }
    auto const [least, most] = std::ranges::minmax(costs);
    CHECK(most - least <= 2 * 85);  // each end of a share moves by less than the longest sequence
  }
}

TEST_CASE_TEMPLATE("packing: the same pass twice gives the same bits", S, MQL4GREC_TEST_FAST_SETTINGS) {
  using B = typename S::backend;
  using T = typename S::scalar;
  B b, another;
  tasks::batch const all = ragged_batch();
  auto const model = random_t5<T>(b, small_t5());
  loss_and_gradient<T, B> const first(b, model, all, whole(all), with_dropout),
      second(b, model, all, whole(all), with_dropout), elsewhere(another, model, all, whole(all), with_dropout);
  CHECK(first.loss == second.loss);
  CHECK(first.loss == elsewhere.loss);
  CHECK_CLOSE(second.gradient, first.gradient, 0);
  CHECK_CLOSE(elsewhere.gradient, first.gradient, 0);
}

TEST_CASE_TEMPLATE("packing: an intermediate pass of another size has no effect", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  tasks::batch const all = ragged_batch();
  auto const model = random_t5<double>(b, small_t5());
  seq2seq::t5_pass pass(b, model);
  double const before = pass.loss(all, {0, 2});
  pass.loss(all, whole(all));
  pass.loss(all, {3, 4});
  CHECK(pass.loss(all, {0, 2}) == before);
}

TEST_CASE_TEMPLATE("packing: no allocation from the third pass of a size on", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  index_t const lengths[] = {200, 300};
  tasks::batch const all = batch_of(lengths, lengths, 9);
  auto const model = random_t5<float>(b, small_t5());
  for (int i = 0; i < 2; ++i) loss_and_gradient<float, B>(b, model, all, whole(all));  // in pieces, then in one
  auto const capacity = b.scratch().capacity();
  CHECK(capacity > (std::size_t{1} << 20));
  for (int i = 0; i < 3; ++i) loss_and_gradient<float, B>(b, model, all, whole(all));
  CHECK(b.scratch().capacity() == capacity);
}
