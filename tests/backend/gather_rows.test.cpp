#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/sizes.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

TEST_CASE_TEMPLATE("gather_rows: the requested rows in the requested order, with repetitions", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const from = on(b, matrix{{1.f, 2.f}, {3.f, 4.f}, {5.f, 6.f}});
  auto to = poisoned<float>(b, {4, 2});
  gather_rows<float>(b, from, on(b, vector<index_t>{2, 0, 2, 1}), to);
  CHECK_CLOSE(to, matrix{{5.f, 6.f}, {1.f, 2.f}, {5.f, 6.f}, {3.f, 4.f}}, 0);
}

TEST_CASE_TEMPLATE("gather_rows: equals the reference at edge-case sizes", S, MQL4GREC_TEST_FAST_SETTINGS) {
  using T = typename S::scalar;
  typename S::backend fast;
  reference::backend exact;
  for_each_shape([&](index_t rows, index_t d, index_t gap) {
    auto const all = [&](auto& b) {
      auto const from = on(b, random_normal<T>({rows, d}, 1), gap);
      std::vector<index_t> which;
      for (index_t i = 0; i < 2 * rows; ++i) which.push_back(i * 7 % rows);
      auto to = poisoned<T>(b, {2 * rows, d}, gap);
      gather_rows<T>(b, from, on(b, vector<index_t>(std::move(which))), to);
      CHECK(to.gaps_untouched());
      return numbers_of(to);
    };
    CHECK_CLOSE(all(fast), all(exact), 0);
  });
}
