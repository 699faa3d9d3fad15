// Rules of a request: sets of items, quotas, items that the user has seen.
#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "core/temporary_directory.hpp"
#include "mql4grec/rank/quotas.hpp"
#include "mql4grec/recommender.hpp"
#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/small_t5.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
constexpr index_t catalog_items = 60;

language::vocabulary const& vocab() {
  static language::vocabulary const small({.modalities = {{"a", {5, 5}}, {"A", {4, 4, 4}}}});
  return small;
}
std::vector<std::vector<token_t>> random_sequences(random_stream& random) {
  std::vector<std::vector<token_t>> all;
  for (auto const kind : {language::modality::text, language::modality::image}) {
    auto& tokens = all.emplace_back();
    if (random.below(10) == 0) continue;
    for (index_t l = 0; l < vocab().levels(kind); ++l)
      tokens.push_back(vocab().token(kind, l, code_t(random.below(vocab().codes(kind, l)))));
  }
  return all;
}
/// `modalities`: 2, or 1 for items with texts only.
std::vector<language::token_table> tables(index_t modalities) {
  random_stream random(5, 0);
  std::vector<language::token_table> all;
  for (auto const kind : {language::modality::text, language::modality::image})
    all.emplace_back(kind, catalog_items, vocab().levels(kind));
  for (int i = 0; i < catalog_items; ++i) {
    auto const sequences = random_sequences(random);
    for (index_t m = 0; m < modalities; ++m)
      if (auto const& tokens = sequences[to_size(m)]; !tokens.empty()) all[to_size(m)].set(item_id{i}, tokens);
  }
  return all;
}

/// Half of the items are in one of "left" and "right", a quarter in "leftmost", which is a part of "left"; "crossing"
/// overlaps all of them; "rare" has one item, and "all" has all of them.
search::named_sets sets() {
  search::named_sets out;
  for (int i = 0; i < catalog_items + 20; ++i) {
    out[i % 2 == 0 ? "left" : "right"].push_back(item_id{i});
    if (i % 4 == 0) out["leftmost"].push_back(item_id{i});
    if (i % 3 == 0) out["crossing"].push_back(item_id{i});
    out["all"].push_back(item_id{i});
  }
  out["rare"] = {item_id{11}};
  return out;
}

template <class B = cpu::backend, class T = float>
recommender<B, T> service(search::beam_options const& search, index_t modalities = 2) {
  B b;
  auto config = small_t5();
  config.vocabulary = vocab().size();
  config.model_width = 8;
  return {b,
          random_t5<T>(b, config, 7),
          {vocab(), tasks::all_tasks()},
          tables(modalities),
          {.search = search, .catalog = {.sets = sets()}}};
}

search::item_list random_history(index_t length, std::uint64_t seed) {
  random_stream random(seed, 2);
  search::item_list items;
  for (index_t i = 0; i < length; ++i) items.push_back(item_id(random.below(catalog_items)));
  return items;
}
std::set<item_id> set_of(rank::ranking const& list) { return {list.items.begin(), list.items.end()}; }

/// Changes items at random, and sometimes their sets.
void change_some(search::live_catalog& catalog, std::uint64_t seed) {
  random_stream random(seed, 3);
  for (int n = 0; n < 12; ++n) {
    search::catalog_change change{item_id(random.below(catalog_items + 20))};
    if (random.below(3) > 0) change.sequences = random_sequences(random);
    for (auto& tokens : change.sequences)  // there may be one modality only
      if (catalog.version().levels(language::modality(&tokens - change.sequences.data())) != std::ssize(tokens) ||
          catalog.version().groups().size() == 1)
        if (&tokens != &change.sequences.front()) tokens.clear();
    if (random.below(2) == 0) change.sets = {random.below(2) == 0 ? "left" : "crossing", "all"};
    catalog.apply({&change, 1});
  }
}

bool is_in(search::catalog_version const& version, std::string const& set, item_id item) {
  return version.contains(*version.set(set), item);
}
index_t count_in(search::catalog_version const& version, std::string const& set, std::vector<item_id> const& items) {
  return std::ranges::count_if(items, [&](item_id item) { return is_in(version, set, item); });
}

/// Whether quotas allow another item in a list.
bool fits(search::catalog_version const& version, std::vector<search::item_quota> const& quotas,
          std::vector<item_id> items, item_id more) {
  items.push_back(more);
  return std::ranges::all_of(quotas, [&](auto const& q) { return count_in(version, q.set, items) <= q.most; });
}

/// The first k items of a list that fit, in a loop that is as simple as can be.
rank::ranking first_that_fit(search::catalog_version const& version, std::vector<search::item_quota> const& quotas,
                             rank::ranking const& all, index_t k) {
  rank::ranking out;
  for (std::size_t i = 0; i < all.items.size() && out.size() < k; ++i)
    if (fits(version, quotas, out.items, all.items[i])) out.add(all.items[i], all.scores[i]);
  return out;
}

std::vector<std::vector<search::item_quota>> const& quotas() {
  static std::vector<std::vector<search::item_quota>> const all = {
      {{"left", 2}},
      {{"left", 0}},
      {{"left", 1}, {"right", 3}},
      {{"left", 3}, {"leftmost", 1}},
      {{"left", 20}, {"leftmost", 2}, {"right", 0}},
      {{"all", 4}},
      {{"all", 7}, {"left", 4}, {"leftmost", 1}, {"rare", 0}},
      {{"left", 2}, {"crossing", 2}},
      {{"left", 2}, {"crossing", 1}, {"right", 2}, {"leftmost", 1}},
      {{"left", 100}}};
  return all;
}
bool are_nested(std::vector<search::item_quota> const& all) {
  return std::ranges::none_of(all, [](auto const& q) { return q.set == "crossing"; });
}
}  // namespace

TEST_CASE_TEMPLATE("recommend: sets are applied inside the search, at any selectivity and after changes", B,
                   MQL4GREC_TEST_BACKENDS) {
  auto const tested = service<B>({.beams = 3});
  auto session = tested.session();
  auto const past = random_history(6, 1);
  for (std::uint64_t round = 0; round < 3; ++round) {
    auto const version = tested.catalog().version();
    auto const all = session.recommend(past, catalog_items + 20);
    std::vector<search::item_filter> const filters = {
        {.any_of = {"rare"}},
        {.any_of = {"leftmost"}},
        {.any_of = {"rare", "leftmost"}, .none_of = {"crossing"}},
        {.all_of = {"left", "crossing"}},
        {.any_of = {"rare", "leftmost"}, .all_of = {"crossing"}},
        {.deny = {all.items.begin(), all.items.begin() + 9}, .none_of = {"right"}},
        {.allow = search::item_list{all.items.begin(), all.items.begin() + 9}, .all_of = {"left"}},
        {.none_of = {"all"}}};
    for (auto const& filter : filters) {
      search::catalog_choice const wanted(filter, version);
      std::set<item_id> expected;
      for (auto const item : all.items)
        if (wanted(item)) expected.insert(item);
      for (index_t const k : {1, 5, 100}) {
        auto const list = session.recommend(past, k, filter);
        CHECK(list.size() == std::min(k, std::ssize(expected)));
        CHECK(std::ranges::includes(expected, set_of(list)));
      }
    }
    change_some(tested.catalog(), round);
  }
}

TEST_CASE("recommend: with quotas, the list of a full search is the best one that fits, after changes too") {
  for (index_t const modalities : {1, 2}) {
    auto const tested = service({.beams = 100}, modalities);  // all items in all lists
    for (std::uint64_t round = 0; round < 3; ++round) {
      auto const past = random_history(5, round);
      auto const version = tested.catalog().version();
      auto const all = tested.recommend(past, {.k = 100});
      for (auto const& rules : quotas())
        for (index_t const k : {0, 1, 6, 100}) {
          auto const list = tested.recommend(past, {.k = k, .quotas = rules});
          auto const expected = first_that_fit(version, rules, all, k);
          CHECK(list.items == expected.items);
          CHECK_CLOSE(list.scores, expected.scores, 1e-6);
          CHECK(list.complete);
        }
      change_some(tested.catalog(), round);
    }
  }
}

TEST_CASE("recommend: with quotas, few beams return k items whenever k fit") {
  for (index_t const modalities : {1, 2})
    for (index_t const beams : {1, 4}) {
      auto const tested = service({.beams = beams}, modalities);
      auto session = tested.session();
      for (std::uint64_t round = 0; round < 3; ++round) {
        auto const past = random_history(5, round);
        auto const version = tested.catalog().version();
        for (auto const& filter : {search::item_filter{}, search::item_filter{.any_of = {"crossing"}},
                                   search::item_filter{.any_of = {"rare"}}}) {
          auto const all = session.recommend(past, 100, filter);
          for (auto const& rules : quotas())
            for (index_t const k : {1, 6, 30}) {
              auto const list = session.recommend(past, {.k = k, .filter = filter, .quotas = rules});
              CHECK(std::ranges::is_sorted(list.scores, std::ranges::greater{}));
              CHECK(set_of(list).size() == list.items.size());
              CHECK(std::ranges::includes(set_of(all), set_of(list)));
              for (auto const& each : rules) CHECK(count_in(version, each.set, list.items) <= each.most);
              if (are_nested(rules)) {  // then any order of the items gives a list of the most items
                CHECK(list.size() == first_that_fit(version, rules, all, k).size());
              } else if (list.size() < k) {
                for (auto const item : all.items)
                  if (!set_of(list).contains(item)) CHECK(!fits(version, rules, list.items, item));
              }
              // what it was made of
              rank::ranking const fused = rank::average_plus_one().fuse(list.by_modality);
              CHECK(list.items == first_that_fit(version, rules, fused, k).items);
            }
        }
        change_some(tested.catalog(), round);
      }
    }
}

TEST_CASE_TEMPLATE("recommend: with quotas, a modality's further items have the scores of a full search", B,
                   MQL4GREC_TEST_BACKENDS) {
  auto const few = service<B, double>({.beams = 6}, 1), full = service<B, double>({.beams = 100}, 1);
  for (std::uint64_t round = 0; round < 5; ++round) {
    auto const past = random_history(5, round);
    auto const all = full.recommend(past, {.k = 100});
    auto const list = few.recommend(past, {.k = 6, .quotas = {{"left", 1}, {"right", 4}}});
    CHECK(list.size() == 5);
    for (std::size_t i = 0; i < list.items.size(); ++i)
      CHECK(list.scores[i] ==
            doctest::Approx(all.place_in(language::modality::text, list.items[i])->score).epsilon(1e-6));
  }
}

TEST_CASE_TEMPLATE("recommend_batch: rules of several requests are those of each alone", B, MQL4GREC_TEST_BACKENDS) {
  auto const tested = service<B>({.beams = 4});
  std::vector<search::item_list> pasts;
  for (std::uint64_t i = 0; i < 12; ++i) pasts.push_back(random_history(static_cast<index_t>(i), i));
  std::vector<recommend_request> requests;
  for (std::size_t i = 0; i < pasts.size(); ++i) {
    auto& options = requests.emplace_back(recommend_request{pasts[i]}).options;
    options.k = 4;
    options.exclude_seen = i % 2 == 0;
    if (i % 3 > 0) options.quotas = quotas()[i % quotas().size()];
    if (i % 4 > 0) options.filter.any_of = {i % 4 == 1 ? "crossing" : "left"};
  }
  auto const together = tested.recommend_batch(requests);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    auto const alone = tested.recommend(requests[i].history, requests[i].options);
    CHECK(together[i].items == alone.items);
    CHECK_CLOSE(together[i].scores, alone.scores, 1e-5);
  }
}

TEST_CASE_TEMPLATE("recommend: renormalized scores are the log of a distribution over the allowed items", B,
                   MQL4GREC_TEST_BACKENDS) {
  auto const tested = service<B, double>({.beams = 100}, 1);
  auto const past = random_history(5, 1);
  std::vector<recommend_request> const requests = {
      {past, {.k = 100}},
      {past, {.k = 100, .scores = score_kind::renormalized}},
      {past, {.k = 100, .filter = {.all_of = {"left"}}, .scores = score_kind::renormalized}}};
  auto const answers = tested.recommend_batch(requests);
  auto const version = tested.catalog().version();
  CHECK(tested.recommend(past, {.k = 100}).items == answers[0].items);
  for (std::size_t i : {1, 2}) {
    auto const& list = answers[i].by_modality[0];
    double sum = 0;
    for (std::size_t j = 0; j < list.items.size(); ++j)  // items with one sequence share its probability
      if (j == 0 || !std::ranges::equal(version.sequence(language::modality::text, list.items[j]),
                                        version.sequence(language::modality::text, list.items[j - 1])))
        sum += std::exp(list.scores[j]);
    CHECK(sum == doctest::Approx(1).epsilon(1e-5));
    CHECK(tested.recommend(past, requests[i].options).items == answers[i].items);
  }
}

TEST_CASE("recommend_new: the rules choose among the new items") {
  auto const tested = service({.beams = 100});
  auto const past = random_history(5, 1);
  auto const version = tested.catalog().version();
  recommend_options all{.k = 30};
  all.filter.allow.emplace();
  for (int i = 20; i < 50; ++i) all.filter.allow->push_back(item_id{i});
  auto const whole = tested.recommend_new(past, all);
  CHECK(whole.size() > 20);
  auto some = all;
  some.filter.any_of = {"crossing"};
  some.filter.deny = {item_id{21}};
  some.exclude_seen = true;
  auto expected = set_of(whole);
  std::erase_if(expected, [&](item_id item) {
    return index(item) % 3 != 0 || item == item_id{21} || std::ranges::find(past, item) != past.end();
  });
  CHECK(set_of(tested.recommend_new(past, some)) == expected);
  auto left = all;
  left.filter.none_of = {"right"};
  auto few = all;
  few.quotas = {{"left", 2}, {"right", 0}};
  CHECK(tested.recommend_new(past, few).items ==
        first_that_fit(version, few.quotas, tested.recommend_new(past, left), 30).items);
  some.filter.any_of = {"cross"};
  CHECK_THROWS_AS(static_cast<void>(tested.recommend_new(past, some)), error);
}

TEST_CASE("recommend: sets and quotas as documents show them") {
  cpu::backend b;
  auto config = small_t5();
  config.vocabulary = vocab().size();
  config.model_width = 8;
  auto model = random_t5<float>(b, config, 7);
  tasks::model_tasks const tasks{vocab(), tasks::all_tasks()};
  auto const catalog = tables(2);
  std::vector const history{item_id{3}, item_id{8}};
  // example-begin sets
  search::named_sets const shelves = {{"strings", {item_id{3}, item_id{14}, item_id{15}}},
                                      {"drums", {item_id{8}, item_id{9}}}};
  recommender<> const shop(b, std::move(model), tasks, catalog, {.catalog = {.sets = shelves}});
  auto const list = shop.recommend(history, {.k = 3,
                                             .filter = {.any_of = {"strings", "drums"}},
                                             .quotas = {{.set = "drums", .most = 1}},
                                             .exclude_seen = true});

  search::catalog_change moved{item_id{9}};  // keeps its codes
  for (auto const& table : catalog)
    moved.sequences.emplace_back(table.of(item_id{9}).begin(), table.of(item_id{9}).end());
  moved.sets = {"strings", "new"};
  shop.catalog().apply({&moved, 1});
  // example-end sets
  CHECK(set_of(list) == std::set{item_id{14}, item_id{15}, item_id{9}});
  CHECK(shop.recommend(history, {.filter = {.any_of = {"drums"}}, .exclude_seen = true}).size() == 0);
  CHECK(shop.recommend(history, {.filter = {.any_of = {"new"}}}).items == search::item_list{item_id{9}});
}

TEST_CASE("recommend: excluded items of the history don't come back, however long it is") {
  auto const tested = service({.beams = 3});
  auto const past = random_history(50, 4);
  std::set<item_id> const seen(past.begin(), past.end());
  auto const all = tested.recommend(past, {.k = 100});
  auto const others = tested.recommend(past, {.k = 100, .exclude_seen = true});
  CHECK(others.size() == all.size() - static_cast<index_t>(std::ranges::count_if(
                                          all.items, [&](item_id item) { return seen.contains(item); })));
  for (auto const item : others.items) CHECK(!seen.contains(item));
  CHECK(tested.recommend(past, {.k = 5, .filter = {.any_of = {"left"}}, .exclude_seen = true}).size() == 5);
  auto const trace = tested.trace(past, {.k = 5, .filter = {.allow = past}, .exclude_seen = true});
  CHECK(trace[0].back().empty());
}

TEST_CASE("recommend: a request with quotas that ends early has the list so far") {
  auto const tested = service({.beams = 6});
  auto session = tested.session();
  auto const past = random_history(5, 1);
  std::vector<recommend_request> const requests = {{past, {.k = 6, .quotas = {{"left", 1}, {"right", 4}}}}};
  int calls = 0;
  request_watch watch{.wanted = [&](std::size_t) { return ++calls > 0; }};
  auto const complete = session.recommend_batch(requests, watch).front();
  CHECK(complete.size() == 5);
  int const all_calls = calls;
  std::size_t last = 0;
  for (int most = 1; most < all_calls; ++most) {
    calls = 0;
    watch.wanted = [&](std::size_t) { return ++calls <= most; };
    auto const early = session.recommend_batch(requests, watch).front();
    CHECK(!early.complete);
    CHECK(count_in(tested.catalog().version(), "left", early.items) <= 1);
    last = early.items.size();
  }
  CHECK(last > 0);
}

TEST_CASE("recommend: a set that doesn't exist and a negative quota are refused") {
  auto const tested = service({});
  CHECK(complaint<error>([&] { (void)tested.recommend({}, {.filter = {.any_of = {"none"}}}); }) ==
        "filter: there is no set 'none'");
  CHECK(complaint<error>([&] {
          (void)tested.recommend({}, {.quotas = {{"none", 1}}});
        }) == "filter: there is no set 'none'");
  CHECK(complaint<error>([&] {
          (void)tested.recommend({}, {.quotas = {{"left", -1}}});
        }) == "recommend: a quota of -1 items of 'left', expected at least 0");
  CHECK(tested.recommend({}, {.k = 3}).size() == 3);  // the session goes on
}

TEST_CASE("within_quotas: with nested sets no list that fits is longer, and none is better where it differs first") {
  random_stream random(9, 0);
  for (int round = 0; round < 200; ++round) {
    rank::ranking list;
    for (int i = 0; i < 9; ++i) list.add(item_id{i}, -i);
    // a part of a part of the items, and others
    std::vector<std::set<int>> sets(3);
    for (int i = 0; i < 9; ++i)
      if (random.below(2) == 0) {
        sets[0].insert(i);
        if (random.below(2) == 0) sets[1].insert(i);
      } else if (random.below(2) == 0) {
        sets[2].insert(i);
      }
    std::vector<index_t> const most = {random.below(4), random.below(3), random.below(3)};
    auto const k = 1 + random.below(9);
    auto const is_in = [&](std::size_t q, item_id item) { return sets[q].contains(static_cast<int>(index(item))); };
    auto const chosen = rank::within_quotas(list, k, most, is_in);
    for (int subset = 0; subset < 1 << 9; ++subset) {
      std::vector<item_id> other;
      std::vector<index_t> counts(3);
      for (int i = 0; i < 9; ++i)
        if (subset >> i & 1) {
          other.push_back(item_id{i});
          for (std::size_t q = 0; q < 3; ++q) counts[q] += is_in(q, item_id{i}) ? 1 : 0;
        }
      if (std::ssize(other) > k || counts[0] > most[0] || counts[1] > most[1] || counts[2] > most[2]) continue;
      CHECK(std::ssize(other) <= chosen.size());
      CHECK((std::ssize(other) < chosen.size() || !(other < chosen.items)));
    }
  }
}
