#include "mql4grec/search/live_trie.hpp"

#include <doctest/doctest.h>

#include <array>
#include <map>
#include <optional>

#include "mql4grec/core/random.hpp"
#include "mql4grec/rank/from_beams.hpp"
#include "mql4grec/search/beam_search.hpp"
#include "mql4grec/seq2seq/decoding.hpp"
#include "search/same_trie.hpp"
#include "support/backends.hpp"
#include "support/small_t5.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
using sequence = std::vector<token_t>;
using catalog = std::map<item_id, sequence>;  // of one table

language::token_table table_of(catalog const& items, index_t levels) {
  language::token_table table(language::modality::text, 1000, levels);
  for (auto const& [item, tokens] : items) table.set(item, tokens);
  return table;
}

/// Whether a version has the content of tries that are built anew.
bool equals(search::trie_version const& live, std::vector<catalog> const& content) {
  for (index_t t = 0; t < std::ssize(content); ++t) {
    auto const table = table_of(content[to_size(t)], live.levels());
    search::item_trie const built(table);
    if (live.leaves_of(t) != built.leaves()) return false;
    if (!same_below(live, live.root(t), built, 0)) return false;
    for (auto const& [item, tokens] : content[to_size(t)])
      if (std::ranges::count(live.items(live.find(t, tokens)), item) != 1) return false;
  }
  return true;
}

/// Random changes of a live trie of several tables and, next to it, of plain maps.
class history {
 public:
  history(index_t tables, index_t levels, index_t codes, std::uint64_t seed)
      : levels_(levels), codes_(codes), random_(seed, 0), content_(to_size(tables)) {
    for (auto& items : content_)
      for (index_t i = 0; i < 40; ++i) items[item_id(i)] = random_sequence();
    std::vector<language::token_table> all;
    for (auto const& items : content_) all.push_back(table_of(items, levels));
    std::vector<language::token_table const*> pointers;
    for (auto const& table : all) pointers.push_back(&table);
    trie_.emplace(pointers);
  }

  void change() {
    auto const t = random_.below(std::ssize(content_));
    auto& items = content_[to_size(t)];
    auto const item = item_id(random_.below(60));
    auto const at = items.find(item);
    if (at == items.end()) {
      items[item] = random_sequence();
      CHECK(trie_->insert(t, items[item], item));
      CHECK_FALSE(trie_->insert(t, items[item], item));
    } else {
      CHECK(trie_->remove(t, at->second, item));
      CHECK_FALSE(trie_->remove(t, at->second, item));
      items.erase(at);
    }
  }
  void clear() {
    for (index_t t = 0; t < std::ssize(content_); ++t) {
      for (auto const& [item, tokens] : content_[to_size(t)]) trie_->remove(t, tokens, item);
      content_[to_size(t)].clear();
    }
  }

  search::live_trie& trie() { return *trie_; }
  std::vector<catalog> const& content() const { return content_; }

 private:
  sequence random_sequence() {
    sequence tokens;
    for (index_t l = 0; l < levels_; ++l) tokens.push_back(token_t(2 + codes_ * l + random_.below(codes_)));
    return tokens;
  }

  index_t levels_, codes_;
  random_stream random_;
  std::vector<catalog> content_;
  std::optional<search::live_trie> trie_;
};
}  // namespace

TEST_CASE("live trie: after any history of changes it has the content of a trie built anew") {
  struct shape {
    index_t tables, levels, codes;
  };
  for (auto const& [tables, levels, codes] : {shape{1, 1, 30}, shape{2, 3, 4}, shape{1, 4, 2}, shape{3, 2, 9}}) {
    history past(tables, levels, codes, 5);
    CHECK(equals(past.trie().publish(), past.content()));
    for (int step = 0; step < 60; ++step) {
      for (int i = 0; i <= step % 4; ++i) past.change();  // one version has one change or several
      CHECK(equals(past.trie().publish(), past.content()));
      if (step % 20 == 19) past.trie() = search::live_trie::compact(past.trie().publish());
    }
    past.clear();
    auto const empty = past.trie().publish();
    CHECK(empty.leaves() == 0);
    CHECK(past.trie().reachable() == tables);
    CHECK(equals(empty, past.content()));
    past.change();
    CHECK(equals(past.trie().publish(), past.content()));
  }
}

TEST_CASE("live trie: a version keeps its content while later ones are made") {
  history past(2, 3, 4, 6);
  std::vector<std::pair<search::trie_version, std::vector<catalog>>> versions;
  for (int step = 0; step < 30; ++step) {
    versions.emplace_back(past.trie().publish(), past.content());
    for (int i = 0; i < 3; ++i) past.change();
    if (step == 20) past.trie() = search::live_trie::compact(past.trie().publish());
  }
  for (auto const& [version, content] : versions) CHECK(equals(version, content));
}

TEST_CASE("live trie: compact() keeps what is reachable and nothing else") {
  history past(2, 3, 4, 7);
  for (int i = 0; i < 200; ++i) {
    past.change();
    (void)past.trie().publish();
  }
  auto const before = past.trie().nodes(), reachable = past.trie().reachable();
  auto compacted = search::live_trie::compact(past.trie().publish());
  CHECK(before > 4 * reachable);
  CHECK(compacted.reachable() == reachable);
  CHECK(compacted.nodes() == reachable + 1);
  CHECK(equals(compacted.publish(), past.content()));
}

TEST_CASE("live trie: unused rows of a search are at a node without children and with a valid token") {
  history past(1, 2, 3, 8);
  auto const check = [](search::trie_version const& version) {
    auto const arrays = version.arrays();
    CHECK(arrays.children_end(arrays.childless) == arrays.first_child(arrays.childless));
    CHECK(arrays.token(arrays.childless) >= token_t{0});  // the embedding of this token is read
  };
  check(past.trie().publish());
  past.change();
  check(search::live_trie::compact(past.trie().publish()).publish());
}

TEST_CASE("live trie: a change without room is refused and changes nothing") {
  language::token_table table(language::modality::text, 10, 2);
  for (index_t i = 0; i < 5; ++i) table.set(item_id(i), sequence{token_t(2), token_t(10 + i)});
  search::live_trie tight(std::array{&std::as_const(table)}, {.spare_nodes = 12, .spare_entries = 100});
  auto const before = tight.publish();
  CHECK_FALSE(tight.has_room());
  CHECK(tight.insert(0, sequence{token_t(2), token_t(20)}, item_id(7)));
  (void)tight.publish();
  CHECK_THROWS_AS(tight.insert(0, sequence{token_t(2), token_t(21)}, item_id(8)), error);
  CHECK_THROWS_AS(tight.remove(0, sequence{token_t(2), token_t(20)}, item_id(7)), error);
  auto const after = tight.publish();
  CHECK(before.leaves() == 5);
  CHECK(after.leaves() == 6);
  CHECK(after.find(0, sequence{token_t(2), token_t(21)}) == -1);
  CHECK_THROWS_AS(tight.insert(0, sequence{token_t(2)}, item_id(8)), error);
}

TEST_CASE_TEMPLATE("live trie: a search in a version has the beams and the scores of a search in a trie built anew", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  auto config = small_t5();
  config.vocabulary = 2 + 3 * 4;
  config.model_width = 8;
  auto const model = random_frozen_t5<double>(b, config);
  tasks::batch queries;
  for (std::uint64_t q = 0; q < 2; ++q) {
    queries.add_input(random_tokens(3, config.vocabulary, q).values);
    queries.close_input();
  }
  history past(2, 3, 4, 8);
  search::beam_searcher<B, seq2seq::frozen_t5<B, double>> searcher(b, model);
  for (int step = 0; step < 8; ++step) {
    auto const version = past.trie().publish();
    searcher.use(version);
    search::beams found;
    search::beam_options const options{
        .beams = 6, .normalize = step % 2 ? search::normalization::children : search::normalization::vocabulary};
    searcher.search({.batch = queries, .part = {0, 2}, .roots = version.root_nodes()}, options, found);
    auto const text = table_of(past.content()[0], 3), image = table_of(past.content()[1], 3);
    search::item_trie const built(std::array{&text, &image});
    auto const expected = search::search_micro_batch(
        b, model, built, {.batch = queries, .part = {0, 2}, .roots = std::array<node_t, 2>{0, 1}}, options);
    for (index_t q = 0; q < 2; ++q) CHECK(rank::ranking_of(found, q, version) == rank::ranking_of(expected, q, built));
    for (int i = 0; i < 10; ++i) past.change();
    if (step == 5) past.trie() = search::live_trie::compact(past.trie().publish());
  }
}
