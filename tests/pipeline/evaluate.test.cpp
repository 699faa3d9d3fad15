#include "mql4grec/pipeline/evaluate.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>

#include "core/temporary_directory.hpp"
#include "mql4grec/train/threads.hpp"
#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/small_t5.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
constexpr index_t catalog_items = 16;
constexpr item_id without_text{3}, without_image{6};

/// Nine text sequences for 15 items, so that some are shared; 64 of images.
language::vocabulary const& vocab() {
  static language::vocabulary const small({.modalities = {{"a", {3, 3}}, {"A", {4, 4, 4}}}});
  return small;
}
language::token_table random_table(language::modality kind, item_id missing) {
  language::token_table table(kind, catalog_items, vocab().levels(kind));
  random_stream random(5, static_cast<std::uint64_t>(kind));
  for (index_t i = 0; i < catalog_items; ++i) {
    std::vector<token_t> sequence;
    for (index_t l = 0; l < table.levels(); ++l)
      sequence.push_back(vocab().token(kind, l, code_t(random.below(vocab().codes(kind, l)))));
    if (item_id(i) != missing) table.set(item_id(i), sequence);
  }
  return table;
}
tasks::dataset small_dataset() {
  tasks::dataset from{.tokens = {random_table(language::modality::text, without_text),
                                 random_table(language::modality::image, without_image)},
                      .name = "small"};
  random_stream random(8, 0);
  for (index_t u = 0; u < 20; ++u) {
    std::vector<item_id> items;
    for (index_t i = 0; i < u % 7; ++i)
      items.push_back(item_id(random.below(catalog_items)));  // some have too few for evaluation
    from.interactions.add_user("u" + std::to_string(u), items);
  }
  // those whose target has no tokens in one of the modalities
  from.interactions.add_user("no text", std::vector{item_id{1}, item_id{2}, without_text});
  from.interactions.add_user("no image", std::vector{item_id{1}, item_id{2}, without_image});
  from.interactions.item_count = catalog_items;
  return from;
}
template <class B>
seq2seq::frozen_t5<B, double> model(B& b) {
  auto config = small_t5();
  config.vocabulary = vocab().size();
  config.model_width = 8;
  return random_frozen_t5<double>(b, config);
}
pipeline::evaluation evaluated(pipeline::evaluation_options const& options = {},
                               tasks::dataset const& from = small_dataset(), std::optional<token_t> prefix = {}) {
  cpu::backend b;
  return pipeline::evaluate(b, model(b), {vocab(), tasks::all_tasks(), prefix}, from, options);
}

// ---- the same by brute force: every item is scored by teacher forcing, lists are sorted, ranks are counted
// ---------------

struct scored_item {
  item_id item;
  double score;
};
using scored_items = std::vector<scored_item>;

void sort_by_score(scored_items& list) { std::ranges::stable_sort(list, std::ranges::greater{}, &scored_item::score); }

/// Every item with a sequence, by the mean log p of its tokens and </s>.
scored_items score_all(tasks::dataset const& from, language::modality kind, user_id user, catalog::split part) {
  reference::backend b;
  auto const frozen = model(b);
  auto const& table = from.table(kind);
  tasks::batch question;
  tasks::all_tasks().query(kind).write_query(catalog::history(from.interactions, user, part), {from.tokens, vocab()},
                                             question);
  auto const input = question.input(0).first(question.input(0).size() - 1);
  scored_items list;
  for (index_t i = 0; i < catalog_items; ++i) {
    if (!table.has(item_id(i))) continue;
    tasks::batch one;
    one.append(input, table.of(item_id(i)));
    double const score =
        -seq2seq::t5_pass(b, frozen.model()).loss(one, {0, 1}) / static_cast<double>(table.levels() + 1);
    list.push_back({item_id(i), static_cast<double>(static_cast<float>(score))});  // kept as float: twins stay equal
  }
  sort_by_score(list);
  return list;
}

/// The paper's rule.
scored_items fused(scored_items const& text, scored_items const& image) {
  scored_items list;
  for (auto const& t : text) {
    auto const other = std::ranges::find(image, t.item, &scored_item::item);
    list.push_back({t.item, other == image.end() ? t.score : (t.score + other->score) / 2 + 1});
  }
  for (auto const& i : image)
    if (std::ranges::find(text, i.item, &scored_item::item) == text.end()) list.push_back(i);
  sort_by_score(list);
  return list;
}

/// The number of different sequences before the target's; −1 when it doesn't occur.
index_t sequences_before(scored_items const& list, item_id target, language::token_table const& table) {
  std::set<std::string> before;
  auto const name = [&](item_id item) {
    return table.has(item) ? vocab().text(table.of(item)) : "item " + std::to_string(index(item));
  };
  for (auto const& entry : list) {
    if (name(entry.item) == name(target)) return std::ssize(before);
    before.insert(name(entry.item));
  }
  return -1;
}

struct sums {
  double hit1 = 0, hit5 = 0, hit10 = 0, ndcg5 = 0, ndcg10 = 0;

  void add(index_t place, double weight = 1) {
    if (place < 0) return;
    double const gain = weight / std::log2(static_cast<double>(place) + 2);
    hit1 += place < 1 ? weight : 0, hit5 += place < 5 ? weight : 0, hit10 += place < 10 ? weight : 0;
    ndcg5 += place < 5 ? gain : 0, ndcg10 += place < 10 ? gain : 0;
  }
  /// The item is at each of the places that its equals take, with the same probability.
  void add_expected(scored_items const& list, item_id target) {
    auto const found = std::ranges::find(list, target, &scored_item::item);
    if (found == list.end()) return;
    auto const equals = std::ranges::count(list, found->score, &scored_item::score);
    auto const first = std::ranges::find(list, found->score, &scored_item::score) - list.begin();
    for (auto place = first; place < first + equals; ++place) add(place, 1 / static_cast<double>(equals));
  }
  std::vector<double> over(index_t users) const {
    double const n = static_cast<double>(users);
    return {hit1 / n, hit5 / n, hit10 / n, ndcg5 / n, ndcg10 / n};
  }
};
std::vector<double> values(std::optional<metrics::metric_values> const& found) {
  auto const& m = found.value();
  return {m.hit(1), m.hit(5), m.hit(10), m.ndcg(5), m.ndcg(10)};
}

bool same_but_for_time(pipeline::evaluation a, pipeline::evaluation const& b) {
  a.result.seconds = b.result.seconds;
  a.result.users_per_second = b.result.users_per_second;
  return a.result == b.result && a.saved == b.saved;
}
}  // namespace

TEST_CASE("evaluate: metrics equal hand-computed ones, including shared sequences and missing modalities") {
  auto const from = small_dataset();
  auto const& histories = from.interactions;
  REQUIRE(language::duplicate_items(from.table(language::modality::text)) > 3);
  for (auto part : {catalog::split::test, catalog::split::valid}) {
    sums text, image, ensemble, item_text, item_image, item_ensemble;
    auto const users = catalog::evaluated_users(histories);
    for (auto const user : users) {
      auto const right = catalog::target(histories, user, part);
      auto const by_text = score_all(from, language::modality::text, user, part),
                 by_image = score_all(from, language::modality::image, user, part);
      auto const both = fused(by_text, by_image);
      auto const& table = from.table(language::modality::text);
      text.add(table.has(right) ? sequences_before(by_text, right, table) : -1);
      image.add(from.table(language::modality::image).has(right)
                    ? sequences_before(by_image, right, from.table(language::modality::image))
                    : -1);
      if (table.has(right))
        ensemble.add(sequences_before(both, right, table));
      else
        ensemble.add(std::ranges::find(both, right, &scored_item::item) - both.begin());
      item_text.add_expected(by_text, right);
      item_image.add_expected(by_image, right);
      item_ensemble.add_expected(both, right);
    }
    auto const found = evaluated({.part = part}).result;
    CHECK(found.users == std::ssize(users));
    CHECK(found.users == 13);
    CHECK(found.split == catalog::name_of(part));
    CHECK(found.dataset == "small");
    CHECK(found.beams == 20);
    CHECK_CLOSE(values(found.of(language::modality::text).sequence), text.over(found.users), 1e-12);
    CHECK_CLOSE(values(found.of(language::modality::image).sequence), image.over(found.users), 1e-12);
    CHECK_CLOSE(values(found.ensemble.sequence), ensemble.over(found.users), 1e-12);
    CHECK_CLOSE(values(found.of(language::modality::text).item), item_text.over(found.users), 1e-12);
    CHECK_CLOSE(values(found.of(language::modality::image).item), item_image.over(found.users), 1e-12);
    CHECK_CLOSE(values(found.ensemble.item), item_ensemble.over(found.users), 1e-12);
  }
}

TEST_CASE("evaluate: with a split by time, targets that nobody knew before are measured apart") {
  auto from = small_dataset();
  auto& histories = from.interactions;
  std::vector<double> times;  // item by item; the last one of every second user is late
  for (index_t u = 0; u < histories.users(); ++u) {
    auto const n = std::ssize(histories.of(user_id(u)));
    for (index_t i = 0; i < n; ++i) times.push_back(i + 1 == n && u % 2 == 0 ? 100 : 0);
  }
  catalog::split_by_time(histories, times, 50);
  auto const users = catalog::evaluated_users(histories);
  REQUIRE(users.size() > 5);
  auto const known = catalog::interacted_items(histories);
  sums all[2];
  index_t counts[2] = {};
  for (auto const user : users) {
    auto const right = catalog::target(histories, user, catalog::split::test);
    CHECK(right == histories.of(user).back());
    auto const list = fused(score_all(from, language::modality::text, user, catalog::split::test),
                            score_all(from, language::modality::image, user, catalog::split::test));
    bool const cold = !std::ranges::binary_search(known, right);
    all[cold].add_expected(list, right);
    ++counts[cold];
  }
  REQUIRE(counts[0] > 0);
  REQUIRE(counts[1] > 0);
  auto const found = evaluated({}, from).result;
  CHECK(found.split == "time");
  CHECK(found.until == 50);
  CHECK(found.users == std::ssize(users));
  REQUIRE(found.groups.size() == 2);
  for (std::size_t cold = 0; cold < 2; ++cold) {
    auto const& group = found.groups[cold];
    CHECK(group.name == (cold ? "cold" : "warm"));
    CHECK(group.users == counts[cold]);
    CHECK_CLOSE(values(group.ensemble.item), all[cold].over(group.users), 1e-12);
    CHECK(group.by_modality.size() == 2);
  }
  auto const mean = [&](metrics::user_group const& g) {
    return static_cast<double>(g.users) * g.by_modality[0].item->ndcg(10);
  };
  CHECK_CLOSE(mean(found.groups[0]) + mean(found.groups[1]),
              static_cast<double>(found.users) * found.of(language::modality::text).item->ndcg(10), 1e-12);
  CHECK(evaluated({.part = catalog::split::valid}, from).result.split == "valid");
}

TEST_CASE("evaluate: drafted lists contain new items alone, scored as in any search, and don't change the others") {
  auto from = small_dataset();
  auto& histories = from.interactions;
  std::vector<double> times;
  for (index_t u = 0; u < histories.users(); ++u)
    for (index_t i = 0; i < std::ssize(histories.of(user_id(u))); ++i) times.push_back(u < 12 && i < 2 ? 0 : 100);
  catalog::split_by_time(histories, times, 50);
  auto const known = catalog::interacted_items(histories);
  auto const is_new = [&](item_id item) { return !std::ranges::binary_search(known, item); };
  sums expected;
  index_t users = 0;
  for (auto const user : catalog::evaluated_users(histories)) {
    auto const right = catalog::target(histories, user, catalog::split::test);
    if (!is_new(right)) continue;
    auto text = score_all(from, language::modality::text, user, catalog::split::test),
         image = score_all(from, language::modality::image, user, catalog::split::test);
    for (auto* list : {&text, &image}) std::erase_if(*list, [&](auto const& one) { return !is_new(one.item); });
    expected.add_expected(fused(text, image), right);
    ++users;
  }
  REQUIRE(users > 1);
  // prefixes are shortened down to the root, so that every new item is drafted
  auto const found = evaluated({.draft = search::draft_options{.sequences = 100, .shortest_prefix = 0}}, from).result;
  REQUIRE(found.groups.size() == 3);
  CHECK(found.groups[2].name == "drafted");
  CHECK(found.groups[2].users == users);
  CHECK_CLOSE(values(found.groups[2].ensemble.item), expected.over(users), 1e-12);
  auto const plain = evaluated({}, from).result;
  CHECK(plain.groups.size() == 2);
  CHECK(plain.groups[1] == found.groups[1]);
  CHECK(plain.ensemble == found.ensemble);
  cpu::backend b(3);
  CHECK(pipeline::evaluate(
            b, model(b), {vocab(), tasks::all_tasks()}, from,
            {.search = {.block_rows = 1}, .draft = search::draft_options{.sequences = 100, .shortest_prefix = 0}})
            .result.groups[2] == found.groups[2]);
  CHECK(evaluated({.draft = search::draft_options{}}).result.groups.empty());  // not by time
}

TEST_CASE("evaluate: with fill_in, histories are written with generated tokens, and lists contain items as before") {
  auto from = small_dataset();
  from.interactions = {};
  for (auto const& items : {std::vector{without_text, item_id{1}, item_id{5}},
                            {item_id{1}, item_id{2}, item_id{4}},
                            {item_id{7}, without_text, item_id{2}, item_id{9}},
                            {without_text, without_text, item_id{8}}})
    from.interactions.add_user(std::to_string(from.interactions.users()), items);
  from.interactions.item_count = catalog_items;
  cpu::backend b;
  auto const frozen = model(b);
  tasks::model_tasks const about{vocab(), tasks::all_tasks()};
  auto filled = from;
  filled.tokens = pipeline::fill_in_language(b, frozen, about, from.tokens);
  REQUIRE(filled.table(language::modality::text).has(without_text));
  auto const found = pipeline::evaluate(b, frozen, about, from, {.fill_in = true});
  index_t differ = 0;
  for (auto const& example : found.examples) {
    auto list = score_all(filled, language::modality::text, example.user, catalog::split::test);
    std::erase_if(list, [&](auto const& one) { return one.item == without_text; });  // it isn't recommended in text
    auto const& mine = example.by_modality[0];
    REQUIRE(mine.size() == std::ssize(list));
    for (std::size_t i = 0; i < list.size(); ++i) {
      CHECK(mine.items[i] == list[i].item);
      CHECK_CLOSE(mine.scores[i], list[i].score, 1e-6);
    }
    auto const history = catalog::history(from.interactions, example.user, catalog::split::test);
    bool const lacks = std::ranges::find(history, without_text) != history.end();
    auto const plain = score_all(from, language::modality::text, example.user, catalog::split::test);
    CHECK((plain.front().score != list.front().score) == lacks);
    differ += lacks ? 1 : 0;
  }
  CHECK(differ == 3);
  CHECK_THROWS_AS(
      static_cast<void>(pipeline::evaluate(b, frozen, {vocab(), tasks::next_only()}, from, {.fill_in = true})), error);
}

TEST_CASE("evaluate: any number of ranks gives the lists and metrics of a single process") {
  auto from = small_dataset();
  std::vector<double> times;  // items that only later interactions have are new
  for (index_t u = 0; u < from.interactions.users(); ++u)
    for (index_t i = 0; i < std::ssize(from.interactions.of(user_id(u))); ++i)
      times.push_back(u < 12 && i < 2 ? 0 : 100);
  auto by_time = from;
  catalog::split_by_time(by_time.interactions, times, 50);
  pipeline::evaluation_options const plain{.search = {.beams = 5, .block_rows = 10}, .outcomes = 3},
      drafted{.search = {.beams = 4, .block_rows = 4}, .draft = search::draft_options{}, .fill_in = true},
      few{.search = {.block_rows = 1}, .users = 2};  // fewer users than ranks
  for (auto const& [data, options] : {std::pair(&from, &plain), {&by_time, &drafted}, {&from, &few}}) {
    auto const alone = evaluated(*options, *data);
    for (index_t ranks : {1, 2, 3, 4}) {
      train::run_on_threads(ranks, [&](train::host_communicator communicator) {
        auto mine = *options;
        mine.ranks = communicator;
        index_t last = -1, users = 0;
        mine.progress = [&](index_t done, index_t all) {
          CHECK(done >= last);
          last = done;
          users = all;
        };
        auto const found = evaluated(mine, *data);
        CHECK(same_but_for_time(found, alone));
        CHECK(found.places == alone.places);
        CHECK(found.outcomes == alone.outcomes);
        CHECK(found.claimed == alone.claimed);
        CHECK(found.examples.size() == alone.examples.size());
        CHECK(last <= users);
      });
    }
  }
  auto const complaint_of = [&](auto const& change) {
    return complaint<error>([&] {
      train::run_on_threads(3, [&](train::host_communicator communicator) {
        auto data = from;
        pipeline::evaluation_options mine{.ranks = communicator};
        if (communicator.rank() == 1) change(data, mine);
        (void)evaluated(mine, data);
      });
      return 0;
    });
  };
  using options_type = pipeline::evaluation_options;
  CHECK(complaint_of([](tasks::dataset& data, options_type&) { data.interactions.items.own()[1] = item_id{7}; }) ==
        "rank 1: the dataset small is not the same as on rank 0");
  CHECK(complaint_of([](tasks::dataset&, options_type& options) { options.search.beams = 3; }) ==
        "rank 1: the set of options is not the same as on rank 0");
  CHECK(complaint<error>([&] {
          train::run_on_threads(2, [&](train::host_communicator communicator) {
            auto const prefix = communicator.rank() == 1 ? std::optional(token_t{5}) : std::nullopt;
            (void)evaluated({.ranks = communicator}, from, prefix);
          });
          return 0;
        }) == "rank 1: the model's vocabulary and tasks is not the same as on rank 0");
}

TEST_CASE("evaluate: the examples are the first users' lists, as ranked by brute force") {
  auto const from = small_dataset();
  auto const found = evaluated();
  REQUIRE(found.examples.size() == 12);
  for (auto const& example : found.examples) {
    CHECK(example.target == catalog::target(from.interactions, example.user, catalog::split::test));
    auto const text = score_all(from, language::modality::text, example.user, catalog::split::test),
               image = score_all(from, language::modality::image, example.user, catalog::split::test);
    auto const both = fused(text, image);
    for (auto const& [mine, expected] :
         {std::pair(example.by_modality.at(0), text), {example.by_modality.at(1), image}, {example.ensemble, both}}) {
      REQUIRE(mine.size() == std::ssize(expected));
      for (std::size_t i = 0; i < expected.size(); ++i) {
        CHECK(mine.items[i] == expected[i].item);
        CHECK_CLOSE(mine.scores[i], expected[i].score, 1e-6);
      }
    }
  }
}

TEST_CASE("evaluate: saved results contain each user's sequences, best first, and the target's") {
  auto const from = small_dataset();
  auto const found = evaluated({.search = {.beams = 4}});
  auto const& table = from.table(language::modality::text);
  auto users = catalog::evaluated_users(from.interactions);
  std::erase_if(users,
                [&](user_id u) { return !table.has(catalog::target(from.interactions, u, catalog::split::test)); });
  auto const& saved = found.saved.at(0);
  REQUIRE(std::ssize(saved.all_users) == std::ssize(users));
  REQUIRE(saved.all_outputs.size() == 4 * users.size());
  REQUIRE(saved.all_scores.size() == 4 * users.size());
  for (std::size_t u = 0; u < users.size(); ++u) {
    CHECK(saved.all_users[u] == index(users[u]));
    CHECK(saved.all_targets[u] ==
          vocab().text(table.of(catalog::target(from.interactions, users[u], catalog::split::test))));
    for (std::size_t i = 1; i < 4; ++i) CHECK(saved.all_scores[4 * u + i] <= saved.all_scores[4 * u + i - 1]);
  }
  auto const first = found.examples.front();  // whose target has a text
  CHECK(saved.all_outputs.front() == vocab().text(table.of(first.by_modality[0].items.front())));
  CHECK(saved.all_scores.front() == first.by_modality[0].scores.front());
}

TEST_CASE("evaluate: is deterministic and independent of blocks and workers") {
  auto const expected = evaluated();
  CHECK(same_but_for_time(evaluated(), expected));
  cpu::backend b(3);
  auto const found =
      pipeline::evaluate(b, model(b), {vocab(), tasks::all_tasks()}, small_dataset(), {.search = {.block_rows = 1}});
  CHECK(values(found.result.ensemble.sequence) == values(expected.result.ensemble.sequence));
  CHECK(found.saved.at(0).all_outputs == expected.saved.at(0).all_outputs);
}

TEST_CASE("evaluate: a limit uses the first users; without users there are no metrics") {
  auto const all = evaluated();
  auto const few = evaluated({.users = 3});
  CHECK(few.result.users == 3);
  CHECK(few.examples.size() == 3);
  auto const& users = few.saved.at(0).all_users;
  CHECK(users.size() <= 3);  // whose target has no text isn't saved
  CHECK(std::ranges::equal(users, std::span(all.saved.at(0).all_users).first(users.size())));
  for (index_t none : {0, -5}) {
    auto const without_users = evaluated({.users = none}).result;
    CHECK(without_users.users == 0);
    for (auto const& metrics : {without_users.of(language::modality::text), without_users.of(language::modality::image),
                                without_users.ensemble})
      CHECK(metrics == metrics::list_metrics{});
  }
  CHECK(evaluated({.users = 1000}).result.users == all.result.users);
}

TEST_CASE("evaluate: progress is monotonic and ends with all users") {
  cpu::backend b;
  std::vector<index_t> reported;
  auto const progress = [&](index_t done, index_t users) {
    CHECK(users == 13);
    reported.push_back(done);
  };
  CHECK(pipeline::evaluate(b, model(b), {vocab(), tasks::all_tasks()}, small_dataset(),
                           {.search = {.block_rows = 60}, .progress = progress})
            .result.users == 13);
  CHECK(std::ranges::is_sorted(reported));
  CHECK(reported.back() == 13);
  CHECK(reported.front() == 0);
  CHECK(reported.size() == 11);  // then three users at a time, once a modality
}

TEST_CASE("evaluate: another fusion rule doesn't change the metrics of a modality") {
  auto const expected = evaluated().result, found = evaluated({.fusion = rank::calibrated{}}).result;
  CHECK(found.by_modality == expected.by_modality);
  CHECK(found.ensemble != expected.ensemble);
}

TEST_CASE("evaluate: the places by user give the metrics of the fused lists") {
  auto const found = evaluated();
  REQUIRE(std::ssize(found.places) == found.result.users);
  metrics::metric_accumulator all;
  for (auto const& place : found.places) all.add(place);
  CHECK(all.mean() == found.result.ensemble.item.value());
}

TEST_CASE("evaluate: with a maximum of history, users are queried as if they had the last items only") {
  cpu::backend b;
  auto shorter = small_dataset();
  auto const from = shorter;
  shorter.interactions = {};
  for (index_t u = 0; u < from.interactions.users(); ++u) {
    auto const all = from.interactions.of(user_id(u));
    bool const tested = catalog::has_target(from.interactions, user_id(u), catalog::split::test);
    shorter.interactions.add_user(std::to_string(u), tested ? catalog::window_before(all, std::ssize(all), 3)
                                                            : all.first(std::min<std::size_t>(1, all.size())));
  }
  shorter.interactions.item_count = from.interactions.item_count;
  tasks::model_tasks const about{vocab(), tasks::all_tasks()};
  auto const expected = pipeline::evaluate(b, model(b), about, shorter),
             found = pipeline::evaluate(b, model(b), about, from, {.max_history = 2});
  CHECK(found.result.by_modality == expected.result.by_modality);
  CHECK(found.places == expected.places);
}

TEST_CASE("evaluate: metrics at other cut-offs are those of the same lists") {
  auto const expected = evaluated().result.ensemble.sequence.value(),
             found = evaluated({.at = {10, 3}}).result.ensemble.sequence.value();
  REQUIRE(found.at.size() == 2);
  CHECK(found.hit(10) == expected.hit(10));
  CHECK(found.ndcg(10) == expected.ndcg(10));
  CHECK(found.hit(3) >= expected.hit(1));
  CHECK(found.hit(3) <= expected.hit(5));
  CHECK_THROWS_AS(static_cast<void>(found.hit(5)), error);
  CHECK_THROWS_AS(evaluated({.at = {0}}), error);
}

TEST_CASE("evaluate: the tasks decide how the model is queried") {
  cpu::backend b;
  auto const released = pipeline::evaluate(b, model(b), {vocab(), tasks::released_mixture()}, small_dataset());
  CHECK(released.saved.at(0).all_scores != evaluated().saved.at(0).all_scores);
}

TEST_CASE("evaluate: a query defined outside the library; one that reverses the history asks as if users had") {
  struct newest_first {
    tasks::next_item oldest_first;
    language::modality to;
    void each_example(tasks::dataset const& data, catalog::split part, tasks::example_sink const& sink) const {
      oldest_first.each_example(data, part, sink);
    }
    void write_query(std::span<item_id const> history, tasks::query_context const& context, tasks::batch& out) const {
      oldest_first.write_query(std::vector(history.rbegin(), history.rend()), context, out);
    }
  };
  auto tasks = tasks::all_tasks();
  tasks.queries.clear();
  for (auto const& [kind, first] : {std::pair(language::modality::text, 0), {language::modality::image, 3}})
    tasks.queries.push_back(newest_first{{.from = kind, .to = kind, .prompt = {first, 3}}, kind});
  auto rotated = small_dataset();
  for (index_t u = 0; u < rotated.interactions.users(); ++u) {
    auto const begin = rotated.interactions.items.own().begin();
    auto const [first, last] =
        std::pair(rotated.interactions.offsets[to_size(u)], rotated.interactions.offsets[to_size(u) + 1]);
    if (first < last) std::reverse(begin + first, begin + last - 1);  // all but the target
  }
  cpu::backend b;
  auto const found = pipeline::evaluate(b, model(b), {vocab(), tasks}, small_dataset());
  CHECK(found.saved == evaluated({}, rotated).saved);
  CHECK(found.result.by_modality == evaluated({}, rotated).result.by_modality);
  CHECK(found.saved.at(0).all_scores != evaluated().saved.at(0).all_scores);
}

TEST_CASE("evaluate: a single modality is fused with nothing, and a third one is evaluated like the others") {
  auto one = small_dataset();
  one.tokens.resize(1);
  auto const text = evaluated({}, one).result;
  REQUIRE(text.by_modality.size() == 1);
  CHECK(text.ensemble == text.by_modality.front());
  CHECK(text.by_modality.front() == evaluated().result.by_modality.front());

  // A third modality with the sequences and the prompt of the second, but tokens of its own.
  language::vocabulary const three({.modalities = {{"a", {3, 3}}, {"A", {4, 4, 4}}, {"q", {4, 4, 4}}}});
  auto const third = language::modality{2};
  auto data = small_dataset();
  language::token_table copied(third, catalog_items, 3);
  auto const& images = data.table(language::modality::image);
  for (auto const item : images.present()) {
    std::vector<token_t> sequence;
    for (auto const token : images.of(item)) {
      auto const place = vocab().place(token).value();
      sequence.push_back(three.token(third, place.level, place.code));
    }
    copied.set(item, sequence);
  }
  for (auto& table : data.tokens) {  // the same tokens have other ids in the larger vocabulary
    language::token_table renumbered(table.kind(), catalog_items, table.levels());
    for (auto const item : table.present()) {
      std::vector<token_t> sequence;
      for (auto const token : table.of(item)) sequence.push_back(three.parse(vocab().text(token)));
      renumbered.set(item, sequence);
    }
    table = renumbered;
  }
  data.tokens.push_back(copied);
  auto tasks = tasks::all_tasks();
  tasks.queries.push_back(tasks::next_item{.from = third, .to = third, .prompt = {3, 3}});
  cpu::backend b;
  auto config = small_t5();
  config.vocabulary = three.size();
  config.model_width = 8;
  auto const found = pipeline::evaluate(b, random_frozen_t5<double>(b, config), {three, tasks}, data);
  REQUIRE(found.result.by_modality.size() == 3);
  CHECK(found.saved.size() == 3);
  CHECK(found.result.of(third).item.has_value());
  CHECK(found.examples.front().by_modality[2].size() == 15);
  CHECK(found.saved[2].all_outputs.front().starts_with("<q_"));
  // From the history in text to images: the third modality isn't needed to recommend in it.
  tasks.queries[1] =
      tasks::next_item{.from = language::modality::text, .to = language::modality::image, .prompt = {6, 3}};
  auto const crossed = pipeline::evaluate(b, random_frozen_t5<double>(b, config), {three, tasks}, data);
  CHECK(crossed.result.by_modality[0] == found.result.by_modality[0]);
  CHECK(crossed.saved[1].all_scores != found.saved[1].all_scores);
}
