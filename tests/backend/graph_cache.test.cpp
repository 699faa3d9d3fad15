#include "mql4grec/backend/contract/graph_cache.hpp"

#include "mql4grec/backend/contract/transfer.hpp"
#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/tensors.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
struct without_order {};
struct without_default {
  explicit without_default(int) {}
};
template <class Key, class Result>
concept Cacheable = requires {
  typename graph_cache<reference::backend, Key, Result>;
};
static_assert(Cacheable<int, int> && !Cacheable<without_order, int> && !Cacheable<int, without_default>);
}  // namespace

TEST_CASE("graph_cache: a backend without graph capture executes the work directly") {
  reference::backend b;
  static_assert(!CaptureOps<reference::backend> && !CaptureOps<cpu::backend>);
  graph_cache<reference::backend, int> known("a test");
  int done = 0;
  for (int i = 0; i < 3; ++i) known.run(b, 7, [&] { ++done; });
  CHECK(done == 3);
}

#if defined(MQL4GREC_TEST_DEVICE_BACKENDS)
TEST_CASE_TEMPLATE(
    "graph_cache: the work of a key is called twice, and every launch uses the current contents of memory", B,
    MQL4GREC_TEST_DEVICE_BACKENDS) {
  static_assert(CaptureOps<B>);
  B b;
  graph_cache<B, int> known("a test");
  auto x = on(b, vector{1.f, 2.f}), y = on(b, vector{0.f, 0.f});
  int calls = 0;
  for (int i = 1; i <= 4; ++i) {
    known.run(b, 7, [&] {
      ++calls;
      scratch_scope<B> const scope(b.scratch());
      auto const room = take<float>(b, 2);
      copy<float>(b, x, room);
      accumulate<float>(b, room, y);
    });
    CHECK_CLOSE(y, vector{static_cast<float>(i * (i + 1) / 2), static_cast<float>(i * (i + 1))}, 0);
    upload<float>(b, vector{static_cast<float>(i + 1), static_cast<float>(2 * (i + 1))}, x);
  }
  CHECK(calls == 2);
  known.run(b, 8, [&] { ++calls; });
  CHECK(calls == 3);
}

TEST_CASE_TEMPLATE("graph_cache: the work is captured again after the scratch memory has changed", B,
                   MQL4GREC_TEST_DEVICE_BACKENDS) {
  B b;
  graph_cache<B, int> known("a test");
  auto y = on(b, vector{0.f});
  int calls = 0;
  auto const work = [&] {
    ++calls;
    scratch_scope<B> const scope(b.scratch());
    auto const room = take<float>(b, 1);
    fill<float>(b, room, 1);
    accumulate<float>(b, room, y);
  };
  for (int i = 0; i < 3; ++i) known.run(b, 7, work);
  CHECK(calls == 2);
  {
    scratch_scope<B> const scope(b.scratch());
    take<float>(b, 5);
    for (int i = 0; i < 3; ++i) known.run(b, 7, work);
    CHECK(calls == 4);
  }
  {
    scratch_scope<B> const scope(b.scratch());
    take<double>(b, 1 << 20);  // grows beyond its first chunk, and is merged when the scope ends
  }
  for (int i = 0; i < 3; ++i) known.run(b, 7, work);
  CHECK(calls == 6);
  CHECK_CLOSE(y, vector{9.f}, 0);
}

TEST_CASE_TEMPLATE("graph_cache: a launch returns the value returned during capture", B,
                   MQL4GREC_TEST_DEVICE_BACKENDS) {
  B b;
  graph_cache<B, int, int> known("a test");
  int calls = 0;
  for (int const expected : {1, 2, 2, 2}) CHECK(known.run(b, 7, [&] { return ++calls; }) == expected);
}

TEST_CASE_TEMPLATE("graph_cache: one key too many takes the place of the one that was run longest ago", B,
                   MQL4GREC_TEST_DEVICE_BACKENDS) {
  B b;
  graph_cache<B, int> known("a test");
  int calls = 0;
  auto const called_for = [&](int key) {
    int const before = calls;
    known.run(b, key, [&] { ++calls; });
    return calls > before;
  };
  for (int key = 0; key < 256; ++key) CHECK(called_for(key));
  CHECK(called_for(0));  // is captured
  CHECK(called_for(256));
  CHECK_FALSE(called_for(0));
  CHECK(called_for(1));  // as the first time
  CHECK(called_for(1));
  CHECK_FALSE(called_for(1));
}

TEST_CASE_TEMPLATE("capture: an exception of the work is rethrown unchanged, and the backend remains usable", B,
                   MQL4GREC_TEST_DEVICE_BACKENDS) {
  B b;
  auto y = on(b, vector{0.f});
  CHECK_THROWS_WITH_AS(capture(b, "a test", [&] { raise("no more"); }), "no more", error);
  fill<float>(b, y, 3);
  CHECK_CLOSE(y, vector{3.f}, 0);
}

TEST_CASE_TEMPLATE("graph_cache: work that fails at first or during capture is executed directly the next time", B,
                   MQL4GREC_TEST_DEVICE_BACKENDS) {
  B b;
  graph_cache<B, int> known("a test");
  auto y = on(b, vector{0.f});
  int calls = 0;
  auto const work = [&](int failing) {
    known.run(b, 7, [&] {
      if (++calls == failing) raise("no memory");
      scratch_scope<B> const scope(b.scratch());
      auto const one = take<float>(b, 1);
      fill<float>(b, one, 1);
      accumulate<float>(b, one, y);
    });
  };
  CHECK_THROWS_WITH_AS(work(1), "no memory", error);
  work(0);
  CHECK_THROWS_WITH_AS(work(3), "no memory", error);
  for (int i = 0; i < 3; ++i) work(0);
  CHECK(calls == 5);
  CHECK_CLOSE(y, vector{4.f}, 0);
}

TEST_CASE_TEMPLATE("capture: uploads and downloads are refused during capture", B, MQL4GREC_TEST_DEVICE_BACKENDS) {
  B b;
  auto y = on(b, vector{0.f});
  sum_of_squares<float>(b, in_vector<B, float>(y));  // allocates scratch
  CHECK_THROWS_WITH_AS(capture(b, "a test", [&] { upload<float>(b, vector{1.f}, y); }),
                       "upload: captured work can't receive new values from the host", error);
  CHECK_THROWS_WITH_AS(capture(b, "a test", [&] { sum_of_squares<float>(b, in_vector<B, float>(y)); }),
                       "download: the host can't wait for work that is only captured", error);
  CHECK_THROWS_AS(capture(b, "a test", [&] { b.template allocate<float>(3); }), error);
  CHECK_THROWS_AS(capture(b, "a test", [&] { fetched(y); }), error);
  auto const nothing = capture(b, "a test", [] {});
  CHECK_THROWS_WITH_AS(capture(b, "a test", [&] { nothing.launch(b); }),
                       "launch: work that is captured can't launch a graph", error);
  CHECK_THROWS_WITH_AS(capture(b, "a test", [&] { capture(b, "another", [] {}); }),
                       "capture: work that is captured can't capture other work", error);
  CHECK_CLOSE(y, vector{0.f}, 0);
}

#if !defined(NDEBUG)
TEST_CASE_TEMPLATE("graph_cache: builds with assertions reject a second backend", B, MQL4GREC_TEST_DEVICE_BACKENDS) {
  B b, other;
  graph_cache<B, int> known("a test");
  known.run(b, 7, [] {});
  CHECK_THROWS_WITH_AS(known.run(other, 7, [] {}), "a test: a graph cache is used with two backends", error);
  known.run(b, 7, [] {});
}

TEST_CASE_TEMPLATE("graph_cache: builds with assertions reject work that keeps scratch memory after it returns", B,
                   MQL4GREC_TEST_DEVICE_BACKENDS) {
  B b;
  graph_cache<B, int> known("a test");
  char const* const refused = "a test: the work keeps scratch memory beyond its end";
  auto const keeps = [&] { take<float>(b, 2); };
  scratch_scope<B> const all(b.scratch());
  take<float>(b, 1);
  for (int i = 0; i < 2; ++i) {
    scratch_scope<B> const scope(b.scratch());
    CHECK_THROWS_WITH_AS(known.run(b, 7, keeps), refused, error);  // as the first run
  }
  scratch_scope<B> const scope(b.scratch());
  known.run(b, 8, [] {});
  CHECK_THROWS_WITH_AS(known.run(b, 8, keeps), refused, error);  // while it is captured
}
#endif
#endif
