// Step by step with a cache, the decoder returns the same logits as for the whole sequence at once.
#include "mql4grec/seq2seq/decoding.hpp"

#include <doctest/doctest.h>

#include <numeric>

#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/small_t5.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
/// Logits of all steps with one row per query, whose inputs are <pad> and the batch's targets; in the layout of teacher
/// forcing.
template <class T, class B>
tensor_on<T, B, 2> stepwise_logits(B& b, seq2seq::frozen_t5<B, T> const& model, tasks::batch const& all,
                                   index_t steps) {
  index_t const n = all.size(), v = model.config().vocabulary;
  auto out = poisoned<T>(b, {n * steps, v}), logits = poisoned<T>(b, {n, v});
  scratch_scope<B> const scope(b.scratch());
  auto decoding = seq2seq::make_decoding(b, model);
  decoding.begin(all, {0, n}, {.rows = n * steps, .steps = steps});
  std::vector<index_t> row_offsets(static_cast<std::size_t>(n) + 1);
  std::iota(row_offsets.begin(), row_offsets.end(), index_t{0});
  for (index_t step = 0; step < steps; ++step) {
    std::vector<token_t> tokens;
    std::vector<std::int32_t> places;
    for (index_t q = 0; q < n; ++q) {
      tokens.push_back(step == 0 ? model.config().pad : all.target(q)[static_cast<std::size_t>(step) - 1]);
      for (index_t s = 0; s <= step; ++s) places.push_back(static_cast<std::int32_t>(s * n + q));
    }
    auto const read = on(b, vector<token_t>(tokens));
    auto const ancestors = on(b, matrix<std::int32_t>({n, step + 1}, places));
    auto const offsets = on(b, vector<index_t>(row_offsets));
    decoding.step({.tokens = read, .places = ancestors, .query_offsets = offsets}, step * n, logits);
    for (index_t q = 0; q < n; ++q) copy<T>(b, (*logits).row(q), (*out).row(q * steps + step));
  }
  return out;
}

template <class T, class B>
tensor_on<T, B, 2> teacher_forced_logits(B& b, seq2seq::frozen_t5<B, T> const& model, tasks::batch const& all) {
  auto logits = poisoned<T>(b, {std::ssize(all.targets), model.config().vocabulary});
  seq2seq::t5_pass(b, model.model()).logits(all, whole(all), logits);
  return logits;
}

/// Ragged inputs, `steps` target tokens each.
tasks::batch ragged_queries(index_t steps) {
  index_t const inputs[] = {3, 1, 17, 40, 2}, targets[] = {steps, steps, steps, steps, steps};
  return batch_of(inputs, targets, 9);
}
}  // namespace

TEST_CASE_TEMPLATE("decoding: step by step the logits are those of teacher forcing", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  for (auto activation : {nn::activation::relu, nn::activation::gated_gelu})
    for (bool tied : {true, false})
      for (index_t steps : {1, 2, 5}) {
        auto const config = small_t5(activation, tied);
        auto const all = ragged_queries(steps);
        auto const exact = random_frozen_t5<double>(b, config);
        CHECK_CLOSE(stepwise_logits(b, exact, all, steps), teacher_forced_logits(b, exact, all), 1e-12);
        auto const rounded = random_frozen_t5<float>(b, config);
        CHECK_CLOSE(stepwise_logits(b, rounded, all, steps), teacher_forced_logits(b, rounded, all), 2e-5);
      }
}

TEST_CASE_TEMPLATE("decoding: sequences may be longer than a kernel's buffer and the maximum relative distance", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  index_t const steps = 70;
  auto const all = ragged_queries(steps);
  auto const model = random_frozen_t5<float>(b, small_t5());
  CHECK_CLOSE(stepwise_logits(b, model, all, steps), teacher_forced_logits(b, model, all), 5e-5);
}

TEST_CASE_TEMPLATE("decoding: rows that branch share their ancestors and their query, and a query may have no rows", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const model = random_frozen_t5<double>(b, small_t5());
  tasks::batch const all = ragged_queries(1);
  index_t const n = all.size(), v = 9;
  token_t const pad = model.config().pad, x{4}, y{6};
  scratch_scope<B> const scope(b.scratch());
  auto decoding = seq2seq::make_decoding(b, model);
  decoding.begin(all, whole(all), {.rows = n + 3, .steps = 2});
  auto const step = [&](vector<token_t> const& tokens, std::vector<std::int32_t> const& places,
                        vector<index_t> const& offsets, index_t first_place) {
    auto logits = poisoned<double>(b, {tokens.size(), v});
    auto const read = on(b, tokens);
    auto const ancestors = on(b, matrix<std::int32_t>({tokens.size(), std::ssize(places) / tokens.size()}, places));
    auto const row_offsets = on(b, offsets);
    decoding.step({.tokens = read, .places = ancestors, .query_offsets = row_offsets}, first_place, logits);
    return logits;
  };
  step({pad, pad, pad, pad, pad}, {0, 1, 2, 3, 4}, {0, 1, 2, 3, 4, 5}, 0);
  auto const branched =
      step({x, y, x}, {2, 5, 2, 6, 4, 7}, {0, 0, 0, 2, 2, 3}, n);  // two rows of query 2, one of query 4
  auto const expected = [&](index_t query, token_t read) {
    tasks::batch one;
    auto const input = all.input(query);
    one.append(input.first(input.size() - 1), std::span(&read, 1));
    return teacher_forced_logits(b, model, one);
  };
  CHECK_CLOSE((*branched).row(0), (*expected(2, x)).row(1), 1e-12);
  CHECK_CLOSE((*branched).row(1), (*expected(2, y)).row(1), 1e-12);
  CHECK_CLOSE((*branched).row(2), (*expected(4, x)).row(1), 1e-12);
}

TEST_CASE_TEMPLATE("decoding: a micro-batch is decoded independently of the rest of the batch", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const model = random_frozen_t5<double>(b, small_t5());
  tasks::batch const all = ragged_queries(1);
  auto const expected = teacher_forced_logits(b, model, all);
  auto decoding = seq2seq::make_decoding(b, model);
  for (index_t q = 0; q < all.size(); ++q) {
    scratch_scope<B> const scope(b.scratch());
    decoding.begin(all, {q, q + 1}, {.rows = 1, .steps = 1});
    CHECK(decoding.queries() == 1);
    auto const place = on(b, matrix<std::int32_t>{{0}});
    auto const tokens = on(b, vector{model.config().pad});
    auto const offsets = on(b, vector<index_t>{0, 1});
    auto logits = poisoned<double>(b, {1, 9});
    decoding.step({.tokens = tokens, .places = place, .query_offsets = offsets}, 0, logits);
    CHECK_CLOSE((*logits).row(0), (*expected).row(q), 1e-12);
  }
}
