#include "mql4grec/search/filtered_trie.hpp"

#include <doctest/doctest.h>

#include <array>
#include <functional>
#include <set>

#include "mql4grec/core/random.hpp"
#include "mql4grec/rank/from_beams.hpp"
#include "mql4grec/search/beam_search.hpp"
#include "mql4grec/seq2seq/decoding.hpp"
#include "support/backends.hpp"
#include "support/small_t5.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
constexpr index_t levels = 3, codes = 4;

std::vector<language::token_table> random_tables(std::uint64_t seed) {
  random_stream random(seed, 0);
  std::vector<language::token_table> all;
  for (int t = 0; t < 2; ++t) {
    auto& table = all.emplace_back(language::modality(t), 40, levels);
    for (int i = 0; i < 40; ++i) {
      std::vector<token_t> tokens;
      for (index_t l = 0; l < levels; ++l) tokens.push_back(token_t(2 + codes * l + random.below(codes)));
      table.set(item_id{i}, tokens);
    }
  }
  return all;
}
search::trie_version version_of(std::vector<language::token_table> const& all) {
  return search::live_trie(std::array{&all[0], &all[1]}).publish();
}
/// The sequences of some items. Items that share a sequence are in the set together.
search::sequence_list sequences_of(language::token_table const& table, std::set<item_id> const& items) {
  search::sequence_list list;
  for (auto const item : items) list.push_back(table.of(item));
  search::sort_sequences(list);
  return list;
}
std::set<item_id> random_items(language::token_table const& table, index_t count, random_stream& random) {
  std::set<item_id> items;
  for (index_t i = 0; i < count; ++i) {
    auto const sequence = table.of(item_id(random.below(40)));
    for (auto const other : table.present())
      if (std::ranges::equal(table.of(other), sequence)) items.insert(other);
  }
  return items;
}
}  // namespace

TEST_CASE_TEMPLATE("filtered trie: a search below its roots equals one in a trie of the remaining items", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  auto config = small_t5();
  config.vocabulary = 2 + levels * codes;
  config.model_width = 8;
  auto const model = random_frozen_t5<double>(b, config);
  tasks::batch queries;
  for (std::uint64_t q = 0; q < 4; ++q) {
    queries.add_input(random_tokens(3, config.vocabulary, q).values);
    queries.close_input();
  }
  auto const all = random_tables(1);
  auto const version = version_of(all);
  search::beam_searcher<B, seq2seq::frozen_t5<B, double>> searcher(b, model);
  searcher.use(version);
  random_stream random(2, 0);
  search::filtered_trie filtered;
  for (index_t const count : {0, 1, 5, 30, 200}) {
    search::beam_options const options{
        .beams = 6, .normalize = count % 2 ? search::normalization::children : search::normalization::vocabulary};
    filtered.clear();
    std::vector<node_t> roots;
    std::vector<language::token_table> expected;
    for (index_t const t : {0, 1}) {
      auto const& table = all[to_size(t)];
      auto const items = random_items(table, count, random);
      auto const list = sequences_of(table, items);
      roots.push_back(filtered.keep(version, t, list));
      roots.push_back(filtered.drop(version, version.root(t), list));
      for (bool const kept : {true, false}) {
        auto& remaining = expected.emplace_back(table.kind(), 40, levels);
        for (auto const item : table.present())
          if (items.contains(item) == kept) remaining.set(item, table.of(item));
      }
    }
    search::beams found;
    searcher.search({.batch = queries, .part = {0, 4}, .roots = roots, .added = filtered.nodes()}, options, found);
    for (index_t q = 0; q < 4; ++q) {
      search::item_trie const built(expected[to_size(q)]);
      auto const alone = search::search_micro_batch(b, model, built, {.batch = queries, .part = {q, q + 1}}, options);
      auto const leaves = found.leaves_of(q), others = alone.leaves_of(0);
      REQUIRE(leaves.size() == others.size());
      for (std::size_t i = 0; i < leaves.size(); ++i) {
        CHECK(std::ranges::equal(filtered.items(version, leaves[i]), built.items(others[i])));
        CHECK(found.scores_of(q)[i] == doctest::Approx(static_cast<double>(alone.scores_of(0)[i])).epsilon(1e-6));
      }
    }
  }
}

#if MQL4GREC_HAS_THRUST
namespace {
/// A model that counts how often its encoder is called, and not how often a graph of it is launched.
struct counted_t5 {
  using device = gpu::backend<gpu::cpp>;
  using scalar = float;
  seq2seq::frozen_t5<device, float> const& model;
  int& encodings;

  seq2seq::t5_config const& config() const { return model.config(); }

  struct decoding {
    seq2seq::t5_decoding<device, float> of;
    int& encodings;
    bool begin(tasks::batch const& queries, tasks::micro_batch part, seq2seq::decoder_capacity capacity,
               std::function<bool()> const& go_on) {
      ++encodings;
      return of.begin(queries, part, capacity, go_on);
    }
    void reserve(tasks::batch const& queries, tasks::micro_batch part, seq2seq::decoder_capacity capacity) {
      of.reserve(queries, part, capacity);
    }
    bool encode() {
      ++encodings;
      return of.encode();
    }
    void step(seq2seq::decoder_rows<device> const& rows, index_t first_place, out_matrix<device, float> logits) const {
      of.step(rows, first_place, logits);
    }
    seq2seq::decoder_shape shape() const { return of.shape(); }
  };
  friend decoding make_decoding(device& b, counted_t5 const& counted) {
    return {make_decoding(b, counted.model), counted.encodings};
  }
};
}  // namespace

TEST_CASE("filtered trie: histories and filters of different sizes are searched by one graph, encoder and all steps") {
  auto config = small_t5();
  config.vocabulary = 2 + levels * codes;
  config.model_width = 8;
  counted_t5::device b;
  reference::backend reference;
  auto const model = random_frozen_t5<float>(b, config);
  auto const same_model = random_frozen_t5<float>(reference, config);
  auto const table = random_tables(1).front();
  auto const version = search::live_trie(std::array{&table}).publish();
  int encodings = 0;
  counted_t5 const counted{model, encodings};
  search::beam_searcher searcher(b, counted);
  searcher.use(version);
  search::filtered_trie filtered;
  random_stream random(2, 0);
  for (index_t const length : {9, 3, 14, 1, 0, 8}) {
    tasks::batch query;
    query.add_input(random_tokens(length, config.vocabulary, to_size(length)).values);
    query.close_input();
    auto const items = random_items(table, 3 * length, random);
    auto const denied = sequences_of(table, items);
    filtered.clear();
    auto const root = filtered.drop(version, version.root(0), denied);
    search::beams found;
    search::search_queries const queries{
        .batch = query, .part = {0, 1}, .roots = {&root, 1}, .added = filtered.nodes()};
    searcher.search(queries, {.beams = 6}, found);

    language::token_table remaining(table.kind(), 40, levels);
    for (auto const item : table.present())
      if (!items.contains(item)) remaining.set(item, table.of(item));
    search::item_trie const alone(remaining);
    auto const expected =
        search::search_micro_batch(reference, same_model, alone, {.batch = query, .part = {0, 1}}, {.beams = 6});
    REQUIRE(found.leaves.size() == expected.leaves.size());
    for (std::size_t i = 0; i < found.leaves.size(); ++i) {
      CHECK(std::ranges::equal(filtered.items(version, found.leaves[i]), alone.items(expected.leaves[i])));
      CHECK(found.scores[i] == doctest::Approx(static_cast<double>(expected.scores[i])).epsilon(1e-5));
    }
  }
  CHECK(encodings <= 3);  // as it comes, perhaps again in a scratch of the final size, captured
}
#endif

TEST_CASE("filtered trie: the number of nodes follows the sequences, not the trie") {
  language::token_table table(language::modality::text, 4096, 4);
  for (int i = 0; i < 4096; ++i)
    table.set(item_id{i},
              std::vector{token_t{i / 512}, token_t{10 + i / 64 % 8}, token_t{20 + i / 8 % 8}, token_t{30 + i % 8}});
  auto const version = search::live_trie(std::array{&std::as_const(table)}).publish();
  search::filtered_trie filtered;
  search::sequence_list const list{table.of(item_id{0}), table.of(item_id{9})};
  filtered.keep(version, 0, list);
  CHECK(filtered.nodes().token.size() == 1 + 1 + 1 + 2 + 2);
  filtered.clear();
  filtered.drop(version, version.root(0), list);
  CHECK(filtered.nodes().token.size() == 1 + 8 + 8 + 8 + 8 + 8);
}
