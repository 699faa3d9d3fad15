#include "mql4grec/search/beam_search.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <numeric>
#include <set>

#include "mql4grec/seq2seq/decoding.hpp"
#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/small_t5.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
constexpr index_t levels = 3, codes = 4;  // 64 possible sequences; token 2 + 4·level + code

seq2seq::t5_config tiny() {
  auto config = small_t5();
  config.vocabulary = 2 + levels * codes + 3;  // and three prompts
  config.model_width = 8;
  return config;
}

/// A catalog of the first `items` sequences of a fixed shuffle of all sequences.
language::token_table first_items(index_t items) {
  std::vector<index_t> order(64);
  std::iota(order.begin(), order.end(), index_t{0});
  shuffle(std::span(order), random_stream(3, 0));
  language::token_table table(language::modality::text, items, levels);
  for (index_t i = 0; i < items; ++i) {
    std::vector<token_t> tokens;
    for (index_t l = 0, rest = order[static_cast<std::size_t>(i)]; l < levels; ++l, rest /= codes)
      tokens.push_back(token_t(2 + codes * l + rest % codes));
    table.set(item_id(i), tokens);
  }
  return table;
}

/// Queries of three prompts, the given number of history tokens, and </s>. The length −1 means only </s>.
tasks::batch queries_of(std::vector<index_t> const& history_lengths) {
  tasks::batch queries;
  for (std::size_t q = 0; q < history_lengths.size(); ++q) {
    if (history_lengths[q] >= 0)
      for (int prompt : {14, 15, 16}) queries.add_input(token_t(prompt));
    queries.add_input(random_tokens(std::max<index_t>(0, history_lengths[q]), 14, q).values);
    queries.close_input();
  }
  return queries;
}

struct scored_path {
  node_t node;
  double score;
};

/// The specification: the score of every path by teacher forcing, one sequence at a time.
template <class B>
class by_teacher_forcing {
 public:
  by_teacher_forcing(B& b, seq2seq::frozen_t5<B, double> const& model, search::item_trie const& trie,
                     std::span<token_t const> query, search::beam_options const& options,
                     std::vector<std::uint8_t> open = {})
      : b_(b),
        model_(model.model()),
        trie_(trie),
        query_(query.begin(), query.end() - 1),
        options_(options),
        open_(std::move(open)) {}

  /// Beam search in its simplest form: extend, sort, truncate.
  std::vector<scored_path> search() {
    std::vector<scored_path> paths = {{0, 0}};
    for (index_t level = 0; level < levels; ++level) {
      std::vector<scored_path> longer;
      for (auto const& path : paths)
        for (auto const& step : extensions(path)) longer.push_back(step);
      paths = best(longer);
    }
    bool const counted = options_.score_eos;
    for (auto& path : paths) {
      if (counted && options_.normalize == search::normalization::vocabulary) path.score += log_p_of_end(path.node);
      path.score /= std::pow(static_cast<double>(levels + (counted ? 1 : 0)), options_.length_penalty);
    }
    return best(paths);
  }

 private:
  std::vector<scored_path> best(std::vector<scored_path> paths) const {
    std::ranges::stable_sort(paths, std::ranges::greater{}, &scored_path::score);
    paths.resize(std::min(paths.size(), static_cast<std::size_t>(options_.beams)));
    return paths;
  }
  std::vector<scored_path> extensions(scored_path const& path) {
    auto const logits = last_logits(path.node);
    std::vector<scored_path> steps;
    double normalize_over_allowed = 0, over_vocabulary = 0;
    auto const arrays = trie_.arrays();
    for (node_t child = arrays.first_child(path.node); child < arrays.children_end(path.node); ++child) {
      if (!open_.empty() && !open_[static_cast<std::size_t>(child)]) continue;
      double const logit = logits[static_cast<std::size_t>(trie_.token(child))];
      steps.push_back({child, path.score + logit});
      normalize_over_allowed += std::exp(logit);
    }
    for (double const logit : logits) over_vocabulary += std::exp(logit);
    for (auto& step : steps)
      step.score -=
          std::log(options_.normalize == search::normalization::children ? normalize_over_allowed : over_vocabulary);
    return steps;
  }
  double log_p_of_end(node_t leaf) {
    auto const logits = last_logits(leaf);
    double sum = 0;
    for (double const logit : logits) sum += std::exp(logit);
    return logits[1] - std::log(sum);
  }
  /// The decoder's logits after the path to a node.
  std::vector<double> last_logits(node_t node) {
    std::vector<token_t> path;
    for (; node != 0; node = trie_.parent(node)) path.insert(path.begin(), trie_.token(node));
    tasks::batch one;
    one.append(query_, path);
    auto const v = static_cast<std::size_t>(model_.config().vocabulary);
    auto logits = poisoned<double>(b_, {std::ssize(one.targets), model_.config().vocabulary});
    seq2seq::t5_pass(b_, model_).logits(one, {0, 1}, logits);
    auto const all = fetched(logits).values;
    return {all.end() - static_cast<index_t>(v), all.end()};
  }

  B& b_;
  seq2seq::t5<B, double> const& model_;
  search::item_trie const& trie_;
  std::vector<token_t> query_;
  search::beam_options options_;
  std::vector<std::uint8_t> open_;
};

void check_same(search::beams const& found, index_t query, std::vector<scored_path> const& expected) {
  auto const leaves = found.leaves_of(query);
  auto const scores = found.scores_of(query);
  REQUIRE(leaves.size() == expected.size());
  for (std::size_t i = 0; i < leaves.size(); ++i) {
    CHECK(leaves[i] == expected[i].node);
    CHECK_CLOSE(scores[i], expected[i].score, 1e-6);  // scores are stored as float
  }
}

std::vector<search::beam_options> all_options(index_t beams) {
  std::vector<search::beam_options> variants;
  for (auto normalize : {search::normalization::vocabulary, search::normalization::children})
    for (bool const score_eos : {true, false})
      for (double penalty : {0., 1., 1.5})
        variants.push_back({.beams = beams, .length_penalty = penalty, .normalize = normalize, .score_eos = score_eos});
  return variants;
}

/// The nodes that a filter allows.
std::vector<std::uint8_t> open_nodes(search::item_trie const& trie, search::item_filter const& filter) {
  std::vector<std::uint8_t> nodes(static_cast<std::size_t>(trie.nodes()));
  search::mark_allowed(trie, search::item_choice(filter), nodes);
  return nodes;
}
/// A search for one query among the given nodes.
template <class B, class T>
search::beams filtered(B& b, seq2seq::frozen_t5<B, T> const& model, search::item_trie const& trie,
                       tasks::batch const& queries, search::beam_options const& options,
                       std::vector<std::uint8_t> const& open) {
  return search::search_micro_batch(
      b, model, trie, {.batch = queries, .part = {0, 1}, .allowed = {open.data(), 1, trie.nodes()}}, options);
}
std::set<item_id> items_of(search::item_trie const& trie, search::beams const& found, index_t query = 0) {
  std::set<item_id> items;
  for (auto const leaf : found.leaves_of(query)) items.insert(trie.items(leaf).begin(), trie.items(leaf).end());
  return items;
}
std::vector<item_id> items_from(index_t first, index_t last) {
  std::vector<item_id> items;
  for (index_t i = first; i < last; ++i) items.push_back(item_id(i));
  return items;
}
}  // namespace

TEST_CASE_TEMPLATE("beam search: a beam as wide as the catalog scores every item as teacher forcing does", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const model = random_frozen_t5<double>(b, tiny());
  search::item_trie const trie(first_items(24));
  auto const queries = queries_of({4, 0});
  for (auto const& options : all_options(24)) {
    auto const found = search::beam_search(b, model, trie, queries, options);
    for (index_t q = 0; q < queries.size(); ++q) {
      CHECK(items_of(trie, found, q).size() == 24);
      check_same(found, q, by_teacher_forcing(b, model, trie, queries.input(q), options).search());
    }
  }
}

TEST_CASE_TEMPLATE("beam search: a narrow beam extends, sorts and prunes, also with a filter", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const model = random_frozen_t5<double>(b, tiny());
  search::item_trie const trie(first_items(50));
  auto const queries = queries_of({5});
  for (index_t beams : {1, 3, 8})
    for (auto normalize : {search::normalization::vocabulary, search::normalization::children}) {
      search::beam_options const options{.beams = beams, .normalize = normalize};
      check_same(search::beam_search(b, model, trie, queries, options), 0,
                 by_teacher_forcing(b, model, trie, queries.input(0), options).search());
      auto const open = open_nodes(trie, {.allow = items_from(0, 30), .deny = items_from(5, 15)});
      check_same(filtered(b, model, trie, queries, options, open), 0,
                 by_teacher_forcing(b, model, trie, queries.input(0), options, open).search());
    }
}

TEST_CASE_TEMPLATE("beam search: scores normalized over allowed children are a distribution over the allowed items", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const model = random_frozen_t5<double>(b, tiny());
  search::item_trie const trie(first_items(40));
  auto const queries = queries_of({6});
  for (auto const& filter : {search::item_filter{}, search::item_filter{.deny = items_from(3, 30)},
                             search::item_filter{.allow = items_from(7, 8)}})
    for (bool const score_eos : {true, false}) {
      search::beam_options const options{
          .beams = 40, .length_penalty = 0, .normalize = search::normalization::children, .score_eos = score_eos};
      auto const found = filtered(b, model, trie, queries, options, open_nodes(trie, filter));
      double total = 0;
      for (float const score : found.scores) total += std::exp(static_cast<double>(score));
      CHECK_CLOSE(total, 1., 1e-6);
    }
}

TEST_CASE_TEMPLATE("beam search: returns as many distinct items as the beam is wide, or all, best first", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const model = random_frozen_t5<float>(b, tiny());
  auto const queries = queries_of({3, -1});
  for (index_t items : {0, 1, 2, 19, 64})
    for (index_t beams : {1, 2, 20, 63, 512}) {
      CAPTURE(items);
      CAPTURE(beams);
      search::item_trie const trie(first_items(items));
      auto const found = search::beam_search(b, model, trie, queries, {.beams = beams});
      REQUIRE(found.queries() == 2);
      for (index_t q = 0; q < 2; ++q) {
        CHECK(std::ssize(found.leaves_of(q)) == std::min(beams, items));
        CHECK(std::ssize(items_of(trie, found, q)) == std::min(beams, items));
        CHECK(std::ranges::is_sorted(found.scores_of(q), std::ranges::greater{}));
      }
    }
}

TEST_CASE_TEMPLATE("beam search: returns no denied item, and as many allowed ones as exist", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const model = random_frozen_t5<float>(b, tiny());
  search::item_trie const trie(first_items(64));
  auto const queries = queries_of({4});
  auto const best_items = items_of(trie, search::beam_search(b, model, trie, queries, {.beams = 50}));
  std::vector<search::item_filter> const filters = {
      {.allow = items_from(11, 12)},                                       // a single item
      {.allow = search::item_list{item_id{3}, item_id{17}, item_id{60}}},  //
      {.deny = {best_items.begin(), best_items.end()}},                    // without the best items
      {.allow = search::item_list(best_items.begin(), best_items.end()), .deny = items_from(0, 60)},  //
      {.deny = items_from(0, 64)},                                                                    // no items remain
      {.allow = search::item_list{}}};  // no items are allowed
  for (auto const& filter : filters)
    for (index_t beams : {1, 2, 5, 14, 512})
      for (auto normalize : {search::normalization::vocabulary, search::normalization::children}) {
        std::set<item_id> allowed;
        for (auto const item : filter.allow.value_or(items_from(0, 64))) allowed.insert(item);
        for (auto const item : filter.deny) allowed.erase(item);
        auto const found =
            filtered(b, model, trie, queries, {.beams = beams, .normalize = normalize}, open_nodes(trie, filter));
        auto const items = items_of(trie, found);
        CHECK(std::ssize(items) == std::min(beams, std::ssize(allowed)));
        CHECK(std::ranges::includes(allowed, items));
      }
}

TEST_CASE_TEMPLATE("beam search: each query of a micro-batch has its own filter", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const model = random_frozen_t5<float>(b, tiny());
  search::item_trie const trie(first_items(30));
  auto const queries = queries_of({4, 2, 4});
  std::vector<std::uint8_t> open;
  for (auto const& filter :
       {search::item_filter{.allow = items_from(0, 3)}, search::item_filter{.deny = items_from(0, 30)},
        search::item_filter{.allow = items_from(20, 30)}})
    std::ranges::copy(open_nodes(trie, filter), std::back_inserter(open));
  auto const found = search::search_micro_batch(
      b, model, trie, {.batch = queries, .part = {0, 3}, .allowed = {open.data(), 3, trie.nodes()}}, {.beams = 5});
  CHECK(items_of(trie, found, 0) == std::set{item_id{0}, item_id{1}, item_id{2}});
  CHECK(found.leaves_of(1).empty());
  CHECK(items_of(trie, found, 2).size() == 5);
  CHECK(*items_of(trie, found, 2).begin() >= item_id{20});
}

TEST_CASE_TEMPLATE("beam search: queries with different roots get the results of searches in the tries alone", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const model = random_frozen_t5<float>(b, tiny());
  auto const few = first_items(3), many = first_items(50), none = first_items(0);
  search::item_trie const together(std::array{&many, &none, &few});
  auto const queries = queries_of({4, 2, 30, 7});
  std::vector<node_t> const roots = {2, 0, 1, 0};
  search::item_filter const filter{.deny = items_from(1, 20)};
  auto const open = open_nodes(together, filter);
  host_matrix_view<std::uint8_t const> const all_open, same_for_all(open.data(), 4, together.nodes(), 0);
  search::beam_searcher searcher(b, model, together);
  for (auto const& options : all_options(8))
    for (int round = 0; round < 3; ++round)  // a device captures the second and launches the third
      for (bool const filtered : {false, true}) {
        search::beams found;
        searcher.search(
            {.batch = queries, .part = {0, 4}, .allowed = filtered ? same_for_all : all_open, .roots = roots}, options,
            found);
        REQUIRE(found.queries() == 4);
        for (index_t q = 0; q < 4; ++q) {
          auto const& table = *std::array{&many, &none, &few}[static_cast<std::size_t>(roots[to_size(q)])];
          search::item_trie const alone(table);
          auto const its_open = open_nodes(alone, filter);
          host_matrix_view<std::uint8_t const> const allowed(its_open.data(), 1, alone.nodes());
          auto const expected = search::search_micro_batch(
              b, model, alone, {.batch = queries, .part = {q, q + 1}, .allowed = filtered ? allowed : all_open},
              options);
          REQUIRE(found.leaves_of(q).size() == expected.leaves_of(0).size());
          for (std::size_t i = 0; i < found.leaves_of(q).size(); ++i) {
            CHECK(together.items(found.leaves_of(q)[i])[0] == alone.items(expected.leaves_of(0)[i])[0]);
            CHECK_CLOSE(found.scores_of(q)[i], expected.scores_of(0)[i], 1e-6);
          }
        }
      }
}

TEST_CASE("beam search: results depend neither on the blocks nor on the number of workers") {
  auto const queries = queries_of({3, 0, 9, -1, 1, 17, 2, 5});
  search::item_trie const trie(first_items(60));
  cpu::backend one;
  auto const model = random_frozen_t5<float>(one, tiny());
  auto const expected = search::beam_search(one, model, trie, queries, {.beams = 10});
  for (index_t threads : {1, 3}) {
    cpu::backend b(threads);
    for (index_t block_rows : {1, 30, 100, 10000}) {
      auto const found = search::beam_search(b, model, trie, queries, {.beams = 10, .block_rows = block_rows});
      CHECK(found.leaves == expected.leaves);
      CHECK(found.offsets == expected.offsets);
      CHECK_CLOSE(found.scores, expected.scores, 1e-5);
    }
  }
}

TEST_CASE_TEMPLATE("beam search: a query's result doesn't depend on other queries, and is the same each time", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const model = random_frozen_t5<float>(b, tiny());
  search::item_trie const trie(first_items(60));
  auto const queries = queries_of({3, 30, -1, 0});
  search::beam_options const options{.beams = 7};
  auto const together = search::beam_search(b, model, trie, queries, options);
  CHECK(search::beam_search(b, model, trie, queries, options) == together);
  for (index_t q = 0; q < queries.size(); ++q) {
    auto const single = search::search_micro_batch(b, model, trie, {.batch = queries, .part = {q, q + 1}}, options);
    CHECK(std::ranges::equal(single.leaves, together.leaves_of(q)));
    CHECK_CLOSE(single.scores, together.scores_of(q), 1e-5);
  }
}

TEST_CASE_TEMPLATE("beam_searcher: consecutive searches give the same results as separate ones, in any order of shapes",
                   B, MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const model = random_frozen_t5<float>(b, tiny());
  search::item_trie const trie(first_items(60));
  search::beam_searcher<B, seq2seq::frozen_t5<B, float>> searcher(b, model, trie);
  auto const queries =
      queries_of({3, 30, -1, 0, 7, 300, 5, 12});  // 300 exceeds the number of rows that the others are rounded up to
  std::vector<std::uint8_t> open(static_cast<std::size_t>(2 * trie.nodes()), 1);
  for (index_t node = 0; node < trie.nodes(); ++node)
    open[static_cast<std::size_t>(node)] = trie.is_leaf(static_cast<node_t>(node)) ? node % 3 != 0 : 1;
  host_matrix_view<std::uint8_t const> const masks(open.data(), 2, trie.nodes());
  for (int round = 0; round < 4; ++round)
    for (tasks::micro_batch const part : {tasks::micro_batch{0, 2}, {2, 4}, {4, 6}, {6, 8}, {0, 1}, {5, 6}})
      for (search::beam_options const& options : {search::beam_options{.beams = 7},
                                                  {.beams = 3, .length_penalty = 0},
                                                  {.beams = 7, .normalize = search::normalization::children}}) {
        auto const allowed =
            part.last - part.first == 2 && round % 2 == 1 ? masks : host_matrix_view<std::uint8_t const>();
        search::beams found;
        search::search_queries const some{.batch = queries, .part = part, .allowed = allowed};
        searcher.search(some, options, found);
        CHECK(found == search::search_micro_batch(b, model, trie, some, options));
      }
}

TEST_CASE_TEMPLATE("beam search: a watched search that runs to its end finds what an unwatched one does, bit for bit",
                   B, MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const model = random_frozen_t5<float>(b, tiny());
  search::item_trie const trie(first_items(60));
  search::beam_searcher<B, seq2seq::frozen_t5<B, float>> searcher(b, model, trie);
  auto const queries = queries_of({3, 30, -1});
  search::search_queries const all{.batch = queries, .part = {0, 3}};
  for (int round = 0; round < 3; ++round)
    for (auto const& options : all_options(7)) {
      search::beams plain, watched;
      CHECK(searcher.search(all, options, plain).complete);
      std::vector<index_t> seen;
      auto const status = searcher.search(all, options, watched, [&](search::search_progress const& at) {
        seen.push_back(at.level());
        return true;
      });
      CHECK(status.complete);
      CHECK(watched == plain);
      std::vector<index_t> expected(to_size(tiny().encoder_layers), 0);
      expected.insert(expected.end(), {0, 1, 2});
      if (options.score_eos && options.normalize == search::normalization::vocabulary) expected.push_back(3);
      CHECK(seen == expected);
    }
}

TEST_CASE_TEMPLATE("beam search: ended between two levels, it returns the items below the best prefixes", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const model = random_frozen_t5<float>(b, tiny());
  auto const table = first_items(40);
  search::item_trie const trie(table);
  auto const queries = queries_of({3, 30, -1});
  auto const open = open_nodes(trie, {.deny = items_from(5, 20)});
  std::vector<std::uint8_t> everywhere;
  for (index_t q = 0; q < queries.size(); ++q) everywhere.insert(everywhere.end(), open.begin(), open.end());
  for (bool const filter : {false, true})
    for (double const penalty : {0., 1.})
      for (index_t end = 0; end < levels; ++end) {
        search::beam_options const options{.beams = 6, .length_penalty = penalty, .score_eos = false};
        host_matrix_view<std::uint8_t const> const allowed(everywhere.data(), filter ? queries.size() : 0,
                                                           trie.nodes());
        search::beam_searcher<B, seq2seq::frozen_t5<B, float>> searcher(b, model, trie);
        search::beams found;
        auto const status =
            searcher.search({.batch = queries, .part = {0, queries.size()}, .allowed = allowed}, options, found,
                            [&](search::search_progress const& at) { return at.level() < end; });
        CHECK_FALSE(status.complete);
        REQUIRE(found.queries() == queries.size());
        if (end == 0) {
          CHECK(found.leaves.empty());
          continue;
        }
        // A catalog of the prefixes alone, in which no leaf is left out
        language::token_table prefixes(language::modality::text, 40, end);
        for (index_t i = 0; i < 40; ++i)
          if (!filter || i < 5 || i >= 20) prefixes.set(item_id(i), table.of(item_id(i)).first(to_size(end)));
        search::item_trie const short_trie(prefixes);
        auto const best = search::beam_search(b, model, short_trie, queries, options);
        for (index_t q = 0; q < queries.size(); ++q) {
          std::vector<std::pair<node_t, float>> expected;  // leaf, score
          for (std::size_t beam = 0; beam < best.leaves_of(q).size(); ++beam) {
            auto const below = short_trie.items(best.leaves_of(q)[beam]);
            for (node_t leaf = trie.first_leaf(); leaf < trie.nodes(); ++leaf)
              if (std::ranges::find_first_of(trie.items(leaf), below) != trie.items(leaf).end() &&
                  std::ssize(expected) < options.beams)
                expected.push_back({leaf, best.scores_of(q)[beam]});
          }
          REQUIRE(found.leaves_of(q).size() == expected.size());
          for (std::size_t i = 0; i < expected.size(); ++i) {
            CHECK(found.leaves_of(q)[i] == expected[i].first);
            CHECK_CLOSE(found.scores_of(q)[i], expected[i].second, 1e-5);
          }
        }
      }
}

TEST_CASE_TEMPLATE("beam search: may be ended before each layer of the encoder, and then finds nothing", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const model = random_frozen_t5<float>(b, tiny());
  search::item_trie const trie(first_items(40));
  search::beam_searcher<B, seq2seq::frozen_t5<B, float>> searcher(b, model, trie);
  auto const queries = queries_of({3, 30});
  search::search_queries const all{.batch = queries, .part = {0, 2}};
  search::beams expected;
  searcher.search(all, {.beams = 5}, expected);
  for (index_t end = 0; end <= tiny().encoder_layers; ++end) {
    search::beams found;
    index_t asked = 0;
    CHECK_FALSE(searcher
                    .search(all, {.beams = 5}, found,
                            [&](search::search_progress const& at) {
                              CHECK(at.level() == 0);
                              return asked++ < end;
                            })
                    .complete);
    CHECK(asked == end + 1);
    CHECK(found == search::beams{.offsets = {0, 0, 0}, .leaves = {}, .scores = {}});
    found.clear();
    searcher.search(all, {.beams = 5}, found);  // the next search isn't affected
    CHECK(found == expected);
  }
}

TEST_CASE_TEMPLATE("beam search: for a constant model all scores are equal, and results are in the order of the trie",
                   B, MQL4GREC_TEST_BACKENDS) {
  B b;
  seq2seq::frozen_t5 const constant_model(b, seq2seq::t5<B, float>(b, tiny()));  // all parameters are zero
  search::item_trie const trie(first_items(20));
  auto const found = search::beam_search(b, constant_model, trie, queries_of({3}), {.beams = 20, .length_penalty = 0});
  for (node_t i = 0; i < 20; ++i) CHECK(found.leaves[static_cast<std::size_t>(i)] == trie.first_leaf() + i);
  CHECK_CLOSE(found.scores, constant(20, static_cast<float>(-4 * std::log(17.))), 1e-5);
}

TEST_CASE_TEMPLATE("beam search: no queries give no results; an empty catalog gives empty results", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const model = random_frozen_t5<float>(b, tiny());
  CHECK(search::beam_search(b, model, search::item_trie(first_items(5)), tasks::batch{}) == search::beams{});
  for (auto const& trie : {search::item_trie(), search::item_trie(first_items(0)),
                           search::item_trie(language::token_table(language::modality::text, 4, 2))})
    CHECK(search::beam_search(b, model, trie, queries_of({1, 2})) ==
          search::beams{.offsets = {0, 0, 0}, .leaves = {}, .scores = {}});
}

TEST_CASE_TEMPLATE("beam search: no allocation from the third search of a size on", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const model = random_frozen_t5<float>(b, tiny());
  search::item_trie const trie(first_items(64));
  auto const queries = queries_of(std::vector<index_t>(40, 60));
  search::beam_options const wide{.beams = 512, .block_rows = 40 * 512};
  for (int round = 0; round < 2; ++round)
    (void)search::beam_search(b, model, trie, queries, wide);  // the scratch grows in chunks, then they are merged
  auto const capacity = b.scratch().capacity();
  CHECK(capacity > (std::size_t{1} << 20));
  (void)search::beam_search(b, model, trie, queries, wide);
  CHECK(b.scratch().capacity() == capacity);
}

TEST_CASE("beam search: progress rises to the number of queries") {
  cpu::backend b;
  auto const model = random_frozen_t5<float>(b, tiny());
  std::vector<index_t> reported;
  (void)search::beam_search(
      b, model, search::item_trie(first_items(9)), queries_of({1, 2, 3, 4, 5}),
      {.options = {.beams = 2, .block_rows = 4}, .progress = [&](index_t done) { reported.push_back(done); }});
  CHECK(reported == std::vector<index_t>{2, 4, 5});
}

TEST_CASE("beam search: options out of range are refused by name") {
  CHECK_NOTHROW(search::validate(search::beam_options{}));
  for (search::beam_options const& wrong :
       {search::beam_options{.beams = 0}, search::beam_options{.beams = 4097},
        search::beam_options{.length_penalty = NAN}, search::beam_options{.length_penalty = INFINITY},
        search::beam_options{.block_rows = 0}})
    CHECK_THROWS_AS(search::validate(wrong), error);
}

TEST_CASE("beams: append() adds the results after the existing ones") {
  search::beams all;
  all.append({.offsets = {0, 2, 2}, .leaves = {7, 8}, .scores = {-1.f, -2.f}});
  all.append({.offsets = {0}, .leaves = {}, .scores = {}});
  all.append({.offsets = {0, 1}, .leaves = {9}, .scores = {-3.f}});
  REQUIRE(all.queries() == 3);
  CHECK(all.leaves_of(0).size() == 2);
  CHECK(all.leaves_of(1).empty());
  CHECK(all.leaves_of(2).front() == 9);
  CHECK(all.scores_of(2).front() == -3.f);
}
