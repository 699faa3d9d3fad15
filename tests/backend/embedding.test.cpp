#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/sizes.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
vector<token_t> const tokens{token_t{2}, token_t{0}, token_t{2}};
}

TEST_CASE_TEMPLATE("embedding: gathers the rows of the tokens", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  auto y = poisoned<float>(backend, {3, 2});
  embedding_forward<float>(backend, on(backend, matrix{{1.f, 2.f}, {3.f, 4.f}, {5.f, 6.f}}), on(backend, tokens), y);
  CHECK_CLOSE(y, matrix{{5.f, 6.f}, {1.f, 2.f}, {5.f, 6.f}}, 0);
}

TEST_CASE_TEMPLATE("embedding: a row's gradient is summed over the positions of its token", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  auto dtable = on(backend, constant({3, 2}, 1.f));
  embedding_backward<float>(backend, on(backend, tokens), on(backend, matrix{{1.f, 2.f}, {10.f, 20.f}, {100.f, 200.f}}),
                            dtable);
  CHECK_CLOSE(dtable, matrix{{11.f, 21.f}, {1.f, 1.f}, {102.f, 203.f}}, 0);
}

TEST_CASE_TEMPLATE("embedding: equals the reference at edge-case sizes", S, MQL4GREC_TEST_FAST_SETTINGS) {
  using T = typename S::scalar;
  auto const both_passes = [](auto& b, index_t n, index_t d, index_t gap) {
    auto const named = on(b, random_tokens(n, 7, 5));
    auto const table = on(b, random_normal<T>({7, d}, 1), gap), dy = on(b, random_normal<T>({n, d}, 2), gap);
    auto y = poisoned<T>(b, {n, d}, gap), dtable = on(b, random_normal<T>({7, d}, 3), gap);
    embedding_forward<T>(b, table, named, y);
    embedding_backward<T>(b, named, dy, dtable);
    CHECK((y.gaps_untouched() && dtable.gaps_untouched()));
    return std::pair{numbers_of(y), numbers_of(dtable)};
  };
  typename S::backend fast;
  reference::backend exact;
  for_each_shape([&](index_t n, index_t d, index_t gap) {
    auto const [y, dtable] = both_passes(fast, n, d, gap);
    auto const [expected_y, expected_dtable] = both_passes(exact, n, d, gap);
    CHECK_CLOSE(y, expected_y, 0);
    CHECK_CLOSE(dtable, expected_dtable, tolerance<typename S::backend, T>);
  });
}
