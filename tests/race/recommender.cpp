// Requests of several threads while the catalog changes, under the thread sanitizer.
#include "mql4grec/recommender.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <thread>

#include "mql4grec/core/random.hpp"
#include "support/small_t5.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

TEST_CASE("recommender: every list has k allowed items of one version while items change and merges run") {
  language::vocabulary const vocab({.modalities = {{"a", {4, 4, 4}}, {"A", {4, 4}}}});
  random_stream start(1, 0);
  auto const random_sequence = [&vocab](random_stream& random, language::modality kind) {
    std::vector<token_t> tokens;
    for (index_t l = 0; l < vocab.levels(kind); ++l)
      tokens.push_back(vocab.token(kind, l, code_t(static_cast<std::int32_t>(random.below(4)))));
    return tokens;
  };
  std::vector<language::token_table> tables;
  for (auto const kind : {language::modality::text, language::modality::image}) {
    auto& table = tables.emplace_back(kind, 60, vocab.levels(kind));
    for (int i = 0; i < 60; ++i) table.set(item_id{i}, random_sequence(start, kind));
  }
  auto config = small_t5();
  config.vocabulary = vocab.size();
  config.model_width = 8;
  cpu::backend b(1);
  recommender<> const tested(b, random_t5<float>(b, config, 7), {vocab, tasks::all_tasks()}, tables,
                             {.search = {.beams = 10}, .catalog = {.merge_after = 30}});
  // Items 0 … 29 are never removed, items 30 … 59 come and go.
  search::item_list denied;
  for (int i = 10; i < 60; ++i) denied.push_back(item_id{i});
  std::atomic<bool> done{false};
  std::atomic<index_t> requests{0}, wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t)
    threads.emplace_back([&, t] {
      auto session = tested.session();
      std::vector<item_id> const history{item_id{3 + t}, item_id{40}, item_id{7}};
      while (!done) {
        if (session.recommend(history, 10).size() != 10) ++wrong;
        auto const allowed = session.recommend(history, 10, {.deny = denied});
        if (allowed.size() != 10 || std::ranges::any_of(allowed.items, [](item_id i) { return index(i) >= 10; }))
          ++wrong;
        ++requests;
      }
    });
  random_stream random(2, 0);
  for (int n = 0; n < 300 || requests < 20; ++n) {
    search::catalog_change change{item_id{30 + static_cast<int>(random.below(30))}};
    if (random.below(3))
      for (auto const kind : {language::modality::text, language::modality::image})
        change.sequences.push_back(random_sequence(random, kind));
    tested.catalog().apply({&change, 1});
  }
  done = true;
  for (auto& thread : threads) thread.join();
  CHECK(wrong == 0);
}
