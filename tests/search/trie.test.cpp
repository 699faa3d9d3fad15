#include "mql4grec/search/trie.hpp"

#include <doctest/doctest.h>

#include <map>
#include <set>
#include <string>

#include "mql4grec/core/random.hpp"
#include "mql4grec/search/constraint.hpp"

using namespace mql4grec;

namespace {
using sequence = std::vector<token_t>;

/// Item i has the i-th sequence; an empty one means that it has none.
language::token_table table_of(index_t levels, std::vector<std::vector<int>> const& sequences) {
  language::token_table table(language::modality::text, std::ssize(sequences), levels);
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    sequence tokens;
    for (int const token : sequences[i]) tokens.push_back(token_t(token));
    if (!tokens.empty()) table.set(item_id(static_cast<int>(i)), tokens);
  }
  return table;
}

/// `items` sequences of tokens less than `codes`; every seventh is missing. Sequences repeat when there are few
/// possible ones.
language::token_table random_table(index_t items, index_t levels, index_t codes, std::uint64_t seed) {
  random_stream random(seed, 0);
  language::token_table table(language::modality::text, items, levels);
  sequence tokens(static_cast<std::size_t>(levels));
  for (index_t i = 0; i < items; ++i) {
    for (auto& token : tokens) token = token_t(static_cast<int>(random.below(codes)));
    if (i % 7 != 6) table.set(item_id(i), tokens);
  }
  return table;
}

struct named_table {
  std::string name;
  language::token_table table;
};
std::vector<named_table> tables() {
  return {{"nothing", table_of(3, {})},
          {"no sequences", table_of(3, {{}, {}})},
          {"one item", table_of(4, {{5, 6, 7, 8}})},
          {"one sequence for all", table_of(2, {{1, 2}, {1, 2}, {1, 2}})},
          {"one level", random_table(30, 1, 12, 1)},
          {"two levels, sparse", random_table(20, 2, 100, 2)},
          {"four levels, crowded", random_table(300, 4, 4, 3)},
          {"seven levels", random_table(50, 7, 3, 4)}};
}

/// Calls test(trie, table) for every table.
template <class Test>
void for_each_trie(Test&& test) {
  for (auto const& named : tables()) {
    CAPTURE(named.name);
    test(search::item_trie(named.table), named.table);
  }
}

std::map<sequence, std::vector<item_id>> items_by_sequence(language::token_table const& table) {
  std::map<sequence, std::vector<item_id>> groups;
  for (index_t i = 0; i < table.items(); ++i)
    if (auto const tokens = table.of(item_id(i)); !tokens.empty())
      groups[{tokens.begin(), tokens.end()}].push_back(item_id(i));
  return groups;
}
std::vector<item_id> to_vector(std::span<item_id const> items) { return {items.begin(), items.end()}; }

/// The tokens on the edges from the root to a node.
sequence path_to(search::item_trie const& trie, node_t node) {
  sequence path;
  for (; node != 0; node = trie.parent(node)) path.insert(path.begin(), trie.token(node));
  return path;
}

/// The number of children of a node.
index_t children(search::item_trie const& trie, node_t node) {
  auto const arrays = trie.arrays();
  return arrays.children_end(node) - arrays.first_child(node);
}
}  // namespace

TEST_CASE("trie: the paths to the leaves are the distinct sequences in order; each has its items in the order of ids") {
  for_each_trie([](search::item_trie const& trie, language::token_table const& table) {
    auto const groups = items_by_sequence(table);
    CHECK(trie.leaves() == std::ssize(groups));
    CHECK(trie.nodes() - trie.first_leaf() == trie.leaves());
    node_t leaf = trie.first_leaf();
    for (auto const& [tokens, items] : groups) {
      CHECK(trie.is_leaf(leaf));
      CHECK(path_to(trie, leaf) == tokens);
      CHECK(to_vector(trie.items(leaf)) == items);
      ++leaf;
    }
  });
}

TEST_CASE("trie: the children of a node are sorted, consecutive, and have it as their parent") {
  for_each_trie([](search::item_trie const& trie, language::token_table const&) {
    auto const arrays = trie.arrays();
    CHECK(arrays.nodes.first_child.size() == trie.nodes());
    CHECK(arrays.nodes.children_end.size() == trie.nodes());
    CHECK(arrays.nodes.token.size() == trie.nodes());
    node_t next = 1;  // every node but the root has a parent
    for (node_t node = 0; node < trie.nodes(); ++node) {
      CHECK(arrays.first_child(node) == next);
      for (node_t const first = next; next < arrays.children_end(node); ++next) {
        CHECK(trie.parent(next) == node);
        CHECK(trie.token(next) == arrays.token(next));
        CHECK((next == first || trie.token(next - 1) < trie.token(next)));
      }
      CHECK(arrays.children_end(node) == next);
    }
    CHECK(next == trie.nodes());
    CHECK(arrays.children_end(arrays.childless) == arrays.first_child(arrays.childless));
    if (trie.leaves() > 0) CHECK(arrays.token(arrays.childless) >= token_t{0});
  });
}

TEST_CASE("trie: exactly the leaves have the depth of the sequence length; every inner node has children") {
  for_each_trie([](search::item_trie const& trie, language::token_table const& table) {
    CHECK(trie.levels() == table.levels());
    for (node_t node = 0; node < trie.nodes(); ++node) {
      CHECK((std::ssize(path_to(trie, node)) == table.levels()) == trie.is_leaf(node));
      CHECK((children(trie, node) == 0 && trie.leaves() > 0) == trie.is_leaf(node));
    }
  });
}

TEST_CASE("trie: without items there is only the root") {
  for (auto const& trie :
       {search::item_trie(), search::item_trie(table_of(3, {})), search::item_trie(table_of(3, {{}, {}}))}) {
    CHECK(trie.nodes() == 1);
    CHECK(trie.leaves() == 0);
    CHECK(children(trie, 0) == 0);
    CHECK_FALSE(trie.is_leaf(0));
  }
}

TEST_CASE("trie: over several tables it is the trie of each, side by side") {
  auto const first = random_table(40, 3, 5, 1), nothing = table_of(3, {{}, {}}), last = random_table(25, 3, 9, 2);
  search::item_trie const all(std::array{&first, &nothing, &last});
  CHECK(all.roots() == 3);
  CHECK(all.levels() == 3);
  CHECK(children(all, 1) == 0);
  CHECK(all.leaves_below(1) == 0);
  index_t nodes = 1, leaves = 0;
  for (auto const& [root, table] : {std::pair(node_t{0}, &first), std::pair(node_t{2}, &last)}) {
    search::item_trie const alone(*table);
    CHECK(all.leaves_below(root) == alone.leaves());
    CHECK(alone.leaves_below(0) == alone.leaves());
    nodes += alone.nodes();
    leaves += alone.leaves();
    auto const same = [&](auto const& self, node_t mine, node_t its) -> void {
      CHECK(all.token(mine) == alone.token(its));
      CHECK((all.parent(mine) == -1) == (alone.parent(its) == -1));
      CHECK(all.is_leaf(mine) == alone.is_leaf(its));
      REQUIRE(children(all, mine) == children(alone, its));
      if (all.is_leaf(mine)) CHECK(to_vector(all.items(mine)) == to_vector(alone.items(its)));
      for (node_t i = 0; i < children(alone, its); ++i) {
        auto const child = all.arrays().first_child(mine) + i;
        CHECK(all.parent(child) == mine);
        self(self, child, alone.arrays().first_child(its) + i);
      }
    };
    same(same, root, 0);
  }
  CHECK(all.nodes() == nodes);
  CHECK(all.leaves() == leaves);
  auto const longer = random_table(5, 4, 3, 1);
  CHECK_THROWS_AS(search::item_trie(std::array{&first, &longer}), error);
  CHECK_THROWS_AS(search::item_trie(std::span<language::token_table const* const>()), error);
}

TEST_CASE("trie: only leaves contain items") {
  search::item_trie const trie(table_of(2, {{1, 2}, {1, 3}}));
  CHECK(to_vector(trie.items(trie.first_leaf())) == std::vector{item_id{0}});
  CHECK_THROWS_AS(trie.items(0), error);
  CHECK_THROWS_AS(trie.items(1), error);
  CHECK_THROWS_AS(trie.items(4), error);
}

namespace {
std::vector<std::uint8_t> marks(search::item_trie const& trie, search::item_filter const& filter) {
  std::vector<std::uint8_t> nodes(static_cast<std::size_t>(trie.nodes()),
                                  77);  // previous contents are overwritten
  search::mark_allowed(trie, search::item_choice(filter), nodes);
  return nodes;
}
bool keeps(search::item_filter const& filter, item_id item) {
  return (!filter.allow || std::ranges::count(*filter.allow, item) > 0) && std::ranges::count(filter.deny, item) == 0;
}
search::item_filter random_filter(index_t items, index_t allow, index_t deny, std::uint64_t seed) {
  random_stream random(seed, 9);
  search::item_filter filter;
  if (allow > 0) filter.allow.emplace();
  for (index_t i = 0; i < allow; ++i) filter.allow->push_back(item_id(random.below(items)));
  for (index_t i = 0; i < deny; ++i) filter.deny.push_back(item_id(random.below(items)));
  return filter;
}
}  // namespace

TEST_CASE("mark_allowed: a node is allowed exactly when the filter allows an item below it") {
  for_each_trie([](search::item_trie const& trie, language::token_table const& table) {
    index_t const n = std::max<index_t>(1, table.items());
    for (auto const& filter : {random_filter(n, 0, n / 2, 1), random_filter(n, 3, 0, 2),
                               random_filter(n, n / 2, n / 2, 3), random_filter(n, 0, 5 * n, 4)}) {
      std::set<node_t> open;
      for (node_t leaf = trie.first_leaf(); leaf < trie.nodes(); ++leaf)
        if (std::ranges::any_of(trie.items(leaf), [&](item_id item) { return keeps(filter, item); }))
          for (node_t node = leaf; node >= 0; node = trie.parent(node)) open.insert(node);
      auto const nodes = marks(trie, filter);
      for (node_t node = 1; node < trie.nodes(); ++node)
        CHECK((nodes[static_cast<std::size_t>(node)] != 0) == open.contains(node));
    }
  });
}

TEST_CASE("mark_allowed: an empty filter allows everything; a denied item is excluded even if it is allowed") {
  search::item_trie const trie(table_of(1, {{3}, {4}, {4}}));
  CHECK(search::item_filter{}.keeps_all());
  CHECK(marks(trie, {}) == std::vector<std::uint8_t>{1, 1, 1});
  CHECK(marks(trie, {.allow = search::item_list{item_id{0}, item_id{1}}, .deny = {item_id{0}}}) ==
        std::vector<std::uint8_t>{1, 0, 1});
  CHECK(marks(trie, {.deny = {item_id{1}}}) ==
        std::vector<std::uint8_t>{1, 1, 1});  // another item of the leaf is still allowed
  CHECK(marks(trie, {.deny = {item_id{2}, item_id{0}, item_id{1}}}) == std::vector<std::uint8_t>{0, 0, 0});
}

TEST_CASE("mark_allowed: items that don't exist are ignored") {
  search::item_trie const trie(table_of(1, {{3}, {}}));
  CHECK(marks(trie, {.deny = {item_id{-1}, item_id{2}, item_id{1000000}}}) == std::vector<std::uint8_t>{1, 1});
  CHECK(marks(trie, {.allow = search::item_list{item_id{-1}, item_id{1}, item_id{2}}}) ==
        std::vector<std::uint8_t>{0, 0});
}
