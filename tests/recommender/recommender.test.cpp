#include "mql4grec/recommender.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <set>
#include <stop_token>
#include <thread>

#include "core/temporary_directory.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/pipeline/dataset.hpp"
#include "mql4grec/pipeline/evaluate.hpp"
#include "mql4grec/pipeline/model_metadata.hpp"
#include "mql4grec/search/packed_catalog.hpp"
#include "mql4grec/seq2seq/checkpoint.hpp"
#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/small_t5.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
constexpr index_t catalog_items = 30;
constexpr item_id without_text{4}, without_image{5}, without_any{9};

/// Text has 20 sequences of two tokens, so that items share some; images have 64 of three.
language::vocabulary const& vocab() {
  static language::vocabulary const small({.modalities = {{"a", {5, 4}}, {"A", {4, 4, 4}}}});
  return small;
}

language::token_table random_table(language::modality kind, std::set<item_id> const& missing) {
  language::token_table table(kind, catalog_items, vocab().levels(kind));
  random_stream random(5, static_cast<std::uint64_t>(kind));
  for (index_t i = 0; i < catalog_items; ++i) {
    std::vector<token_t> sequence;
    for (index_t l = 0; l < table.levels(); ++l)
      sequence.push_back(vocab().token(kind, l, code_t(random.below(vocab().codes(kind, l)))));
    if (!missing.contains(item_id(i))) table.set(item_id(i), sequence);
  }
  return table;
}
std::vector<language::token_table> tables() {
  return {random_table(language::modality::text, {without_text, without_any}),
          random_table(language::modality::image, {without_image, without_any})};
}

template <class B = cpu::backend, class T = float>
seq2seq::t5<B, T> model(std::uint64_t seed = 7) {
  B b;
  auto config = small_t5();
  config.vocabulary = vocab().size();
  config.model_width = 8;
  return random_t5<T>(b, config, seed);
}
template <class B = cpu::backend, class T = float>
recommender<B, T> service(std::uint64_t seed = 7, recommender_options const& options = {}) {
  B b;
  return {b, model<B, T>(seed), {vocab(), tasks::all_tasks()}, tables(), options};
}

search::item_list random_history(index_t length, std::uint64_t seed) {
  random_stream random(seed, 2);
  search::item_list items;
  for (index_t i = 0; i < length; ++i) items.push_back(item_id(random.below(catalog_items)));
  return items;
}
search::item_list items_from(index_t first, index_t last) {
  search::item_list items;
  for (index_t i = first; i < last; ++i) items.push_back(item_id(i));
  return items;
}
std::set<item_id> set_of(rank::ranking const& list) { return {list.items.begin(), list.items.end()}; }
rank::ranking first_of(rank::ranking list, index_t k) {
  list.items.resize(static_cast<std::size_t>(k));
  list.scores.resize(static_cast<std::size_t>(k));
  return list;
}
}  // namespace

TEST_CASE_TEMPLATE("recommend: its list is the ensemble of evaluate()", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  tasks::dataset from{.tokens = tables(), .name = "small"};
  for (std::uint64_t u = 0; u < 10; ++u)
    from.interactions.add_user(std::to_string(u), random_history(3 + 3 * static_cast<index_t>(u), u));
  from.interactions.item_count = catalog_items;
  auto const evaluated = pipeline::evaluate(b, seq2seq::frozen_t5(b, model<B, double>()), {vocab(), tasks::all_tasks()},
                                            from, {.search = {.beams = 10}});
  auto const tested = service<B, double>(7, {.search = {.beams = 10}});
  REQUIRE(evaluated.examples.size() == 10);
  for (auto const& example : evaluated.examples) {
    auto const mine = tested.recommend(catalog::history(from.interactions, example.user, catalog::split::test), 10);
    CHECK(mine.items == first_of(example.ensemble, 10).items);
    CHECK_CLOSE(mine.scores, first_of(example.ensemble, 10).scores, 1e-6);
  }
}

TEST_CASE_TEMPLATE("recommend: a shorter list is a prefix of a longer one if the beam is equally wide", B,
                   MQL4GREC_TEST_BACKENDS) {
  auto const tested = service<B>();
  auto const all = tested.recommend(random_history(6, 1), 20);
  CHECK(all.size() == 20);
  CHECK(std::ranges::is_sorted(all.scores, std::ranges::greater{}));
  CHECK(set_of(all).size() == 20);
  for (index_t k : {0, 1, 5, 19}) CHECK(tested.recommend(random_history(6, 1), k) == first_of(all, k));
  CHECK_THROWS_AS(tested.recommend({}, -1), error);
  CHECK(complaint<error>([&] { return tested.recommend({}, 4097); }) == "recommend: k is 4097, expected 0 to 4096");
}

TEST_CASE_TEMPLATE("recommend: a k above the catalog's size returns every item with tokens in some modality", B,
                   MQL4GREC_TEST_BACKENDS) {
  auto const tested = service<B>();
  auto everything = items_from(0, catalog_items);
  std::erase(everything, without_any);
  for (index_t k : {index_t{29}, index_t{30}, search::max_beams}) {
    auto const list = tested.recommend(random_history(3, 1), k);
    CHECK(set_of(list) == std::set(everything.begin(), everything.end()));
    CHECK(list.size() == 29);
  }
}

TEST_CASE_TEMPLATE("recommend: a filter is applied inside the search, so k items are returned whenever k are allowed",
                   B, MQL4GREC_TEST_BACKENDS) {
  auto const tested = service<B>(7, {.search = {.beams = 2}});
  auto const past = random_history(6, 1);
  auto const top = tested.recommend(past, 20).items;
  std::vector<search::item_filter> const filters = {
      {.allow = search::item_list{item_id{17}}},
      {.allow = search::item_list{item_id{3}, without_text, without_image, item_id{28}}},
      {.allow = search::item_list{without_any}},
      {.deny = top},
      {.allow = top, .deny = items_from(0, 25)},
      {.allow = search::item_list{item_id{-1}, item_id{7}, item_id{1000}}, .deny = {item_id{1000}, item_id{-5}}},
      {.deny = items_from(0, catalog_items)},
      {.allow = search::item_list{}}};
  for (auto const& filter : filters) {
    std::set<item_id> left;
    for (auto const item : filter.allow.value_or(items_from(0, catalog_items)))
      if (index(item) >= 0 && index(item) < catalog_items && item != without_any &&
          std::ranges::count(filter.deny, item) == 0)
        left.insert(item);
    for (index_t k : {1, 3, 10, 100}) {
      auto const list = tested.recommend(past, k, filter);
      CHECK(list.size() == std::min(k, std::ssize(left)));
      CHECK(std::ranges::includes(left, set_of(list)));
    }
  }
}

TEST_CASE_TEMPLATE("recommend: equally long modalities are searched together, with the results of separate searches", B,
                   MQL4GREC_TEST_BACKENDS) {
  language::vocabulary const words({.modalities = {{"a", {5, 4, 3}}, {"A", {4, 4, 4}}}});
  std::vector<language::token_table> catalog;
  for (auto const kind : {language::modality::text, language::modality::image}) {
    catalog.emplace_back(kind, catalog_items, 3);
    random_stream random(9, static_cast<std::uint64_t>(kind));
    for (index_t i = 0; i < catalog_items; ++i) {
      std::vector<token_t> sequence;
      for (index_t l = 0; l < 3; ++l)
        sequence.push_back(words.token(kind, l, code_t(random.below(words.codes(kind, l)))));
      if (item_id(i) != without_any) catalog.back().set(item_id(i), sequence);
    }
  }
  B b;
  auto config = small_t5();
  config.vocabulary = words.size();
  config.model_width = 8;
  seq2seq::frozen_t5 const frozen(b, random_t5<float>(b, config, 3));
  tasks::model_tasks const tasks{words, tasks::all_tasks()};
  search::beam_options const options{.beams = 6};
  recommender<B, float> const tested(seq2seq::frozen_t5(b, random_t5<float>(b, config, 3)), tasks, catalog,
                                     {.search = options});
  auto session = tested.session();
  for (index_t length : {0, 1, 5, 20})
    for (auto const& filter : {search::item_filter{}, search::item_filter{.deny = items_from(3, 12)},
                               search::item_filter{.allow = search::item_list{item_id{2}}}}) {
      auto const history = random_history(length, 6);
      std::vector<rank::ranking> lists;
      for (auto const& table : catalog) {
        search::item_trie const trie(table);
        std::vector<std::uint8_t> nodes(to_size(trie.nodes()));
        search::item_choice const choice(filter);
        search::mark_allowed(trie, choice, nodes);
        tasks::batch query;
        tasks.tasks.query(table.kind()).write_query(history, {.tables = catalog, .vocab = words}, query);
        lists.push_back(rank::ranking_of(
            search::search_micro_batch(
                b, frozen, trie, {.batch = query, .part = {0, 1}, .allowed = {nodes.data(), 1, trie.nodes()}}, options),
            0, trie, choice));
      }
      auto const expected = rank::any_fusion().fuse(lists);
      auto const list = session.recommend(history, {.k = 6, .filter = filter});
      auto const most = std::min<std::size_t>(6, expected.items.size());
      CHECK(list.items == std::vector(expected.items.begin(), expected.items.begin() + std::ptrdiff_t(most)));
      CHECK_CLOSE(list.scores, std::vector(expected.scores.begin(), expected.scores.begin() + std::ptrdiff_t(most)),
                  1e-6);
    }
}

TEST_CASE("session: several threads answer as one does") {
  auto const tested = service();
  CHECK_THROWS_AS(tested.session({.threads = 0}), error);
  auto one = tested.session();
  for (index_t const threads : {2, 7}) {
    auto several = tested.session({.threads = threads});
    for (std::uint64_t i = 0; i < 12; ++i) {
      auto const history = random_history(static_cast<index_t>(i), i);
      search::item_filter const filter{.deny = i % 3 == 0 ? random_history(5, i) : search::item_list{}};
      CHECK(several.recommend(history, {.k = 10, .filter = filter}) ==
            one.recommend(history, {.k = 10, .filter = filter}));
      CHECK(several.recommend_new(history, 5, items_from(12, 22)) == one.recommend_new(history, 5, items_from(12, 22)));
    }
    CHECK(several.recommend(random_history(3, 1), {.k = 100}) == one.recommend(random_history(3, 1), {.k = 100}));
  }
}

TEST_CASE_TEMPLATE("recommend: the answer has the list of each modality, and its ranking is their fusion", B,
                   MQL4GREC_TEST_BACKENDS) {
  auto const tested = service<B>();
  auto const answer = tested.recommend(random_history(6, 1), 20);
  CHECK(answer.complete);
  REQUIRE(answer.by_modality.size() == 2);
  CHECK(answer == first_of(rank::average_plus_one().fuse(answer.by_modality), 20));
  for (auto const kind : {language::modality::text, language::modality::image}) {
    auto const& list = answer.by_modality[to_size(kind)];
    REQUIRE(list.size() >= 20);
    for (std::size_t i = 0; i < list.items.size(); ++i)
      CHECK(answer.place_in(kind, list.items[i]) == ranked_place{static_cast<index_t>(i) + 1, list.scores[i]});
    CHECK(answer.place_in(kind, without_any) == std::nullopt);
  }
  CHECK(answer.place_in(language::modality::text, without_text) == std::nullopt);
  CHECK(recommendation().place_in(language::modality::text, item_id{0}) == std::nullopt);
  CHECK(answer.times.search > std::chrono::nanoseconds(0));
  CHECK(answer.times.encode > std::chrono::nanoseconds(0));
}

TEST_CASE_TEMPLATE("recommend: a deadline that doesn't pass, and a token that isn't stopped, change nothing", B,
                   MQL4GREC_TEST_BACKENDS) {
  auto const tested = service<B>();
  for (index_t const threads : {1, 2}) {
    if (threads > 1 && !std::is_same_v<B, cpu::backend>) continue;
    auto session = tested.session({.threads = threads});
    std::stop_source source;
    for (int round = 0; round < 3; ++round) {
      auto const history = random_history(6, 1);
      auto const plain = session.recommend(history);
      for (auto const& options : {recommend_options{.deadline = std::chrono::hours(1)},
                                  recommend_options{.deadline = std::chrono::nanoseconds::max()},
                                  recommend_options{.stop = source.get_token()}}) {
        auto const watched = session.recommend(history, options);
        CHECK(watched == plain);
        CHECK(watched.by_modality == plain.by_modality);
        CHECK(watched.complete);
      }
    }
  }
}

TEST_CASE_TEMPLATE("recommend: a request that has ended before its first code is answered at once with an empty list",
                   B, MQL4GREC_TEST_BACKENDS) {
  using namespace std::chrono_literals;
  auto const tested = service<B>();
  std::stop_source stopped;
  stopped.request_stop();
  for (auto const& options : {recommend_options{.deadline = 0ms}, recommend_options{.deadline = -5ms},
                              recommend_options{.stop = stopped.get_token()}}) {
    auto const answer = tested.recommend(random_history(6, 1), options);
    CHECK_FALSE(answer.complete);
    CHECK(answer.size() == 0);
    CHECK(answer.by_modality == std::vector<rank::ranking>(2));
    CHECK(answer.times.encode == 0ns);
  }
  CHECK(tested.recommend(random_history(6, 1), 10) == service<B>().recommend(random_history(6, 1), 10));
}

TEST_CASE("recommend: returns soon after its deadline, with slack for a busy machine") {
  using namespace std::chrono;
  cpu::backend backend;
  language::vocabulary const words;
  std::vector<language::token_table> catalog;
  for (auto const kind : {language::modality::text, language::modality::image}) {
    catalog.emplace_back(kind, 500, 4);
    random_stream random(2, static_cast<std::uint64_t>(kind));
    for (index_t i = 0; i < 500; ++i) {
      std::vector<token_t> sequence;
      for (index_t l = 0; l < 4; ++l) sequence.push_back(words.token(kind, l, code_t(random.below(256))));
      catalog.back().set(item_id(i), sequence);
    }
  }
  recommender<> const tested(backend, random_t5<float>(backend, {}, 1), {words, tasks::all_tasks()}, catalog);
  auto session = tested.session();
  auto const past = random_history(20, 1);
  auto const whole = session.recommend(past, 100);
  index_t incomplete = 0, with_items = 0;
  for (auto deadline = microseconds(100); deadline < milliseconds(20); deadline += microseconds(400)) {
    auto const start = steady_clock::now();
    auto const answer = session.recommend(past, {.k = 100, .deadline = deadline});
    CHECK(steady_clock::now() - start < deadline + seconds(3));  // 2 ms on an idle machine
    if (answer.complete) CHECK(answer == whole);
    incomplete += answer.complete ? 0 : 1;
    with_items += !answer.complete && answer.size() > 0 ? 1 : 0;
  }
  CHECK(incomplete > 0);  // 100 us are too little on any machine
  MESSAGE(with_items << " of " << incomplete << " incomplete answers have items");
}

TEST_CASE_TEMPLATE("recommend_batch: the best so far is that of the level at which a request ended; others go on", B,
                   MQL4GREC_TEST_BACKENDS) {
  auto const tested = service<B>(7, {.search = {.beams = 30}});
  auto session = tested.session();
  auto const first = random_history(6, 1), second = random_history(3, 2);
  search::item_filter const filter{.deny = items_from(0, 12)};
  std::vector<recommend_request> const requests = {{first, {.k = 30, .filter = filter}}, {second, {.k = 30}}};
  auto const whole = tested.recommend(second, 30);
  for (int round = 0; round < 2; ++round)
    for (index_t end = 0; end < 5 + small_t5().encoder_layers; ++end) {
      index_t asked = 0;
      std::vector<recommendation> so_far(2);
      // text has 2 levels and images have 3: searches of their own, each of which asks after every step but the last
      auto const answers = session.recommend_batch(
          requests, {.wanted = [&](std::size_t i) { return i == 1 || asked++ < end; },
                     .so_far = [&](std::size_t i, recommendation best) { so_far[i] = std::move(best); }});
      CHECK(answers[1].complete);
      CHECK(set_of(answers[1]) == set_of(whole));
      CHECK_CLOSE(answers[1].scores, whole.scores, 1e-5);
      CHECK_FALSE(answers[0].complete);
      auto const listed = set_of(answers[0]);
      for (auto const item : listed) CHECK(index(item) >= 12);
      // asked before its rules are prepared, before the search, before each layer of the encoder and before each code
      auto const before_first_code = 3 + small_t5().encoder_layers;
      CHECK(listed.empty() == (end < before_first_code));
      if (end >= before_first_code) CHECK(listed.size() >= 17);  // 30 beams reach every item of the text
      CHECK_FALSE(so_far[1].complete);
      CHECK(so_far[1].size() > 0);
    }
}

TEST_CASE("recommend_batch: every best so far has only what this call has found, also after a change of the catalog") {
  auto const tested = service(7, {.search = {.beams = 8}});
  auto session = tested.session();
  auto const first = random_history(6, 1), second = random_history(3, 2);
  std::vector<recommend_request> const one_way = {{first, {.k = 8}}, {second, {.k = 8}}},
                                       other_way = {{second, {.k = 8}}, {first, {.k = 8}}};
  for (int round = 0; round < 4; ++round) {
    std::vector<std::vector<recommendation>> so_far(2);
    auto const answers = session.recommend_batch(
        round % 2 == 0 ? one_way : other_way,
        {.wanted = [](std::size_t) { return true; },
         .so_far = [&](std::size_t i, recommendation best) { so_far[i].push_back(std::move(best)); }});
    for (std::size_t i = 0; i < 2; ++i) {
      REQUIRE(so_far[i].size() == 5);  // after each code: the text is searched first
      for (std::size_t step = 0; step < 5; ++step) {
        auto const& lists = so_far[i][step].by_modality;
        CHECK(lists[0].size() > 0);
        CHECK((lists[1].size() > 0) == (step >= 2));
        if (step < 2) CHECK(std::ranges::includes(set_of(lists[0]), set_of(so_far[i][step])));
        if (step >= 2) CHECK(lists[0] == answers[i].by_modality[0]);
      }
    }
    for (int change = 0; change < 3; ++change)  // so that no version of the call before is left
      tested.catalog().set(item_id(20 + change), {{vocab().token(language::modality::text, 0, code_t(round)),
                                                   vocab().token(language::modality::text, 1, code_t(change))}});
  }
}

TEST_CASE_TEMPLATE("recommend_batch: equals one request after another, whatever their options", B,
                   MQL4GREC_TEST_BACKENDS) {
  auto const tested = service<B>(7, {.search = {.beams = 4, .block_rows = 24}});
  std::vector<search::item_list> histories;
  for (std::uint64_t i = 0; i < 11; ++i) histories.push_back(random_history(static_cast<index_t>(2 * i), i));
  std::vector<recommend_request> requests;
  for (std::uint64_t i = 0; i < 11; ++i)
    requests.push_back({histories[i],
                        {.k = static_cast<index_t>(1 + i % 7),
                         .filter = {.deny = i % 3 == 0 ? random_history(5, i) : search::item_list{}}}});
  auto const answers = tested.recommend_batch(requests);
  REQUIRE(answers.size() == requests.size());
  for (std::size_t i = 0; i < requests.size(); ++i) {
    auto const alone = tested.recommend(histories[i], requests[i].options);
    CHECK(answers[i].items == alone.items);
    CHECK_CLOSE(answers[i].scores, alone.scores, 1e-5);
    CHECK(answers[i].complete);
  }
  CHECK(tested.recommend_batch({}).empty());
  requests[4].options.k = -1;
  CHECK_THROWS_AS(tested.recommend_batch(requests), error);
}

TEST_CASE("recommend_batch: a deadline of one request doesn't end the others") {
  auto const tested = service();
  auto const history = random_history(6, 1);
  std::vector<recommend_request> const requests = {
      {history, {}}, {history, {.deadline = std::chrono::nanoseconds(0)}}, {history, {.k = 3}}};
  auto const answers = tested.recommend_batch(requests);
  CHECK(answers[0].complete);
  CHECK(answers[2].complete);
  CHECK_FALSE(answers[1].complete);
  CHECK(answers[1].size() == 0);
  CHECK(answers[0].items == tested.recommend(history, 10).items);
}

TEST_CASE("recommend: a filter that excludes nothing changes nothing") {
  auto const tested = service();
  auto const past = random_history(6, 1);
  auto const plain = tested.recommend(past, 10);
  for (search::item_filter const& idle : {search::item_filter{.allow = items_from(0, catalog_items)},
                                          search::item_filter{.deny = {without_any, item_id{500}}}}) {
    auto const list = tested.recommend(past, 10, idle);
    CHECK(list.items == plain.items);
    CHECK_CLOSE(list.scores, plain.scores, 1e-5);
  }
}

TEST_CASE("recommend: unknown items of a history are ignored, and an empty history has a result") {
  auto const tested = service();
  auto const anyone = tested.recommend({}, 10);
  CHECK(anyone.size() == 10);
  CHECK(tested.recommend(search::item_list{item_id{-1}, item_id{30}, item_id{1 << 30}, without_any}, 10) == anyone);
  CHECK(tested.recommend(search::item_list{item_id{30}, item_id{7}, item_id{-9}, item_id{8}}, 10) ==
        tested.recommend(search::item_list{item_id{7}, item_id{8}}, 10));
  CHECK(tested.recommend(search::item_list{item_id{7}, item_id{8}}, 10) != anyone);
}

TEST_CASE("recommend: only the last twenty items of a history count") {
  auto const tested = service();
  auto const past = random_history(20, 3);
  auto longer = random_history(500, 4);
  longer.insert(longer.end(), past.begin(), past.end());
  CHECK(tested.recommend(longer, 10) == tested.recommend(past, 10));
  CHECK(tested.recommend(std::span(past).last(19), 10) != tested.recommend(past, 10));
}

TEST_CASE(
    "recommend: items that share a sequence share its score, are in the order of ids, and can be denied individually") {
  cpu::backend backend;
  auto const text = tables()[0];
  recommender<> const tested(backend, model(), {vocab(), tasks::all_tasks()}, {text});
  REQUIRE(language::duplicate_items(text) > 3);
  auto const list = tested.recommend(random_history(4, 1), 100);
  CHECK(list.size() == 28);
  auto const same = [&](item_id a, item_id b) { return std::ranges::equal(text.of(a), text.of(b)); };
  item_id twin{-1};
  for (std::size_t i = 1; i < list.items.size(); ++i) {
    if (!same(list.items[i - 1], list.items[i])) continue;
    CHECK(list.items[i - 1] < list.items[i]);
    CHECK(list.scores[i - 1] == list.scores[i]);
    twin = list.items[i];
  }
  auto without_twin = list.items;
  std::erase(without_twin, twin);
  CHECK(tested.recommend(random_history(4, 1), 100, {.deny = {twin}}).items == without_twin);
}

TEST_CASE("recommend: an item with one modality is found through it, an item without tokens never") {
  auto const tested = service();
  auto const all = set_of(tested.recommend(random_history(4, 1), 30));
  CHECK(all.contains(without_text));
  CHECK(all.contains(without_image));
  CHECK_FALSE(all.contains(without_any));
}

TEST_CASE("recommend: without image tokens the ranking is that of the text") {
  cpu::backend backend;
  std::vector<language::token_table> const text = {tables()[0]};
  auto both = text;
  both.emplace_back(language::modality::image, catalog_items, 3);
  recommender<> const one(backend, model(), {vocab(), tasks::all_tasks()}, text),
      two(backend, model(), {vocab(), tasks::all_tasks()}, both);
  CHECK(two.recommend(random_history(4, 1), 10) == one.recommend(random_history(4, 1), 10));
  recommender<> const nothing(backend, model(), {vocab(), tasks::all_tasks()},
                              {language::token_table(language::modality::text, catalog_items, 2)});
  CHECK(nothing.recommend(random_history(4, 1), 10) == rank::ranking{});
  CHECK(recommender<>(backend, model(), {vocab(), tasks::all_tasks()},
                      {language::token_table(language::modality::text, 0, 2)})
            .recommend({}, 10) == rank::ranking{});
}

TEST_CASE_TEMPLATE("explain: a drop is the difference of two log p that are computed by teacher forcing", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const exact = model<B, double>();
  auto const catalog = tables();
  /// The mean over modalities of the probability of the item's sequence and </s>.
  auto const log_p = [&](std::vector<item_id> const& history, item_id item) {
    double sum = 0, count = 0;
    for (auto const& table : catalog) {
      if (!table.has(item)) continue;
      tasks::batch query, forced;
      tasks::all_tasks().query(table.kind()).write_query(history, {.tables = catalog, .vocab = vocab()}, query);
      forced.append(query.input(0).first(query.input(0).size() - 1), table.of(item));
      auto logits = poisoned<double>(b, {std::ssize(forced.targets), exact.config().vocabulary});
      seq2seq::t5_pass(b, exact).logits(forced, {0, 1}, logits);
      auto const values = fetched(logits).values;
      double score = 0;
      for (std::size_t t = 0; t < forced.targets.size(); ++t) {
        auto const row =
            std::span(values).subspan(t * to_size(exact.config().vocabulary), to_size(exact.config().vocabulary));
        double total = 0;
        for (double const logit : row) total += std::exp(logit);
        score += row[to_size(index(forced.targets[t]))] - std::log(total);
      }
      sum += std::exp(score);
      ++count;
    }
    return std::log(sum / count);
  };
  // other search options don't matter
  for (auto const& options :
       {search::beam_options{},
        search::beam_options{
            .beams = 2, .length_penalty = 0.5, .normalize = search::normalization::children, .block_rows = 30}}) {
    auto const tested = service<B, double>(7, {.search = options});
    search::item_list const history = {item_id{7}, item_id{3}, item_id{7}, without_text},
                            items = {item_id{11}, without_text, without_image, item_id{3}};
    auto const found = tested.explain(history, items);
    REQUIRE(found.size() == items.size());
    for (std::size_t i = 0; i < items.size(); ++i) {
      CHECK(found[i].item == items[i]);
      CHECK_CLOSE(found[i].log_p, log_p(history, items[i]), 1e-5);
      REQUIRE(found[i].reasons.size() == history.size());
      for (std::size_t h = 0; h < history.size(); ++h) {
        auto shorter = history;
        shorter.erase(shorter.begin() + static_cast<std::ptrdiff_t>(h));
        auto const& reason = found[i].reasons[h];
        CHECK(reason.position == static_cast<index_t>(h));
        CHECK_CLOSE(reason.drop, log_p(history, items[i]) - log_p(shorter, items[i]), 1e-5);
      }
    }
  }
}

TEST_CASE_TEMPLATE("trace: the beams after each step are those of a search for the first codes alone", B,
                   MQL4GREC_TEST_BACKENDS) {
  auto const history = random_history(5, 3);
  search::item_filter const filter{.deny = items_from(0, 12)};
  search::beam_options const full{.beams = 6, .score_eos = true};
  auto const steps = service<B, double>(7, {.search = full}).trace(history, {.k = 3, .filter = filter});
  REQUIRE(steps.size() == 2);
  for (auto const& table : tables()) {
    auto const& mine = steps[to_size(table.kind())];
    REQUIRE(std::ssize(mine) == table.levels());
    for (index_t levels = 1; levels <= table.levels(); ++levels) {
      bool const whole = levels == table.levels();
      language::token_table first(table.kind(), table.items(), levels);
      for (auto const item : table.present()) first.set(item, table.of(item).first(to_size(levels)));
      auto catalog = tables();
      catalog[to_size(table.kind())] = first;
      B b;
      recommender<B, double> const short_one(b, model<B, double>(), {vocab(), tasks::all_tasks()}, catalog,
                                             {.search = {.beams = 6, .score_eos = whole}, .history_tokens = tables()});
      auto const list = short_one.recommend(history, 3, filter).by_modality[to_size(table.kind())];
      std::vector<std::vector<token_t>> expected;
      std::vector<double> scores, found;
      for (std::size_t i = 0; i < list.items.size(); ++i) {
        auto const tokens = first.of(list.items[i]);
        if (!expected.empty() && std::ranges::equal(expected.back(), tokens)) continue;  // items that share them
        expected.emplace_back(tokens.begin(), tokens.end());
        scores.push_back(list.scores[i]);
      }
      std::vector<std::vector<token_t>> tokens;
      for (auto const& beam : mine[to_size(levels) - 1]) {
        tokens.push_back(beam.tokens);
        found.push_back(beam.score);
      }
      CHECK(tokens == expected);
      CHECK_CLOSE(found, scores, 1e-5);
    }
  }
  CHECK(service<B, double>().trace(history, {.filter = {.allow = search::item_list{}}})[0].back().empty());
}

TEST_CASE("explain: shared codes, long histories, unknown items and errors") {
  cpu::backend backend;
  language::token_table text(language::modality::text, catalog_items, 2),
      image(language::modality::image, catalog_items, 3);
  auto const set = [](language::token_table& table, int item, std::vector<int> const& codes) {
    std::vector<token_t> sequence;
    for (std::size_t l = 0; l < codes.size(); ++l)
      sequence.push_back(vocab().token(table.kind(), static_cast<index_t>(l), code_t(codes[l])));
    table.set(item_id(item), sequence);
  };
  set(text, 0, {1, 2});
  set(text, 1, {1, 3});
  set(text, 2, {4, 2});
  set(image, 0, {0, 1, 2});
  set(image, 1, {0, 1, 2});
  set(image, 3, {0, 2, 2});
  recommender<> const tested(backend, model(), {vocab(), tasks::all_tasks()}, {text, image});
  search::item_list const history = {item_id{0}, item_id{1}, item_id{2}, item_id{3}, item_id{99}, item_id{-1}};
  auto const found = tested.explain(history, std::vector{item_id{0}, item_id{9}});
  std::vector<std::vector<index_t>> shared;
  for (auto const& reason : found[0].reasons) shared.push_back(reason.shared_codes);
  CHECK(shared == std::vector<std::vector<index_t>>{{2, 3}, {1, 3}, {0, 0}, {0, 1}, {0, 0}, {0, 0}});
  for (auto const h : {std::size_t{4}, std::size_t{5}})
    CHECK_CLOSE(found[0].reasons[h].drop, 0., 1e-6);  // it wasn't read
  CHECK(std::isinf(found[1].log_p));                  // no sequence
  for (auto const& reason : found[1].reasons) CHECK(reason.drop == 0);

  search::item_list longer(15, item_id{2});
  longer.insert(longer.end(), history.begin(), history.end());
  auto const last = tested.explain(longer, std::vector{item_id{0}});
  CHECK(last[0].reasons.size() == 20);
  CHECK(last[0].reasons.front().position == 1);
  CHECK(tested.explain({}, std::vector{item_id{0}})[0].reasons.empty());
  CHECK(tested.explain(history, {}).empty());
  CHECK_THROWS_AS(tested.explain(history, std::vector{item_id{30}}), error);
  CHECK_THROWS_AS(tested.explain(history, search::item_list(4097, item_id{0})), error);
}

TEST_CASE_TEMPLATE("recommend_new: new items alone, with the scores of a search among them", B,
                   MQL4GREC_TEST_BACKENDS) {
  auto const from = service<B>(7, {.search = {.beams = 30}});
  auto const history = random_history(6, 3);
  auto const fresh = items_from(12, 22);
  auto const expected = from.recommend(history, 30, {.allow = fresh});
  // 30 beams reach every prefix, so every new item is drafted
  auto const found = from.recommend_new(history, 30, fresh);
  CHECK(found.items == expected.items);
  CHECK(found.scores == expected.scores);
  CHECK(from.recommend_new(history, 3, fresh) == first_of(expected, 3));
  CHECK(from.session().recommend_new(history, 3, fresh) == first_of(expected, 3));
  CHECK(from.recommend_new(history, 10, {}).size() == 0);
  CHECK(from.recommend_new(history, 0, fresh).size() == 0);
  CHECK(from.recommend_new(history, 10, {without_any, item_id{1000}}).size() == 0);
  CHECK_THROWS_AS(static_cast<void>(from.recommend_new(history, -1, fresh)), error);
}

TEST_CASE("recommend_new: with few beams it drafts from their prefixes only") {
  auto const from = service(7, {.search = {.beams = 1}});
  auto const history = random_history(6, 3);
  auto const fresh = items_from(0, 30);
  auto const found = from.recommend_new(history, 1, fresh);
  CHECK(found == from.recommend(history, 1));  // every item is new: the first beam of every modality
}

TEST_CASE("recommend: a history may be written with other tokens than the catalog's") {
  auto histories = tables();
  std::vector<token_t> const sequence(histories[0].of(item_id{0}).begin(), histories[0].of(item_id{0}).end());
  histories[0].set(without_text, sequence);
  auto const filled = service(7, {.history_tokens = histories});
  auto const plain = service();
  search::item_list const with = {item_id{7}, without_text}, same = {item_id{7}, item_id{0}};
  // in text item 0 is read; in images without_text is read
  CHECK(filled.recommend(with, 30) != plain.recommend(with, 30));
  CHECK(filled.recommend(same, 30) == plain.recommend(same, 30));
  CHECK(set_of(filled.recommend(with, 30)) == set_of(plain.recommend(with, 30)));
  histories.pop_back();
  CHECK_THROWS_AS(service(7, {.history_tokens = histories}), error);
  histories.emplace_back(language::modality::image, catalog_items - 1, 3);
  CHECK_THROWS_AS(service(7, {.history_tokens = histories}), error);
}

TEST_CASE("recommend: a query defined outside the library is served") {
  struct last_item {
    tasks::next_item query;
    language::modality to;
    void each_example(tasks::dataset const& data, catalog::split part, tasks::example_sink const& sink) const {
      query.each_example(data, part, sink);
    }
    void write_query(std::span<item_id const> history, tasks::query_context const& context, tasks::batch& out) const {
      query.write_query(history.last(std::min<std::size_t>(1, history.size())), context, out);
    }
  };
  auto tasks = tasks::all_tasks();
  tasks.queries = {last_item{{.prompt = {0, 3}}, language::modality::text},
                   last_item{{.from = language::modality::image, .to = language::modality::image, .prompt = {3, 3}},
                             language::modality::image}};
  cpu::backend backend;
  recommender<> const own(backend, model(), {vocab(), tasks}, tables());
  auto const history = random_history(4, 1);
  CHECK(own.recommend(history, 10) == service().recommend(std::span(history).last(1), 10));
  CHECK_FALSE(own.recommend(history, 10) == service().recommend(history, 10));
}

TEST_CASE("recommend: another fusion rule ranks the same items by its own scores") {
  cpu::backend backend;
  recommender<> const tested(backend, model(), {vocab(), tasks::all_tasks()}, tables(),
                             {.search = {.beams = 30}, .fusion = rank::calibrated{}});
  auto const list = tested.recommend(random_history(4, 1), 30);
  CHECK(list.size() == 29);
  double total = 0;
  for (double const score : list.scores) total += std::exp(score);
  CHECK_CLOSE(total, 1., 1e-9);
}

TEST_CASE("recommend: with a calibration, complete answers have the probability of each item") {
  rank::score_calibration const calibration{.scores = {-2, 1}, .probabilities = {0, 0.6}};
  auto const plain = service().recommend(random_history(4, 1), 10);
  auto const tested = service(7, {.calibration = calibration});
  auto const answer = tested.recommend(random_history(4, 1), 10);
  CHECK(answer == plain);
  CHECK(plain.probabilities.empty());
  REQUIRE(answer.probabilities.size() == 10);
  for (std::size_t i = 0; i < 10; ++i)
    CHECK_CLOSE(answer.probabilities[i], calibration.probability(answer.scores[i]), 1e-12);
  CHECK(tested.recommend(random_history(4, 1), {.deadline = std::chrono::nanoseconds(0)}).probabilities.empty());
  auto const past = random_history(4, 1);
  CHECK(tested.recommend(past, {.scores = score_kind::renormalized}).probabilities.empty());
  CHECK(tested.recommend_new(past, 5, items_from(10, 20)).probabilities.empty());
  CHECK(tested.recommend(past, 20).probabilities.size() == 20);
  CHECK(tested.recommend(past, 21).probabilities.empty());  // more beams than it was fitted with
  std::vector<recommend_request> const requests = {{past, {.k = 21}}, {past, {.k = 3}}};
  auto const both = tested.recommend_batch(requests);
  CHECK(both[0].probabilities.empty());
  CHECK(both[1].probabilities.size() == 3);
}

TEST_CASE(
    "recommender: a calibration of other lists than its own is refused; that of an evaluation with its options isn't") {
  rank::score_calibration const usual{.scores = {0}, .probabilities = {0.5}};
  auto const refusal = [](recommender_options const& options) {
    return complaint<error>([&] { return service(7, options); });
  };
  CHECK(refusal({.calibration = usual}).empty());
  CHECK(refusal({.search = {.beams = 5}, .calibration = usual}) ==
        "recommender: options.calibration was fitted with beams 20, expected 5");
  CHECK(
      refusal({.fusion = rank::calibrated{.sharpness = 5}, .calibration = usual}) ==
      "recommender: options.calibration was fitted with fusion 'average_plus_one', expected 'calibrated, sharpness 5'");
  CHECK(refusal({.calibration = usual, .history_tokens = tables()}) ==
        "recommender: options.calibration was fitted with fill_in false, expected true");
  auto texts_only = usual;
  texts_only.fitted_with.modalities = {"text"};
  CHECK(refusal({.calibration = texts_only}) ==
        "recommender: options.calibration was fitted with modalities text, expected text and image");

  tasks::dataset from{.tokens = tables(), .name = "small"};
  from.interactions.add_user("0", random_history(6, 1));
  from.interactions.item_count = catalog_items;
  cpu::backend b;
  seq2seq::frozen_t5 const frozen(b, model());
  tasks::model_tasks const tasks{vocab(), tasks::all_tasks()};
  recommender_options same{.search = {.beams = 7, .length_penalty = 0}, .fusion = rank::calibrated{.weights = {1, 3}}};
  auto const fitted_on = [&](index_t max_history) {
    auto const found =
        pipeline::evaluate(b, frozen, tasks, from,
                           {.search = same.search, .max_history = max_history, .fusion = same.fusion, .outcomes = 7});
    return rank::fit_calibration(found.outcomes, found.conditions);
  };
  same.calibration = fitted_on(100);  // not more than a recommender reads
  CHECK(refusal(same).empty());
  same.calibration = fitted_on(3);
  CHECK(refusal(same) == "recommender: options.calibration was fitted with max_history 3, expected 20");
  from.tokens[0] =
      language::token_table(language::modality::text, catalog_items, vocab().levels(language::modality::text));
  same.calibration = fitted_on(100);
  CHECK(refusal(same) == "recommender: options.calibration was fitted with modalities image, expected text and image");
}

TEST_CASE_TEMPLATE("evaluate: the outcomes are the first items of the fused lists and the model's probabilities", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  tasks::dataset from{.tokens = tables(), .name = "small"};
  for (std::uint64_t u = 0; u < 6; ++u)
    from.interactions.add_user(std::to_string(u), random_history(3 + 3 * static_cast<index_t>(u), u));
  from.interactions.item_count = catalog_items;
  seq2seq::frozen_t5 const frozen(b, model<B, double>());
  tasks::model_tasks const tasks{vocab(), tasks::all_tasks()};
  // all items are found, so the claimed probability of each is that of explain()
  auto const found = pipeline::evaluate(b, frozen, tasks, from, {.search = {.beams = 30}, .outcomes = 4});
  REQUIRE(found.outcomes.size() == 24);
  REQUIRE(found.claimed.size() == 24);
  auto const tested = service<B, double>();
  for (std::size_t u = 0; u < 6; ++u) {
    auto const& user = found.examples[u];
    auto const reasons =
        tested.explain(catalog::history(from.interactions, user.user, catalog::split::test), user.ensemble.items);
    for (std::size_t i = 0; i < 4; ++i) {
      CHECK(found.outcomes[4 * u + i] == rank::outcome{user.ensemble.scores[i], user.ensemble.items[i] == user.target});
      CHECK(found.claimed[4 * u + i].next == found.outcomes[4 * u + i].next);
      CHECK_CLOSE(found.claimed[4 * u + i].score, std::exp(reasons[i].log_p), 1e-6);
    }
  }
  CHECK(pipeline::evaluate(b, frozen, tasks, from).outcomes.empty());
}

TEST_CASE("recommend: four concurrent threads get the results of one thread bit for bit") {
  auto const tested = service();
  constexpr std::uint64_t requests = 24;
  auto const answer = [&](std::uint64_t i) {
    search::item_filter const filter{.deny = i % 3 == 0 ? random_history(5, i) : search::item_list{}};
    return tested.recommend(random_history(static_cast<index_t>(i), i), 1 + static_cast<index_t>(i % 12), filter);
  };
  std::vector<rank::ranking> expected;
  for (std::uint64_t i = 0; i < requests; ++i) expected.push_back(answer(i));
  std::vector<std::vector<rank::ranking>> answers(4, std::vector<rank::ranking>(requests));
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (std::uint64_t n = 0; n < requests; ++n) {
        auto const i = (n + 7 * t) % requests;  // each in an order of its own
        answers[t][i] = answer(i);
      }
    });
  for (auto& thread : threads) thread.join();
  for (auto const& mine : answers) CHECK(mine == expected);
}

TEST_CASE(
    "session: equals its recommender, also after moves of either, and throws after the recommender's destruction") {
  auto const past = random_history(6, 1);
  auto first = std::make_unique<recommender<>>(service(7));
  auto const second = service(8);
  auto const expected = first->recommend(past, 10), expected_of_second = second.recommend(past, 10);
  REQUIRE(expected != expected_of_second);
  auto session = first->session();
  CHECK(session.recommend(past) == expected);
  CHECK(session.recommend(past, {.k = 3}) == first_of(expected, 3));
  search::item_filter const filter{.deny = expected.items};
  CHECK(session.recommend(past, {.k = 5, .filter = filter}) == first->recommend(past, 5, filter));
  auto other = second.session();  // both in one thread: each keeps its own backend and searches
  CHECK(other.recommend(past) == expected_of_second);
  CHECK(session.recommend(past) == expected);
  auto moved = std::move(session);
  recommender<> const elsewhere = std::move(*first);
  first.reset();
  CHECK(moved.recommend(past) == expected);
  other = std::move(moved);
  CHECK(other.recommend(past) == expected);
  auto last = [&] { return service(7).session(); }();
  CHECK(complaint<error>([&] { return last.recommend(past); }) ==
        "recommend: the recommender of this session has been destroyed");
  last = elsewhere.session();
  CHECK(last.recommend(past) == expected);
}

TEST_CASE("recommender_slot: while models are swapped every result comes from exactly one of them") {
  auto const past = random_history(6, 1);
  auto const old_service = std::make_shared<recommender<> const>(service(7)),
             new_service = std::make_shared<recommender<> const>(service(8));
  auto const old_answer = old_service->recommend(past, 10), new_answer = new_service->recommend(past, 10);
  REQUIRE(old_answer != new_answer);
  recommender_slot<> slot(old_service);
  std::atomic<int> request_count = 0, from_old = 0, from_new = 0, neither = 0, back_in_time = 0;
  std::atomic<bool> swapped = false;
  auto const ask = [&] {
    bool seen_new = false;
    for (int after_swap = 0; after_swap < 5; ++request_count) {
      after_swap += swapped.load() ? 1 : 0;
      auto const answer = slot.get()->recommend(past, 10);
      bool const is_old = answer == old_answer, is_new = answer == new_answer;
      from_old += is_old;
      from_new += is_new;
      neither += !is_old && !is_new;
      back_in_time += is_old && seen_new;
      seen_new = seen_new || is_new;
    }
  };
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) threads.emplace_back(ask);
  while (request_count < 10) std::this_thread::yield();
  slot.set(new_service);
  swapped = true;
  for (auto& thread : threads) thread.join();
  CHECK(neither == 0);
  CHECK(back_in_time == 0);
  CHECK(from_old >= 10);
  CHECK(from_new >= 15);
}

TEST_CASE("recommender_slot: a replaced recommender lives until its last request ends") {
  auto first = std::make_shared<recommender<> const>(service(7));
  std::weak_ptr<recommender<> const> const watched = first;
  recommender_slot<> slot(std::move(first));
  auto request = slot.get();
  slot.set(std::make_shared<recommender<> const>(service(8)));
  CHECK_FALSE(watched.expired());
  CHECK(request->recommend({}, 3).size() == 3);
  request.reset();
  CHECK(watched.expired());
}

TEST_CASE("recommender: inconsistent arguments are refused at construction") {
  auto const made_of = [](std::vector<language::token_table> from, language::vocabulary const& used_vocab = vocab(),
                          recommender_options const& options = {}) {
    cpu::backend backend;
    recommender<>(backend, model(), {used_vocab, tasks::all_tasks()}, std::move(from), options);
  };
  cpu::backend cpu_backend;
  auto const [text, image] = std::pair(tables()[0], tables()[1]);
  CHECK_NOTHROW(made_of({text, image}));
  CHECK_THROWS_AS(made_of({}), error);
  CHECK_THROWS_AS(made_of({text, language::token_table(language::modality::image, catalog_items + 1, 3)}), error);
  CHECK_THROWS_AS(made_of({image, text}), error);
  CHECK_THROWS_AS(made_of({text, image, language::token_table(language::modality{2}, catalog_items, 1)}), error);
  CHECK_THROWS_AS(made_of({text, image}, language::vocabulary()), error);  // 2068 tokens; the model has 41
  CHECK_THROWS_AS(made_of({text, image}, vocab(), {.search = {.beams = 0}}), error);
  auto foreign = text;
  foreign.set(item_id{0}, std::vector{token_t{2}, token_t{41}});
  CHECK_THROWS_AS(made_of({foreign, image}), error);
  auto crossed = tasks::all_tasks();
  crossed.queries[0] = tasks::next_item{.from = language::modality::image};
  CHECK_NOTHROW(recommender<>(cpu_backend, model(), {vocab(), crossed}, {text, image}));
  CHECK_THROWS_AS(recommender<>(cpu_backend, model(), {vocab(), crossed}, {text}), error);
}

TEST_CASE("recommender: loaded from directories, it equals the recommender that was written") {
  cpu::backend backend;
  temporary_directory const root;
  auto const catalog_directory = root / "Small", model_directory = root / "model";
  make_directory(catalog_directory);
  catalog::dataset_paths const paths(catalog_directory);
  catalog::interactions interacted;
  interacted.add_user("0", random_history(5, 1));
  interacted.add_user("1", search::item_list{item_id(catalog_items - 1)});
  catalog::write_interactions(paths.interactions(), interacted);
  language::write_token_table(pipeline::index_path(paths, language::modality::text), tables()[0], vocab());
  language::write_token_table(pipeline::index_path(paths, language::modality::image), tables()[1], vocab());
  seq2seq::write_model(model_directory, model());
  pipeline::write_model_metadata(model_directory, {vocab(), "released"});
  auto const loaded = recommender<>::load(model_directory, catalog_directory);
  recommender<> const original(backend, model(), {vocab(), tasks::released_mixture()}, tables());
  CHECK(loaded.items() == catalog_items);
  CHECK(loaded.recommend(random_history(5, 2), 12) == original.recommend(random_history(5, 2), 12));
  CHECK_THROWS_AS(recommender<>::load(model_directory, root / "absent"), file_error);
  CHECK_THROWS_AS(recommender<>::load(root / "absent", catalog_directory), file_error);
}

TEST_CASE("ranking_of: leaves are replaced by their allowed items, best first") {
  language::token_table table(language::modality::text, 4, 1);
  for (auto const& [item, word] : {std::pair{3, 5}, {1, 5}, {0, 2}, {2, 9}})
    table.set(item_id(item), std::vector{token_t(word)});
  search::item_trie const trie(table);  // leaves 1: {0}, 2: {1, 3}, 3: {2}
  search::beams const found{.offsets = {0, 0, 2}, .leaves = {2, 1}, .scores = {-1.f, -2.f}};
  CHECK(rank::ranking_of(found, 0, trie) == rank::ranking{});
  CHECK(rank::ranking_of(found, 1, trie) ==
        rank::ranking{.items = {item_id{1}, item_id{3}, item_id{0}}, .scores = {-1, -1, -2}});
  CHECK(rank::ranking_of(found, 1, trie, [](item_id i) { return i != item_id{1}; }).items ==
        search::item_list{item_id{3}, item_id{0}});
}

TEST_CASE_TEMPLATE("recommender: while items change, answers equal those of a recommender with these items", B,
                   MQL4GREC_TEST_BACKENDS) {
  auto const tested = service<B>(7, {.search = {.beams = 8}});
  auto session = tested.session();
  random_stream random(11, 0);
  for (int round = 0; round < 6; ++round) {
    for (int n = 0; n < 8; ++n) {
      search::catalog_change change{item_id(random.below(catalog_items + 10))};
      for (auto const kind : {language::modality::text, language::modality::image}) {
        auto& tokens = change.sequences.emplace_back();
        if (random.below(4) == 0) continue;
        for (index_t l = 0; l < vocab().levels(kind); ++l)
          tokens.push_back(vocab().token(kind, l, code_t(random.below(vocab().codes(kind, l)))));
      }
      tested.catalog().apply({&change, 1});
    }
    if (round == 3) tested.catalog().merge();
    auto const version = tested.catalog().version();
    CHECK(tested.items() == version.items());
    B b;
    recommender<B> const anew(b, model<B>(), {vocab(), tasks::all_tasks()},
                              {version.table(language::modality::text), version.table(language::modality::image)},
                              {.search = {.beams = 8}});
    auto const past = random_history(6, static_cast<std::uint64_t>(round));
    auto const same = [](rank::ranking const& mine, rank::ranking const& expected) {
      CHECK(mine.items == expected.items);
      CHECK_CLOSE(mine.scores, expected.scores, 1e-5);
    };
    same(session.recommend(past, 10), anew.recommend(past, 10));
    auto const some = items_from(10, 35), few = items_from(3, 7);
    same(session.recommend(past, 10, {.allow = some}), anew.recommend(past, 10, {.allow = some}));
    same(session.recommend(past, 10, {.allow = few}), anew.recommend(past, 10, {.allow = few}));
    same(session.recommend(past, 10, {.deny = some}), anew.recommend(past, 10, {.deny = some}));
    same(session.recommend_new(past, 10, some), anew.recommend_new(past, 10, some));
  }
}

TEST_CASE("recommender: an inserted item is recommended and a removed one is not, in sessions that exist") {
  auto const tested = service<>();
  auto session = tested.session({.threads = 2});
  auto const past = random_history(6, 1);
  auto const best = session.recommend(past, 1).items.front();
  // example-begin change
  auto const version = tested.catalog().version();
  search::catalog_change moved{item_id{100}};  // a new item, which takes the sequences of another one
  for (auto const kind : {language::modality::text, language::modality::image}) {
    auto const tokens = version.sequence(kind, best);
    moved.sequences.emplace_back(tokens.begin(), tokens.end());
  }
  std::vector const changes{search::catalog_change{best}, moved};
  tested.catalog().apply(changes);  // from here on every request finds item 100
  // example-end change
  CHECK(session.recommend(past, 1).items.front() == item_id{100});
  CHECK(set_of(session.recommend(past, 101)).contains(best) == false);
  CHECK(tested.items() == 101);
}

TEST_CASE("recommender: the catalog's log is replayed when a recommender is constructed") {
  temporary_directory const directory;
  recommender_options const options{.catalog = {.log = directory / "changes"}};
  {
    auto const tested = service<>(7, options);
    tested.catalog().remove(item_id{3});
    CHECK_THROWS_AS(service<>(7, options), file_error);  // the log is in use
  }
  CHECK(service<>(7, options).recommend({}, 100).size() == 28);
  CHECK(service<>().recommend({}, 100).size() == 29);
}

TEST_CASE("recommender: a model that replaces another one can share its catalog and all changes") {
  auto const first = service<>(7);
  auto const table = tables()[1];
  auto const sequence = table.of(item_id{3});
  first.catalog().set(item_id{40}, {{}, {sequence.begin(), sequence.end()}});
  first.catalog().remove(item_id{3});
  auto const second = service<>(8, {.shared_catalog = first.share_catalog()});
  CHECK(&second.catalog() == &first.catalog());
  CHECK(second.items() == 41);
  auto alone = service<>(8);
  alone.catalog().set(item_id{40}, {{}, {sequence.begin(), sequence.end()}});
  alone.catalog().remove(item_id{3});
  CHECK(second.recommend(random_history(6, 1), 20) == alone.recommend(random_history(6, 1), 20));
  CHECK(set_of(second.recommend({}, catalog_items + 1)).contains(item_id{40}));
  auto others = tables();
  others[0].set(item_id{0}, others[0].of(item_id{1}));
  cpu::backend b;
  CHECK(complaint<error>([&] {
          return recommender<>(b, model<>(), {vocab(), tasks::all_tasks()}, others,
                               {.shared_catalog = first.share_catalog()});
        }) == "recommender: the shared catalog began with other tables");
}

TEST_CASE("recommend: a packed catalog gives the answers of one in memory, before and after changes") {
  temporary_directory const here;
  auto const path = here / "Small.catalog.packed";
  search::packed_catalog_writer to(path, vocab(), 2, {.items = catalog_items});
  for (auto const& table : tables()) to.add(table);
  to.commit();
  auto const packed = search::read_packed_catalog(path, vocab());
  search::named_sets const sets = {{"first", items_from(0, 12)}};
  auto const built = service(7, {.catalog = {.sets = sets}});
  cpu::backend b;
  recommender<> const mapped(b, model(), {vocab(), tasks::all_tasks()}, packed->tables,
                             {.catalog = {.packed = packed, .sets = sets}});
  auto const check = [&] {
    for (std::uint64_t i = 0; i < 6; ++i) {
      auto const history = random_history(static_cast<index_t>(i) * 2, i);
      CHECK(mapped.recommend(history, 12) == built.recommend(history, 12));
      recommend_options how{.k = 8, .exclude_seen = true};
      how.filter.any_of = {"first"};
      CHECK(mapped.recommend(history, how) == built.recommend(history, how));
      CHECK(mapped.recommend_new(history, 4, items_from(20, 30)) ==
            built.recommend_new(history, 4, items_from(20, 30)));
    }
  };
  check();
  for (auto const* each : {&built, &mapped}) {
    each->catalog().remove(item_id{1});
    each->catalog().set(item_id{40}, {{vocab().token(language::modality::text, 0, code_t{1}),
                                       vocab().token(language::modality::text, 1, code_t{2})}});
  }
  check();
  for (auto const* each : {&built, &mapped}) each->catalog().merge();
  check();
  CHECK_THROWS_AS(recommender<>(b, model(), {vocab(), tasks::all_tasks()}, tables(), {.catalog = {.packed = packed}}),
                  error);
}
