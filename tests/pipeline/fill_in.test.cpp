#include "mql4grec/pipeline/fill_in.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <set>
#include <string>

#include "support/backends.hpp"
#include "support/small_t5.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
constexpr index_t items = 14;
constexpr auto text = language::modality::text, image = language::modality::image;

language::vocabulary const& vocab() {
  static language::vocabulary const small({.modalities = {{"a", {3, 3}}, {"A", {3, 4}}}});
  return small;
}
/// Sequences of random codes for all items but some.
language::token_table random_table(language::modality kind, std::set<int> const& missing) {
  language::token_table table(kind, items, 2);
  random_stream random(5, static_cast<std::uint64_t>(kind));
  for (index_t i = 0; i < items; ++i) {
    std::vector const sequence = {vocab().token(kind, 0, code_t(random.below(3))),
                                  vocab().token(kind, 1, code_t(random.below(3)))};
    if (!missing.contains(static_cast<int>(i))) table.set(item_id(i), sequence);
  }
  return table;
}
/// Items 1 and 13 lack the text, 4 and 5 the image, 9 both.
std::vector<language::token_table> tables() { return {random_table(text, {1, 9, 13}), random_table(image, {4, 5, 9})}; }

template <class B>
seq2seq::frozen_t5<B, double> model(B& b) {
  auto config = small_t5();
  config.vocabulary = vocab().size();
  return random_frozen_t5<double>(b, config);
}

/// The valid sequence that the model finds most likely after the alignment task of an item.
std::vector<token_t> most_likely(tasks::alignment const& task, item_id item) {
  reference::backend b;
  auto const frozen = model(b);
  auto const all = tables();
  tasks::batch query;
  task.write_query(item, {.tables = all, .vocab = vocab()}, query);
  auto const input = query.input(0).first(query.input(0).size() - 1);
  std::vector<token_t> best;
  double least = INFINITY;
  auto const& valid = all[to_size(task.to)];
  for (auto const other : valid.present()) {
    tasks::batch one;
    one.append(input, valid.of(other));
    double const loss = seq2seq::t5_pass(b, frozen.model()).loss(one, {0, 1});
    if (loss < least - 1e-9) {
      least = loss;
      best.assign(valid.of(other).begin(), valid.of(other).end());
    }
  }
  return best;
}
}  // namespace

TEST_CASE_TEMPLATE("fill_in_language: an absent sequence is the valid one that the alignment task finds most likely", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  for (auto const& mix : {tasks::all_tasks(), tasks::released_mixture(),
                          tasks::listed_tasks({"next-text", "align-image-text", "align-text-image"})}) {
    auto const filled = pipeline::fill_in_language(b, model(b), {vocab(), mix}, tables(), {.search = {.beams = 20}});
    REQUIRE(filled.size() == 2);
    auto const before = tables();
    for (std::size_t m = 0; m < 2; ++m)
      for (index_t i = 0; i < items; ++i) {
        auto const item = item_id(i);
        if (before[m].has(item)) CHECK(std::ranges::equal(filled[m].of(item), before[m].of(item)));
        CHECK(filled[m].has(item) == (i != 9));
      }
    for (int const i : {1, 13})
      CHECK(std::ranges::equal(filled[0].of(item_id{i}), most_likely({image, text, {15, 3}}, item_id{i})));
    for (int const i : {4, 5})
      CHECK(std::ranges::equal(filled[1].of(item_id{i}), most_likely({text, image, {12, 3}}, item_id{i})));
  }
}

TEST_CASE("fill_in_language: only the named items, only the directions that the model has learnt") {
  cpu::backend b;
  auto const some = pipeline::fill_in_language(
      b, model(b), {vocab(), tasks::all_tasks()}, tables(),
      {.items = search::item_list{item_id{13}, item_id{4}, item_id{13}, item_id{9}, item_id{0}, item_id{99}}});
  CHECK(some[0].has(item_id{13}));
  CHECK(!some[0].has(item_id{1}));
  CHECK(some[1].has(item_id{4}));
  CHECK(!some[1].has(item_id{5}));
  auto const one =
      pipeline::fill_in_language(b, model(b), {vocab(), tasks::listed_tasks({"align-text-image"})}, tables());
  CHECK(one[0] == tables()[0]);
  CHECK(one[1].has(item_id{5}));
  CHECK_THROWS_WITH_AS(
      static_cast<void>(pipeline::fill_in_language(b, model(b), {vocab(), tasks::next_only()}, tables())),
      doctest::Contains("no alignment task"), error);
  CHECK_THROWS_AS(
      static_cast<void>(pipeline::fill_in_language(b, model(b), {vocab(), tasks::released_next_only()}, tables())),
      error);
  std::vector<language::token_table> const no_images = {random_table(text, {}), {image, items, 2}};
  CHECK(pipeline::fill_in_language(b, model(b), {vocab(), tasks::all_tasks()}, no_images) == no_images);
}
