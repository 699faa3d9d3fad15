#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/gradient.hpp"
#include "support/sizes.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

TEST_CASE_TEMPLATE("add_to_rows: adds the multiple of the vector to every row, in place or not", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const v = on(b, vector{1.f, -2.f});
  auto const rows = matrix{{1.f, 1.f}, {-3.f, 5.f}};
  auto const x = on(b, rows);
  auto y = poisoned<float>(b, {2, 2}), own = on(b, rows);
  add_to_rows<float>(b, -2, v, x, y);
  CHECK_CLOSE(y, matrix{{-1.f, 5.f}, {-5.f, 9.f}}, 0);
  CHECK_CLOSE(x, rows, 0);
  add_to_rows<float>(b, -2, v, *std::as_const(own), own);
  CHECK_CLOSE(own, matrix{{-1.f, 5.f}, {-5.f, 9.f}}, 0);
}

TEST_CASE_TEMPLATE("add_to_rows: adding reverses subtracting where nothing rounds", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const v = on(b, vector{4.f, 0.5f, 1024.f});
  auto const rows = matrix{{1.f, 2.f, 3.f}, {-8.f, 0.25f, 0.f}};
  auto x = on(b, rows);
  add_to_rows<float>(b, -1, v, *std::as_const(x), x);
  CHECK_CLOSE(x, matrix{{-3.f, 1.5f, -1021.f}, {-12.f, -0.25f, -1024.f}}, 0);
  add_to_rows<float>(b, 1, v, *std::as_const(x), x);
  CHECK_CLOSE(x, rows, 0);
}

TEST_CASE_TEMPLATE("add_to_rows: equals the reference at edge-case sizes", S, MQL4GREC_TEST_FAST_SETTINGS) {
  using T = typename S::scalar;
  typename S::backend fast;
  reference::backend exact;
  for_each_shape([&](index_t rows, index_t d, index_t gap) {
    auto const moved = [&](auto& b) {
      auto const v = on(b, random_normal<T>(d, 2));
      auto const x = on(b, random_normal<T>({rows, d}, 1), gap);
      auto y = poisoned<T>(b, {rows, d}, gap);
      add_to_rows<T>(b, 0.7, v, x, y);
      CHECK(y.gaps_untouched());
      return fetched(y);
    };
    CHECK_CLOSE(moved(fast), moved(exact), (tolerance<typename S::backend, T>));
  });
}
