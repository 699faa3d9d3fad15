// Beam search equals transformers' generate(prefix_allowed_tokens_fn=…). tests/golden/README.md describes how the file
// was generated.
#include <doctest/doctest.h>

#include <filesystem>
#include <string>

#include "mql4grec/core/json.hpp"
#include "mql4grec/search/beam_search.hpp"
#include "mql4grec/seq2seq/checkpoint.hpp"
#include "mql4grec/seq2seq/decoding.hpp"
#include "mql4grec/tasks/task.hpp"
#include "support/backends.hpp"
#include "support/check_close.hpp"

using namespace mql4grec;

namespace {
std::filesystem::path const directory = std::filesystem::path(MQL4GREC_TEST_GOLDEN_DIR) / "search";

json const& golden() {
  static json const content = read_json(directory / "search.json");
  return content;
}
language::vocabulary const& vocab() {
  static language::vocabulary const small({.modalities = {{"a", {8, 8, 8, 8}}, {"A", {8, 8, 8, 8}}}});
  return small;
}
std::vector<token_t> tokens_of(json const& list) {
  std::vector<token_t> tokens;
  for (int const token : list) tokens.push_back(token_t(token));
  return tokens;
}
language::modality modality_of(json const& name) {
  return name == "text" ? language::modality::text : language::modality::image;
}

language::token_table table_of(language::modality kind, index_t items) {
  language::token_table table(kind, items, 4);
  for (index_t i = 0; i < items; ++i)
    table.set(
        item_id(i),
        tokens_of(golden()["items"][static_cast<std::size_t>(i)][kind == language::modality::text ? "text" : "image"]));
  return table;
}

/// The queries of a case, with the same tokens as in transformers.
tasks::batch golden_queries_of(json const& c) {
  tasks::batch queries;
  for (auto const& result : c["results"]) {
    auto const input = tokens_of(result["input"]);
    queries.add_input(std::span(input).first(input.size() - 1));
    queries.close_input();
  }
  return queries;
}
search::beam_options options_of(json const& c) {
  return {.beams = c["beams"].get<index_t>(), .length_penalty = c["length_penalty"].get<double>()};
}

template <class B>
struct searched {
  B backend;
  seq2seq::frozen_t5<B, float> model{backend, seq2seq::read_model<float>(backend, directory)};
  language::token_table table;
  search::item_trie trie{table};
  search::beams found;

  searched(json const& c, search::beam_options const& options)
      : table(table_of(modality_of(c["target"]), c["catalogue"].get<index_t>())),
        found(search::beam_search(backend, model, trie, golden_queries_of(c), options)) {}

  std::vector<token_t> sequence(node_t leaf) const {
    auto const tokens = table.of(trie.items(leaf).front());
    return {tokens.begin(), tokens.end()};
  }
};

struct hypothesis {
  std::vector<token_t> tokens;
  double score;
};
/// The hypotheses of a result by `score`, best first.
template <class Score>
std::vector<hypothesis> hypotheses_of(json const& result, Score&& score) {
  std::vector<hypothesis> all;
  for (auto const& h : result["hypotheses"]) all.push_back({tokens_of(h["tokens"]), score(h)});
  std::ranges::stable_sort(all, std::ranges::greater{}, &hypothesis::score);
  return all;
}

/// Compares scores with a tolerance of 1e-4, and sequences wherever the neighbouring scores differ by more than that.
template <class B, class Score>
void check_same(searched<B> const& mine, json const& c, Score&& score) {
  REQUIRE(mine.found.queries() == std::ssize(c["results"]));
  for (index_t q = 0; q < mine.found.queries(); ++q) {
    CAPTURE(q);
    auto const expected = hypotheses_of(c["results"][static_cast<std::size_t>(q)], score);
    auto const leaves = mine.found.leaves_of(q);
    auto const scores = mine.found.scores_of(q);
    REQUIRE(leaves.size() == expected.size());
    for (std::size_t i = 0; i < leaves.size(); ++i) {
      CAPTURE(i);
      CHECK(std::abs(static_cast<double>(scores[i]) - expected[i].score) < 1e-4);
      bool const certain = (i == 0 || expected[i - 1].score - expected[i].score > 1e-4) &&
                           (i + 1 == leaves.size() || expected[i].score - expected[i + 1].score > 1e-4);
      if (certain) CHECK(mine.sequence(leaves[i]) == expected[i].tokens);
    }
  }
}

template <class Visit>
void for_each_case(Visit&& visit) {
  CHECK(golden()["cases"].size() == 7);
  for (auto const& c : golden()["cases"]) {
    CAPTURE(c["name"].get<std::string>());
    visit(c);
  }
}
/// Visits the cases in which every item was scored token by token.
template <class Visit>
void for_each_exhaustive_case(Visit&& visit) {
  int found = 0;
  for_each_case([&](json const& c) {
    if (!c["results"][0]["hypotheses"][0].contains("log_p")) return;
    ++found;
    visit(c);
  });
  CHECK(found == 2);
}
double sum(json const& log_p, std::size_t count) {
  double total = 0;
  for (std::size_t i = 0; i < count; ++i) total += log_p[i].get<double>();
  return total;
}
}  // namespace

TEST_CASE("golden search: vocabulary, tasks and trie are those of the golden file") {
  for (index_t token = 0; token < vocab().size(); ++token)
    CHECK(vocab().text(token_t(token)) == golden()["vocabulary"][static_cast<std::size_t>(token)].get<std::string>());
  for_each_case([](json const& c) {
    auto const kind = modality_of(c["source"]);
    tasks::next_item const task{
        .from = kind, .to = modality_of(c["target"]), .prompt = {c["prompt"].get<index_t>(), 3}};
    std::vector const tables = {table_of(language::modality::text, 150), table_of(language::modality::image, 150)};
    tasks::batch queries;
    for (auto const& history : golden()["histories"]) {
      std::vector<item_id> items;
      for (int const item : history) items.push_back(item_id(item));
      task.write_query(items, {tables, vocab()}, queries);
    }
    CHECK(queries == golden_queries_of(c));
    CHECK(search::item_trie(table_of(task.to, c["catalogue"].get<index_t>())).leaves() ==
          c["distinct_sequences"].get<index_t>());
  });
}

TEST_CASE_TEMPLATE("golden search: sequences and scores equal transformers'", B, MQL4GREC_TEST_BACKENDS) {
  for_each_case([](json const& c) {
    check_same(searched<B>(c, options_of(c)), c, [](json const& h) { return h["score"].template get<double>(); });
  });
}

TEST_CASE_TEMPLATE("golden search: without scoring </s> the scores are those of the codes alone", B,
                   MQL4GREC_TEST_BACKENDS) {
  for_each_exhaustive_case([](json const& c) {
    auto options = options_of(c);
    options.score_eos = false;
    check_same(searched<B>(c, options), c, [](json const& h) { return sum(h["log_p"], 4) / 4; });
  });
}

TEST_CASE_TEMPLATE("golden search: scores normalized over allowed children equal the renormalized ones", B,
                   MQL4GREC_TEST_BACKENDS) {
  for_each_exhaustive_case([](json const& c) {
    auto options = options_of(c);
    options.normalize = search::normalization::children;
    check_same(searched<B>(c, options), c, [](json const& h) { return sum(h["log_p_renormalised"], 5) / 5; });
    options.score_eos = false;
    check_same(searched<B>(c, options), c, [](json const& h) { return sum(h["log_p_renormalised"], 4) / 4; });
  });
}

TEST_CASE_TEMPLATE("golden search: the sums of token scores equal transformers'", B, MQL4GREC_TEST_BACKENDS) {
  for_each_exhaustive_case([](json const& c) {
    check_same(searched<B>(c, options_of(c)), c, [](json const& h) { return sum(h["log_p"], 5) / 5; });
  });
}
