#include "mql4grec/search/prefix_drafter.hpp"

#include <doctest/doctest.h>

#include <set>

#include "mql4grec/core/random.hpp"
#include "mql4grec/search/filtered_trie.hpp"

using namespace mql4grec;

namespace {
/// Item i has the i-th sequence.
language::token_table table_of(index_t levels, std::vector<std::vector<int>> const& sequences) {
  language::token_table table(language::modality::text, std::ssize(sequences), levels);
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    std::vector<token_t> tokens;
    for (int const token : sequences[i]) tokens.push_back(token_t(token));
    table.set(item_id(static_cast<int>(i)), tokens);
  }
  return table;
}

node_t leaf_of(search::item_trie const& trie, item_id item) {
  node_t leaf = trie.first_leaf();
  while (std::ranges::find(trie.items(leaf), item) == trie.items(leaf).end()) ++leaf;
  return leaf;
}

/// The new items below marked leaves; checks that inner nodes are marked exactly where they lead to one.
std::set<int> drafted_items(search::item_trie const& trie, std::vector<std::uint8_t> const& nodes) {
  std::vector<std::uint8_t> expected(nodes.size(), 0);
  std::set<int> items;
  for (node_t leaf = trie.first_leaf(); leaf < trie.nodes(); ++leaf) {
    if (nodes[to_size(leaf)] == 0) continue;
    for (auto const item : trie.items(leaf)) items.insert(static_cast<int>(index(item)));
    for (auto node = leaf; node >= 0; node = trie.parent(node)) expected[to_size(node)] = 1;
  }
  CHECK(nodes == expected);
  return items;
}
}  // namespace

TEST_CASE("prefix_drafter: longer prefixes come first, then better beams, and a prefix is drafted as a whole") {
  auto const table = table_of(3, {{0, 0, 0},    // 0: first beam
                                  {1, 1, 1},    // 1: second beam
                                  {0, 0, 1},    // 2: new, two codes of the first beam
                                  {1, 1, 2},    // 3: new, two codes of the second beam
                                  {0, 1, 0},    // 4: new, one code of the first beam
                                  {0, 2, 0},    // 5: new, one code of the first beam
                                  {2, 0, 0},    // 6: new, none
                                  {1, 1, 1}});  // 7: new, all codes of the second beam
  search::item_trie const trie(table);
  search::prefix_drafter const drafter(trie, [](item_id item) { return index(item) >= 2; });
  CHECK(drafter.new_sequences() == 6);
  std::vector<node_t> const beams = {leaf_of(trie, item_id{0}), leaf_of(trie, item_id{1})};
  auto const draft = [&](search::draft_options const& options) {
    std::vector<std::uint8_t> nodes(to_size(trie.nodes()), 7);
    auto const count = drafter.draft(beams, options, nodes);
    auto items = drafted_items(trie, nodes);
    items.erase(1);  // the known item with the sequence of item 7
    CHECK(std::ssize(items) == count);
    return items;
  };
  CHECK(draft({.sequences = 1}) == std::set{7});
  CHECK(draft({.sequences = 2}) == std::set{7, 2});
  CHECK(draft({.sequences = 3}) == std::set{7, 2, 3});
  CHECK(draft({.sequences = 4}) == std::set{7, 2, 3, 4, 5});
  CHECK(draft({.sequences = 9}) == std::set{7, 2, 3, 4, 5});
  CHECK(draft({.sequences = 9, .shortest_prefix = 2}) == std::set{7, 2, 3});
  CHECK(draft({.sequences = 9, .shortest_prefix = 3}) == std::set{7});
  CHECK(draft({.sequences = 9, .shortest_prefix = 9}).empty());
  CHECK(draft({.sequences = 9, .shortest_prefix = 0}) == std::set{7, 2, 3, 4, 5, 6});
  CHECK(draft({.sequences = 0, .shortest_prefix = 0}).empty());
  std::vector<std::uint8_t> nodes(to_size(trie.nodes()));
  CHECK(drafter.draft({}, {}, nodes) == 0);
  CHECK_THROWS_AS(static_cast<void>(drafter.draft(beams, {.shortest_prefix = -1}, nodes)), error);
  nodes.pop_back();
  CHECK_THROWS_AS(static_cast<void>(drafter.draft(beams, {}, nodes)), error);
}

TEST_CASE("prefix_drafter: a draft is what brute force over prefixes gives") {
  random_stream random(3, 0);
  for (index_t trial = 0; trial < 50; ++trial) {
    std::vector<std::vector<int>> sequences(to_size(1 + random.below(80)));
    for (auto& sequence : sequences)
      for (int l = 0; l < 4; ++l) sequence.push_back(static_cast<int>(random.below(3)));
    auto const table = table_of(4, sequences);
    search::item_trie const trie(table);
    auto const is_new = [](item_id item) { return index(item) % 3 == 0; };
    std::vector<node_t> beams;
    for (index_t b = random.below(6); b > 0; --b) {
      auto const leaf = static_cast<node_t>(trie.first_leaf() + static_cast<node_t>(random.below(trie.leaves())));
      if (std::ranges::find(beams, leaf) == beams.end()) beams.push_back(leaf);
    }
    search::draft_options const options{.sequences = random.below(20), .shortest_prefix = random.below(4)};
    // every prefix of every beam in the stated order
    std::set<node_t> expected;
    for (index_t length = 4; length >= options.shortest_prefix; --length)
      for (auto beam : beams) {
        if (std::ssize(expected) >= options.sequences) break;
        for (index_t l = 4; l > length; --l) beam = trie.parent(beam);
        for (node_t leaf = trie.first_leaf(); leaf < trie.nodes(); ++leaf) {
          auto above = leaf;
          for (index_t l = 4; l > length; --l) above = trie.parent(above);
          if (above == beam && std::ranges::any_of(trie.items(leaf), is_new)) expected.insert(leaf);
        }
      }
    std::vector<std::uint8_t> nodes(to_size(trie.nodes()), 1);
    search::prefix_drafter const drafter(trie, is_new);
    CHECK(drafter.draft(beams, options, nodes) == std::ssize(expected));
    static_cast<void>(drafted_items(trie, nodes));
    for (node_t leaf = trie.first_leaf(); leaf < trie.nodes(); ++leaf)
      CHECK((nodes[to_size(leaf)] == 1) == expected.contains(leaf));
    // the same with sequences
    search::sequence_list fresh, paths, expected_sequences;
    for (auto const item : table.present())
      if (is_new(item)) fresh.push_back(table.of(item));
    search::sort_sequences(fresh);
    for (auto const leaf : beams) paths.push_back(table.of(trie.items(leaf).front()));
    for (auto const leaf : expected) expected_sequences.push_back(table.of(trie.items(leaf).front()));
    auto const found = search::draft_sequences(fresh, paths, options);
    CHECK(std::ranges::equal(found, expected_sequences, [](auto a, auto b) { return std::ranges::equal(a, b); }));
  }
}

TEST_CASE("prefix_drafter: a trie without items drafts nothing") {
  search::item_trie const trie;
  search::prefix_drafter const drafter(trie, [](item_id) { return true; });
  std::vector<std::uint8_t> nodes(1, 1);
  CHECK(drafter.draft({}, {}, nodes) == 0);
  CHECK(nodes.front() == 0);
}
