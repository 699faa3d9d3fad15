// Counts the calls of operator new during warm requests. What C libraries take with malloc() isn't counted.
#include <doctest/doctest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "mql4grec/recommender.hpp"
#include "mql4grec/seq2seq/initialize.hpp"
#include "support/instruction_sets.hpp"

namespace {
std::atomic<long> allocations{0};

void* counted(std::size_t bytes, std::size_t alignment) {
  ++allocations;
  void* const memory = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (!memory) throw std::bad_alloc();
  return memory;
}
}  // namespace

// Not inlined: g++ would take memory of one for a mismatch with the other.
[[gnu::noinline]] void* operator new(std::size_t bytes) { return counted(bytes, alignof(std::max_align_t)); }
[[gnu::noinline]] void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return counted(bytes, static_cast<std::size_t>(alignment));
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

using namespace mql4grec;

namespace {
constexpr index_t items = 500;

/// The calls of operator new during work().
template <class Work>
long allocations_of(Work&& work) {
  long const before = allocations;
  work();
  return allocations - before;
}

std::vector<language::token_table> tables() {
  language::vocabulary const vocab;
  std::vector<language::token_table> all;
  for (auto const kind : {language::modality::text, language::modality::image}) {
    all.emplace_back(kind, items, 4);
    random_stream random(2, static_cast<std::uint64_t>(kind));
    for (index_t i = 0; i < items; ++i) {
      token_t sequence[4];
      for (index_t l = 0; l < 4; ++l) sequence[l] = vocab.token(kind, l, code_t(random.below(8)));
      all.back().set(item_id(i), sequence);
    }
  }
  return all;
}
seq2seq::frozen_t5<cpu::backend, float> model(cpu::backend& b) {
  seq2seq::t5<cpu::backend, float> random(b, {});
  seq2seq::initialize(random, 1);
  return {b, std::move(random)};
}
std::vector<item_id> history(index_t length) {
  std::vector<item_id> all;
  for (index_t i = 0; i < length; ++i) all.push_back(item_id(7 * i % items));
  return all;
}
}  // namespace

TEST_CASE("search: nothing is allocated from the third search of a size on") {
  cpu::backend b;
  auto const frozen = model(b);
  auto const catalog = tables();
  search::item_trie const trie(std::array{&catalog[0], &catalog[1]});
  tasks::batch queries;
  for (auto const& table : catalog)
    tasks::all_tasks()
        .query(table.kind())
        .write_query(history(12), {.tables = catalog, .vocab = language::vocabulary()}, queries);
  std::vector<node_t> const roots = {0, 1};
  std::vector<std::uint8_t> const nodes(to_size(trie.nodes()), 1);
  search::beam_searcher searcher(b, frozen, trie);
  search::beams found;
  auto const search = [&](host_matrix_view<std::uint8_t const> allowed, search::normalization normalize) {
    found.clear();
    searcher.search({.batch = queries, .part = {0, 2}, .allowed = allowed, .roots = roots}, {.normalize = normalize},
                    found);
  };
  for (host_matrix_view<std::uint8_t const> const allowed :
       {host_matrix_view<std::uint8_t const>(), host_matrix_view<std::uint8_t const>(nodes.data(), 2, trie.nodes(), 0)})
    for (auto const normalize : {search::normalization::vocabulary, search::normalization::children}) {
      for (int round = 0; round < 2; ++round) search(allowed, normalize);  // the scratch grows, then its chunks merge
      CHECK(allocations_of([&] { search(allowed, normalize); }) == 0);
      CHECK(found.leaves_of(1).size() == 20);
    }
}

TEST_CASE("recommend: a warm request allocates what ranking and fusing its lists do, also if its history is shorter") {
  cpu::backend b;
  auto const catalog = tables();
  recommender<> const tested(model(b), {language::vocabulary(), tasks::all_tasks()}, catalog);
  for (index_t const threads : {1, 2}) {
    auto session = tested.session({.threads = threads});
    for (int round = 0; round < 2; ++round) (void)session.recommend(history(20));
    for (index_t const length : {20, 3, 0}) {
      auto const past = history(length);
      std::vector<search::beams> found;
      for (auto const& table : catalog) {
        tasks::batch query;
        tasks::all_tasks()
            .query(table.kind())
            .write_query(past, {.tables = catalog, .vocab = language::vocabulary()}, query);
        found.push_back(search::beam_search(b, model(b), search::item_trie(table), query));
      }
      std::vector<search::item_trie> const tries = {search::item_trie(catalog[0]), search::item_trie(catalog[1])};
      auto const ranking = allocations_of([&] {
        std::vector<rank::ranking> lists(2);
        for (std::size_t m = 0; m < 2; ++m) lists[m] = rank::ranking_of(found[m], 0, tries[m]);
        CHECK(rank::any_fusion().fuse(lists).size() >= 20);
      });
      CHECK(allocations_of([&] { (void)session.recommend(past); }) <= ranking);
    }
  }
}
