#include "mql4grec/serve/micro_batcher.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>

#include "support/check_close.hpp"
#include "support/small_t5.hpp"

using namespace mql4grec;
using namespace mql4grec::test;
using namespace std::chrono_literals;

namespace {

/// What the sessions of a fake recommender share with a test. A search begins, then waits until the test lets it go on.
class stage {
 public:
  /// Called by a session.
  void enter(std::vector<index_t> batch) {
    std::unique_lock lock(mutex_);
    batches_.push_back(std::move(batch));
    changed_.notify_all();
    changed_.wait(lock, [&] { return open_; });
  }
  void open(bool value = true) {
    std::lock_guard const lock(mutex_);
    open_ = value;
    changed_.notify_all();
  }
  /// Waits until so many batches have begun.
  void await(std::size_t batches) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return batches_.size() >= batches; });
  }
  /// The k of the requests of each batch that has begun.
  std::vector<std::vector<index_t>> batches() {
    std::lock_guard const lock(mutex_);
    return batches_;
  }

  std::atomic<int> sessions = 0;  // that have been opened

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::vector<index_t>> batches_;
  bool open_ = true;
};

constexpr index_t broken = 4000;   // the k of requests whose search throws
constexpr index_t damaged = 4001;  // the same with an exception that isn't an error of the request

/// Answers a request for k items with item k and a score that names the recommender. With `reports`, item −k is the
/// best so far.
struct fake_recommender {
  std::shared_ptr<stage> on;
  double name = 0;

  struct fake_session;
  fake_session session() const;

  recommendation answer(index_t k, bool complete) const {
    recommendation one;
    one.add(item_id(k), name);
    one.complete = complete;
    return one;
  }
};

struct fake_recommender::fake_session {
  fake_recommender of;
  std::vector<recommendation> recommend_batch(std::span<recommend_request const> requests, request_watch const& watch) {
    std::vector<index_t> batch;
    for (auto const& each : requests) batch.push_back(each.options.k);
    for (std::size_t i = 0; i < requests.size(); ++i)
      if (watch.so_far) watch.so_far(i, of.answer(-batch[i], false));
    of.on->enter(batch);
    for (auto const k : batch)
      if (k == broken)
        raise("broken");
      else if (k == damaged)
        throw std::logic_error("damaged");
    std::vector<recommendation> answers;
    for (std::size_t i = 0; i < batch.size(); ++i)
      answers.push_back(of.answer(batch[i], !watch.wanted || watch.wanted(i)));
    return answers;
  }
};
fake_recommender::fake_session fake_recommender::session() const {
  ++on->sessions;
  return {*this};
}

using fake_slot = recommender_slot<fake_recommender>;
using fake_batcher = serve::micro_batcher<fake_recommender>;

std::shared_ptr<fake_recommender const> fake(std::shared_ptr<stage> const& on, double name = 0) {
  return std::make_shared<fake_recommender const>(fake_recommender{.on = on, .name = name});
}

/// Callers on threads of their own, each with one request for k items.
class callers {
 public:
  explicit callers(fake_batcher& to) : to_(&to) {}
  void call(index_t k) {
    threads_.emplace_back([this, k] {
      std::string result;
      try {
        result = std::to_string(index(to_->recommend({}, {.k = k}).items.at(0)));
      } catch (serve::overloaded const&) {
        result = "overloaded";
      } catch (error const& e) {
        result = e.what();
      }
      std::lock_guard const lock(mutex_);
      results_[k] = result;
    });
  }
  /// Waits until so many requests are queued.
  void await_queued(index_t count) const {
    while (to_->queued() != count) std::this_thread::yield();
  }
  /// By k, after all calls have returned.
  std::map<index_t, std::string> results() {
    threads_.clear();
    return results_;
  }

 private:
  fake_batcher* to_;
  std::mutex mutex_;
  std::map<index_t, std::string> results_;
  std::vector<std::jthread> threads_;
};

// ---- a real recommender
constexpr index_t catalog_items = 60;

recommender<> small_recommender(std::uint64_t seed) {
  language::vocabulary const vocab({.modalities = {{"a", {5, 4, 4}}, {"A", {4, 4, 4}}}});
  std::vector<language::token_table> tables;
  for (auto const kind : {language::modality::text, language::modality::image}) {
    tables.emplace_back(kind, catalog_items, 3);
    random_stream random(5, static_cast<std::uint64_t>(kind));
    for (index_t i = 0; i < catalog_items; ++i) {
      std::vector<token_t> sequence;
      for (index_t l = 0; l < 3; ++l)
        sequence.push_back(vocab.token(kind, l, code_t(random.below(vocab.codes(kind, l)))));
      tables.back().set(item_id(i), sequence);
    }
  }
  cpu::backend b;
  auto config = small_t5();
  config.vocabulary = vocab.size();
  config.model_width = 8;
  return {b, random_t5<float>(b, config, seed), {vocab, tasks::all_tasks()}, tables, {.search = {.beams = 8}}};
}

search::item_list random_items(index_t length, std::uint64_t seed) {
  random_stream random(seed, 2);
  search::item_list items;
  for (index_t i = 0; i < length; ++i) items.push_back(item_id(random.below(catalog_items)));
  return items;
}

struct sent_request {
  search::item_list history;
  recommend_options options;
};
std::vector<sent_request> sent_requests(std::uint64_t count) {
  std::vector<sent_request> all;
  for (std::uint64_t i = 0; i < count; ++i)
    all.push_back({random_items(static_cast<index_t>(i), i),
                   {.k = 1 + static_cast<index_t>(i % 12),
                    .filter = {.deny = i % 3 == 0 ? random_items(5, i) : search::item_list{}},
                    .deadline = i % 4 == 0 ? std::optional<std::chrono::nanoseconds>(1h) : std::nullopt}});
  return all;
}

}  // namespace

TEST_CASE("micro_batcher: concurrent callers get the answers of single requests, whatever their options") {
  recommender_slot<> slot(std::make_shared<recommender<> const>(small_recommender(7)));
  auto const requests = sent_requests(24);
  std::vector<recommendation> expected;
  for (auto const& each : requests) expected.push_back(slot.get()->recommend(each.history, each.options));
  for (auto const& options : {serve::batching_options{}, {.workers = 2, .max_batch = 3}, {.max_wait = 500us}}) {
    serve::micro_batcher<> tested(slot, options);
    std::vector<std::vector<recommendation>> answers(4, std::vector<recommendation>(requests.size()));
    {
      std::vector<std::jthread> threads;
      for (std::size_t t = 0; t < answers.size(); ++t)
        threads.emplace_back([&, t] {
          for (std::size_t n = 0; n < requests.size(); ++n) {
            auto const i = (n + 7 * t) % requests.size();
            answers[t][i] = tested.recommend(requests[i].history, requests[i].options);
          }
        });
    }
    for (auto const& mine : answers)
      for (std::size_t i = 0; i < requests.size(); ++i) {
        CHECK(mine[i].complete);
        CHECK(mine[i].items == expected[i].items);
        CHECK_CLOSE(mine[i].scores, expected[i].scores, 1e-5);
        CHECK(mine[i].times.queue >= 0ns);
      }
  }
}

TEST_CASE("micro_batcher: a request is answered by the recommender that the slot holds when its batch begins") {
  recommender_slot<> slot(std::make_shared<recommender<> const>(small_recommender(7)));
  auto const second = std::make_shared<recommender<> const>(small_recommender(8));
  auto const history = random_items(6, 1);
  auto const before = slot.get()->recommend(history), after = second->recommend(history);
  REQUIRE(before.items != after.items);
  serve::micro_batcher<> tested(slot, {.workers = 2});
  std::atomic<bool> replaced = false;
  std::atomic<int> wrong = 0, late = 0, answered = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 3; ++t)
      threads.emplace_back([&] {
        for (int i = 0; i < 40; ++i) {
          bool const must_be_new = replaced;
          auto const answer = tested.recommend(history);
          if (answer.items != before.items && answer.items != after.items) ++wrong;
          if (must_be_new && answer.items != after.items) ++late;
          ++answered;
        }
      });
    while (answered < 20) std::this_thread::yield();
    slot.set(second);
    replaced = true;
  }
  CHECK(wrong == 0);
  CHECK(late == 0);
  CHECK(tested.recommend(history).items == after.items);
}

TEST_CASE("micro_batcher: what arrives during a search is the next batch, at most max_batch requests") {
  auto const on = std::make_shared<stage>();
  fake_slot slot(fake(on));
  fake_batcher tested(slot, {.max_batch = 3});
  callers all(tested);
  on->open(false);
  all.call(100);
  on->await(1);
  for (index_t k = 1; k <= 5; ++k) {
    all.call(k);
    all.await_queued(k);
  }
  on->open();
  for (auto const& [k, result] : all.results()) CHECK(result == std::to_string(k));
  CHECK(on->batches() == std::vector<std::vector<index_t>>{{100}, {1, 2, 3}, {4, 5}});
}

TEST_CASE("micro_batcher: an idle worker waits for a batch, but not longer than max_wait") {
  auto const on = std::make_shared<stage>();
  fake_slot slot(fake(on));
  {
    fake_batcher tested(slot, {.max_batch = 3, .max_wait = 1h});
    callers all(tested);
    for (index_t k = 1; k <= 3; ++k) all.call(k);
    CHECK(all.results().size() == 3);  // a full batch doesn't wait
    CHECK(on->batches().size() == 1);
  }
  fake_batcher tested(slot, {.max_wait = 20ms});
  auto const start = std::chrono::steady_clock::now();
  CHECK(tested.recommend({}, {.k = 7}).items.front() == item_id(7));
  CHECK(std::chrono::steady_clock::now() - start >= 20ms);
}

TEST_CASE("micro_batcher: requests beyond the bound of the queue are refused at once, and later ones are answered") {
  auto const on = std::make_shared<stage>();
  fake_slot slot(fake(on));
  fake_batcher tested(slot, {.max_batch = 8, .max_queued = 2});
  callers all(tested);
  on->open(false);
  all.call(100);
  on->await(1);
  for (index_t k = 1; k <= 2; ++k) {
    all.call(k);
    all.await_queued(k);
  }
  for (int i = 0; i < 3; ++i) CHECK_THROWS_AS(tested.recommend({}, {.k = 3}), serve::overloaded);  // while it's closed
  on->open();
  CHECK(all.results() == std::map<index_t, std::string>{{1, "1"}, {2, "2"}, {100, "100"}});
  CHECK(tested.recommend({}, {.k = 3}).items.front() == item_id(3));
}

TEST_CASE("micro_batcher: a request whose deadline passes in the queue is never searched") {
  auto const on = std::make_shared<stage>();
  fake_slot slot(fake(on));
  fake_batcher tested(slot);
  callers all(tested);
  on->open(false);
  all.call(100);
  on->await(1);
  auto const start = std::chrono::steady_clock::now();
  auto const late = tested.recommend({}, {.k = 5, .deadline = 10ms});
  auto const waited = std::chrono::steady_clock::now() - start;
  CHECK_FALSE(late.complete);
  CHECK(late.size() == 0);
  CHECK(waited >= 10ms);
  CHECK(waited < 10s);  // generous: the machine may be busy
  CHECK(tested.queued() == 0);
  CHECK_FALSE(tested.recommend({}, {.k = 5, .deadline = 0ms}).complete);
  on->open();
  CHECK(all.results().at(100) == "100");
  CHECK(on->batches().size() == 1);
}

TEST_CASE("micro_batcher: a deadline or a stop during the search returns the best so far, while others go on") {
  auto const on = std::make_shared<stage>();
  fake_slot slot(fake(on));
  fake_batcher tested(slot, {.max_batch = 2, .max_wait = 1h});
  for (bool const stops : {false, true}) {
    on->open(false);
    auto const batches = on->batches().size();
    callers all(tested);
    all.call(7);
    all.await_queued(1);
    std::stop_source source;
    recommend_options options{.k = 5};
    if (stops)
      options.stop = source.get_token();
    else
      options.deadline = 2s;  // not before both are being searched, on a slow machine too
    recommendation early;
    {
      std::jthread const caller([&] { early = tested.recommend({}, options); });
      on->await(batches + 1);  // both requests are being searched
      if (stops) source.request_stop();
    }  // the caller has its answer, although the search hasn't ended
    CHECK_FALSE(early.complete);
    CHECK(early.items == search::item_list{item_id(-5)});
    on->open();
    CHECK(all.results() == std::map<index_t, std::string>{{7, "7"}});
    CHECK(on->batches().back().size() == 2);
  }
}

TEST_CASE("micro_batcher: an exception goes to the caller whose search throws") {
  auto const on = std::make_shared<stage>();
  fake_slot slot(fake(on));
  fake_batcher tested(slot);
  callers all(tested);
  on->open(false);
  all.call(100);
  on->await(1);
  for (index_t const k : {index_t{1}, broken, index_t{2}}) all.call(k);
  all.await_queued(3);
  on->open();
  CHECK(all.results() == std::map<index_t, std::string>{{1, "1"}, {2, "2"}, {100, "100"}, {broken, "broken"}});
  CHECK(tested.recommend({}, {.k = 3}).items.front() == item_id(3));
  CHECK_THROWS_AS(tested.recommend({}, {.k = -1}), error);
  CHECK(on->sessions == 1);  // a request that is refused costs nobody a session
  CHECK_THROWS_AS(tested.recommend({}, {.k = damaged}), std::logic_error);
  CHECK(tested.recommend({}, {.k = 3}).items.front() == item_id(3));
  CHECK(on->sessions == 2);
}

TEST_CASE("micro_batcher: drain() answers what was accepted and refuses what comes later") {
  auto const on = std::make_shared<stage>();
  fake_slot slot(fake(on));
  fake_batcher tested(slot, {.workers = 2, .max_batch = 2});
  callers all(tested);
  on->open(false);
  for (index_t k = 1; k <= 2; ++k) {
    all.call(k);
    on->await(to_size(k));
  }
  for (index_t k = 3; k <= 7; ++k) all.call(k);
  all.await_queued(5);
  std::atomic<bool> drained = false;
  std::jthread drains([&] {
    tested.drain();
    drained = true;
  });
  for (;;) {  // until the drain has begun
    try {
      auto const answer = tested.recommend({}, {.k = 8, .deadline = 1ms});
      CHECK_FALSE(answer.complete);
    } catch (serve::overloaded const&) {
      break;
    }
  }
  CHECK_FALSE(drained);
  on->open();
  drains.join();
  auto const results = all.results();
  CHECK(results.size() == 7);
  for (auto const& [k, result] : results) CHECK(result == std::to_string(k));
  CHECK_THROWS_AS(tested.recommend({}), serve::overloaded);
  tested.drain();  // again
}

TEST_CASE("micro_batcher: random deadlines and stops lose no request and no answer") {  // seed 11
  recommender_slot<> slot(std::make_shared<recommender<> const>(small_recommender(7)));
  auto const requests = sent_requests(12);
  std::vector<recommendation> expected;
  for (auto const& each : requests) expected.push_back(slot.get()->recommend(each.history, each.options));
  serve::micro_batcher<> tested(slot, {.workers = 2, .max_batch = 4, .max_queued = 3});
  std::atomic<int> complete = 0, incomplete = 0, refused = 0, wrong = 0;
  {
    std::vector<std::jthread> threads;
    for (std::uint64_t t = 0; t < 6; ++t)
      threads.emplace_back([&, t] {
        random_stream random(11, t);
        for (int n = 0; n < 50; ++n) {
          auto const i = static_cast<std::size_t>(random.below(12));
          auto options = requests[i].options;
          std::stop_source source;
          auto const kind = random.below(4);
          if (kind == 0) options.deadline = std::chrono::microseconds(random.below(3000));
          if (kind == 1) options.stop = source.get_token();
          std::jthread const stopper([&] {
            if (kind == 1) source.request_stop();
          });
          try {
            auto const answer = tested.recommend(requests[i].history, options);
            ++(answer.complete ? complete : incomplete);
            if (answer.complete && answer.items != expected[i].items) ++wrong;
          } catch (serve::overloaded const&) {
            ++refused;
          }
        }
      });
  }
  CHECK(wrong == 0);
  CHECK(complete > 0);
  CHECK(complete + incomplete + refused == 300);
  CHECK(tested.queued() == 0);
}

TEST_CASE("micro_batcher: options out of range are refused") {
  recommender_slot<> const slot(std::make_shared<recommender<> const>(small_recommender(7)));
  for (auto const& options : {serve::batching_options{.workers = 0},
                              {.max_batch = 0},
                              {.max_queued = 0},
                              {.max_wait = std::chrono::microseconds(-1)}})
    CHECK_THROWS_AS(serve::micro_batcher<>(slot, options), error);
}

namespace {

/// Outcomes of submitted requests.
class outcomes {
 public:
  /// What to call with the outcome of request k.
  std::function<void(serve::submitted_outcome)> of(index_t k) {
    return [this, k](serve::submitted_outcome outcome) {
      std::lock_guard const lock(mutex_);
      CHECK(!all_.contains(k));  // it is called once
      all_.insert_or_assign(k, std::move(outcome));
      changed_.notify_all();
    };
  }
  /// Waits for that of request k.
  serve::submitted_outcome await(index_t k) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return all_.contains(k); });
    return all_.at(k);
  }
  std::size_t size() {
    std::lock_guard const lock(mutex_);
    return all_.size();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<index_t, serve::submitted_outcome> all_;
};

}  // namespace

TEST_CASE("micro_batcher: submitted requests get the answers, exceptions and refusals of callers that wait") {
  auto const on = std::make_shared<stage>();
  fake_slot slot(fake(on));
  outcomes all;
  fake_batcher tested(slot, {.max_queued = 3});
  on->open(false);
  tested.submit({}, {.k = 100}, all.of(100));
  on->await(1);
  for (index_t const k : {index_t{1}, broken, index_t{2}}) tested.submit({}, {.k = k}, all.of(k));
  CHECK_THROWS_AS(tested.submit({}, {.k = 3}, all.of(3)), serve::overloaded);
  CHECK_THROWS_AS(tested.submit({}, {.k = -1}, all.of(4)), error);
  CHECK(all.size() == 0);
  on->open();
  for (index_t const k : {index_t{100}, index_t{1}, index_t{2}}) {
    auto const answer = std::get<recommendation>(all.await(k));
    CHECK(answer.complete);
    CHECK(answer.items == search::item_list{item_id(k)});
  }
  CHECK_THROWS_WITH_AS(std::rethrow_exception(std::get<std::exception_ptr>(all.await(broken))), "broken", error);
  tested.drain();
  CHECK(all.size() == 4);
  CHECK_THROWS_AS(tested.submit({}, {}, all.of(5)), serve::overloaded);
}

TEST_CASE("micro_batcher: what the callback of a submitted request owns is released after the call") {
  fake_slot slot(fake(std::make_shared<stage>()));
  fake_batcher tested(slot);
  auto const owned = std::make_shared<std::atomic<bool>>(false);
  for (auto const deadline : {std::optional<std::chrono::nanoseconds>(), {0ms}}) {
    *owned = false;
    tested.submit({}, {.deadline = deadline}, [owned](serve::submitted_outcome const&) { *owned = true; });
    auto const start = std::chrono::steady_clock::now();
    while ((!*owned || owned.use_count() > 1) && std::chrono::steady_clock::now() - start < 10s)
      std::this_thread::yield();
    CHECK(*owned);
    CHECK(owned.use_count() == 1);
  }
}

TEST_CASE("micro_batcher: destructors of what a callback owns may call members") {
  auto const on = std::make_shared<stage>();
  fake_slot slot(fake(on));
  std::atomic<int> released = 0;
  {
    fake_batcher tested(slot);
    auto const owned = [&] {
      return std::shared_ptr<void>(nullptr, [&](void*) {
        static_cast<void>(tested.queued());
        ++released;
      });
    };
    on->open(false);
    tested.submit({}, {.k = 1}, [mine = owned()](serve::submitted_outcome const&) {});
    on->await(1);
    tested.submit({}, {.k = 2, .deadline = 0ms}, [mine = owned()](serve::submitted_outcome const&) {});  // in the queue
    while (released == 0) std::this_thread::yield();
    on->open();
  }
  CHECK(released == 2);
}

TEST_CASE("micro_batcher: a submitted request is answered at its deadline, in the queue and during its search") {
  auto const on = std::make_shared<stage>();
  fake_slot slot(fake(on));
  outcomes all;
  fake_batcher tested(slot);
  on->open(false);
  auto const start = std::chrono::steady_clock::now();
  tested.submit({}, {.k = 6, .deadline = 2s}, all.of(6));
  on->await(1);
  tested.submit({}, {.k = 9, .deadline = 1h}, all.of(9));  // the first deadline isn't the last one that was submitted
  tested.submit({}, {.k = 7, .deadline = 20ms}, all.of(7));
  auto const queued = std::get<recommendation>(all.await(7));
  CHECK_FALSE(queued.complete);
  CHECK(queued.size() == 0);
  CHECK(tested.queued() == 1);
  auto const searched = std::get<recommendation>(all.await(6));
  CHECK_FALSE(searched.complete);
  CHECK(searched.items == search::item_list{item_id(-6)});
  CHECK(std::chrono::steady_clock::now() - start >= 2s);
  on->open();
  CHECK(std::get<recommendation>(all.await(9)).complete);
  CHECK(on->batches() == std::vector<std::vector<index_t>>{{6}, {9}});
}

TEST_CASE("micro_batcher: random deadlines and stops of submitted requests lose no answer") {  // seed 11
  recommender_slot<> slot(std::make_shared<recommender<> const>(small_recommender(7)));
  auto const requests = sent_requests(12);
  std::atomic<int> submitted = 0, answered = 0, complete = 0;
  {
    serve::micro_batcher<> tested(slot, {.workers = 2, .max_batch = 4, .max_queued = 6});
    std::vector<std::jthread> threads;
    for (std::uint64_t t = 0; t < 3; ++t)
      threads.emplace_back([&, t] {
        random_stream random(11, t);
        std::vector<std::stop_source> sources(60);
        for (auto& source : sources) {
          auto const& one = requests[to_size(random.below(12))];
          auto options = one.options;
          options.stop = source.get_token();
          if (random.below(2) == 0) options.deadline = std::chrono::microseconds(random.below(3000));
          try {
            tested.submit(one.history, options, [&](serve::submitted_outcome const& outcome) {
              ++answered;
              if (std::get<recommendation>(outcome).complete) ++complete;
            });
            ++submitted;
          } catch (serve::overloaded const&) {
            std::this_thread::sleep_for(1ms);
          }
          if (random.below(8) == 0) source.request_stop();
        }
      });
  }
  CHECK(answered == submitted);
  CHECK(complete > 0);
}
