// Calls that end before they have finished: new items, reasons and traces. Those of recommend() are tested beside it.
#include <doctest/doctest.h>

#include <chrono>
#include <cmath>
#include <cstddef>
#include <limits>
#include <set>
#include <stop_token>
#include <vector>

#include "core/temporary_directory.hpp"
#include "mql4grec/recommender.hpp"
#include "support/check_close.hpp"
#include "support/small_t5.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
/// Twenty items, of which the last eight are new.
recommender<> twenty_items() {
  language::vocabulary const vocab({.modalities = {{"a", {5, 4}}, {"A", {4, 4, 4}}}});
  std::vector<language::token_table> tables;
  random_stream random(5, 0);
  for (auto const kind : {language::modality::text, language::modality::image}) {
    auto& table = tables.emplace_back(kind, 20, vocab.levels(kind));
    for (int i = 0; i < 20; ++i) {
      std::vector<token_t> sequence;
      for (index_t l = 0; l < table.levels(); ++l)
        sequence.push_back(vocab.token(kind, l, code_t(random.below(vocab.codes(kind, l)))));
      table.set(item_id{i}, sequence);
    }
  }
  cpu::backend b;
  auto config = small_t5();
  config.vocabulary = vocab.size();
  config.model_width = 8;
  return {b, random_t5<float>(b, config, 7), {vocab, tasks::all_tasks()}, std::move(tables), {.search = {.beams = 8}}};
}
search::item_list const past = {item_id{3}, item_id{7}, item_id{1}, item_id{3}, item_id{11}, item_id{2}};
search::item_list new_items() {
  search::item_list items;
  for (int i = 12; i < 20; ++i) items.push_back(item_id{i});
  return items;
}

/// Wants a request until it has been asked so many times.
request_watch asked_at_most(int times, int& asked) {
  return {.wanted = [times, &asked](std::size_t) { return asked++ < times; }};
}
}  // namespace

TEST_CASE("recommend_new: ends with the new items among the best so far") {
  auto const tested = twenty_items();
  recommend_options const options{.k = 5, .filter = {.allow = new_items()}};
  auto const whole = tested.recommend_new(past, options);
  CHECK(whole == tested.recommend_new(past, 5, new_items()));
  CHECK(whole.complete);
  CHECK(whole.size() > 0);
  auto session = tested.session();
  bool was_complete = false, was_early = false;
  for (int times = 0; !was_complete; ++times) {
    int asked = 0;
    auto const found = session.recommend_new(past, options, asked_at_most(times, asked));
    for (auto const item : found.items) CHECK(index(item) >= 12);
    CHECK(found.size() <= 5);
    was_complete = found.complete;
    if (was_early) CHECK(found.size() > 0);  // the second search begins with the answer of the first one
    was_early = was_early || (!found.complete && found.size() > 0);
    if (was_complete) CHECK(found == whole);
    if (times == 0) CHECK(found.size() == 0);
  }
  CHECK(was_early);
  using namespace std::chrono_literals;
  for (auto const deadline : {0ns, -5ns}) {
    auto limited = options;
    limited.deadline = deadline;
    auto const found = tested.recommend_new(past, limited);
    CHECK(!found.complete);
    CHECK(found.size() == 0);
  }
  auto later = options;
  later.deadline = 1h;
  CHECK(tested.recommend_new(past, later) == whole);
  CHECK_THROWS_AS(static_cast<void>(tested.recommend_new(past, recommend_options{.k = 5})), error);
}

TEST_CASE("explain: ends with the reasons so far, those of the newest items of the history") {
  auto const tested = twenty_items();
  std::vector const items = {item_id{0}, item_id{15}};
  auto const whole = tested.explain(past, items);
  auto session = tested.session();
  std::set<std::size_t> lengths;
  for (int times = 0; lengths.empty() || *lengths.rbegin() < past.size(); ++times) {
    int asked = 0;
    auto const found = session.explain(past, items, asked_at_most(times, asked));
    REQUIRE(found.size() == 2);
    for (std::size_t i = 0; i < 2; ++i) {
      auto const& reasons = found[i].reasons;
      auto const missing = past.size() - reasons.size();
      CHECK(found[i].item == items[i]);
      CHECK(found[i].complete == (missing == 0));
      CHECK(reasons.size() == found[0].reasons.size());
      if (times == 0) CHECK(std::isnan(found[i].log_p));
      if (std::isnan(found[i].log_p)) {
        CHECK(reasons.empty());
        continue;
      }
      CHECK_CLOSE(found[i].log_p, whole[i].log_p, 1e-5);
      for (std::size_t h = 0; h < reasons.size(); ++h) {
        CHECK(reasons[h].position == whole[i].reasons[missing + h].position);
        CHECK(reasons[h].shared_codes == whole[i].reasons[missing + h].shared_codes);
        CHECK_CLOSE(reasons[h].drop, whole[i].reasons[missing + h].drop, 1e-5);
      }
    }
    lengths.insert(found[0].reasons.size());
  }
  CHECK(lengths.size() > 2);  // none, some, all
  std::stop_source stopped;
  stopped.request_stop();
  CHECK(!tested.explain(past, items, {.stop = stopped.get_token()})[0].complete);
  CHECK(!tested.explain(past, items, {.deadline = std::chrono::nanoseconds(0)})[0].complete);
  CHECK(tested.explain(past, items, {.deadline = std::chrono::hours(1)})[0].complete);
  CHECK(tested.explain(past, {}, {.deadline = std::chrono::nanoseconds(0)}).empty());
}

TEST_CASE("recommend: the rules of a request that is late aren't read, and later looks don't change that") {
  auto const tested = twenty_items();
  auto session = tested.session();
  recommend_options const unknown{.filter = {.allow = new_items(), .any_of = {"nowhere"}},
                                  .quotas = {{.set = "nowhere", .most = 1}}};
  std::vector<recommend_request> const two = {{.history = past, .options = unknown}, {.history = past}};
  int asked = 0;
  request_watch const first_look{.wanted = [&](std::size_t i) { return i == 1 || asked++ > 0; }};
  auto const both = session.recommend_batch(two, first_look);
  CHECK(!both[0].complete);
  CHECK(both[0].size() == 0);
  CHECK(both[1] == tested.recommend(past));
  CHECK(both[1].complete);
  asked = 0;
  CHECK(!session.recommend_new(past, unknown, {.wanted = [&](std::size_t) { return asked++ > 0; }}).complete);
  CHECK_THROWS_AS(static_cast<void>(session.recommend_batch(two)), error);
}

TEST_CASE("trace: a search that ends early has no steps, or the first ones") {
  auto const tested = twenty_items();
  for (auto const& steps : tested.trace(past, {.deadline = std::chrono::nanoseconds(0)})) CHECK(steps.empty());
  auto const whole = tested.trace(past, {.k = 3}),
             later = tested.trace(past, {.k = 3, .deadline = std::chrono::hours(1)});
  CHECK(later[0].size() == 2);
  CHECK(later[1].size() == 3);
  CHECK(later[1].back().size() == whole[1].back().size());
  auto session = tested.session();
  std::set<std::size_t> lengths;
  for (int times = 0; lengths.empty() || *lengths.rbegin() < whole[0].size() + whole[1].size(); ++times) {
    int asked = 0;
    auto const some = session.trace(past, {.k = 3}, asked_at_most(times, asked));
    std::size_t length = 0;
    for (std::size_t m = 0; m < 2; ++m) {
      REQUIRE(some[m].size() <= whole[m].size());
      length += some[m].size();
      for (std::size_t step = 0; step < some[m].size(); ++step)
        for (std::size_t i = 0; i < some[m][step].size(); ++i)
          CHECK(some[m][step][i].tokens == whole[m][step].at(i).tokens);
    }
    lengths.insert(length);
  }
  CHECK(lengths.size() > 2);  // none, some, all
}

TEST_CASE("so_far: is called without `wanted` too, and refused by every call in a session with several threads") {
  auto const tested = twenty_items();
  recommend_options const options{.k = 5, .filter = {.allow = new_items()}};
  std::vector<recommend_request> const one = {{.history = past, .options = options}};
  std::vector const items = {item_id{0}};
  int calls = 0;
  request_watch const watch{.so_far = [&](std::size_t, recommendation const& best) { calls += best.complete ? 0 : 1; }};
  auto session = tested.session(), several = tested.session({.threads = 2});
  CHECK(session.recommend_batch(one, watch)[0] == tested.recommend(past, options));
  CHECK(calls == 5);  // after each of two codes of the text and three of the image
  CHECK(session.recommend_new(past, options, watch) == tested.recommend_new(past, options));
  CHECK(calls == 15);  // two searches
  CHECK(session.trace(past, options, watch).size() == 2);
  CHECK(calls == 20);
  CHECK(session.explain(past, items, watch).size() == 1);  // has no best items
  CHECK(calls == 20);
  auto const refused = "recommend: so_far in a session with 2 threads, expected 1";
  CHECK(complaint<error>([&] { return several.recommend_batch(one, watch); }) == refused);
  CHECK(complaint<error>([&] { return several.recommend_new(past, options, watch); }) == refused);
  CHECK(complaint<error>([&] { return several.trace(past, options, watch); }) == refused);
  CHECK(complaint<error>([&] { return several.explain(past, items, watch); }) == refused);
  CHECK(calls == 20);
  CHECK(several.recommend_new(past, options, {}) == tested.recommend_new(past, options));
}
