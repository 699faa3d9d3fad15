// A live catalog that is read while writers change it and merges run, under the thread sanitizer.
#include <doctest/doctest.h>

#include <thread>

#include "core/temporary_directory.hpp"
#include "mql4grec/core/random.hpp"
#include "mql4grec/search/live_catalog.hpp"
#include "search/same_trie.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
constexpr index_t levels = 3, codes = 4;
constexpr auto text = language::modality::text;

std::vector<token_t> random_sequence(random_stream& random) {
  std::vector<token_t> tokens;
  for (index_t l = 0; l < levels; ++l) tokens.push_back(token_t(2 + codes * l + random.below(codes)));
  return tokens;
}
}  // namespace

namespace {
void check_versions(search::live_catalog_options options) {
  temporary_directory const directory;
  language::token_table table(text, 40, levels);
  random_stream start(1, 0);
  for (int i = 0; i < 40; ++i) table.set(item_id{i}, random_sequence(start));
  options.log = directory / "log";
  search::live_catalog catalog({table}, options);
  std::atomic<bool> done{false};
  std::atomic<index_t> reads{0}, wrong{0};

  std::vector<std::thread> threads;
  for (int r = 0; r < 3; ++r)
    threads.emplace_back([&, r] {
      auto const reader = catalog.reader();
      std::uint64_t last = 0;
      for (index_t n = 0; !done; ++n, ++reads) {
        auto const version = reader.read();
        // Items 2i and 2i + 1 are always given the same sequence, by one change of the catalog.
        for (int i = 0; i < 20; ++i)
          if (!std::ranges::equal(version->sequence(text, item_id{2 * i}), version->sequence(text, item_id{2 * i + 1})))
            if (version->number() > 20) ++wrong;
        // Each set of items has one of these pairs, whose sequences are equal.
        if (auto const some = version->set("some"); some && version->number() > 20)
          for (int i = 0; i < 20; ++i)
            if (version->contains(*some, item_id{2 * i}) != version->contains(*some, item_id{2 * i + 1})) ++wrong;
        if (version->number() < last) ++wrong;
        last = version->number();
        if (n % 4 == r) {
          auto const content = version->table(text);
          search::item_trie const built(content);
          auto const& trie = version->groups()[0].trie;
          if (!same_below(trie, trie.root(0), built, 0)) ++wrong;
        }
      }
    });
  threads.emplace_back([&] {  // readers come and go
    while (!done) (void)catalog.reader().read()->number();
  });
  std::vector<std::thread> writers;
  for (int i = 0; i < 20; ++i) {
    auto const sequence = random_sequence(start);
    std::vector<search::catalog_change> const both{{item_id{2 * i}, {sequence}}, {item_id{2 * i + 1}, {sequence}}};
    catalog.apply(both);
  }
  for (std::uint64_t w = 0; w < 2; ++w)
    writers.emplace_back([&, w] {
      random_stream random(2, w);
      for (int n = 0; n < 400; ++n) {
        auto const i = static_cast<int>(random.below(20));
        std::vector<std::vector<token_t>> sequences;
        if (random.below(3)) sequences.push_back(random_sequence(random));
        std::vector<search::catalog_change> const both{{item_id{2 * i}, sequences}, {item_id{2 * i + 1}, sequences}};
        catalog.apply(both);
        if (n % 100 == 50) catalog.merge();
        if (n % 50 == 20) catalog.replace_sets({{"some", {item_id{2 * i}, item_id{2 * i + 1}}}});
      }
    });
  for (auto& writer : writers) writer.join();
  done = true;
  for (auto& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(reads > 20);
  CHECK(catalog.pending() < 200);
}
}  // namespace

TEST_CASE("live catalog: every version that a reader gets is whole while items change and merges run") {
  check_versions({.merge_after = 40, .snapshot_after = 20000});
}

TEST_CASE("live catalog: the same while memory for changes is exhausted again and again") {
  check_versions({.merge_after = 40,
                  .tries = {.spare_nodes = 4 * (1 << 16) + 1000, .spare_entries = 66000},
                  .tokens = {.spare_rows = 30, .spare_items = 0}});
}
