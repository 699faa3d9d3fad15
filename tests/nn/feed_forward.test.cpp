#include "mql4grec/nn/feed_forward.hpp"

#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/sizes.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

TEST_CASE_TEMPLATE(
    "feed_forward: a linear map with ReLU equals the reference's, with and without dropout, frozen and not", S,
    MQL4GREC_TEST_FAST_SETTINGS) {
  using T = typename S::scalar;
  using B = typename S::backend;
  B fast;
  reference::backend exact;
  for (dropout const& site : {dropout{}, dropout{.rate = 0.3, .seed = 5, .step = 2, .site = 3, .first_row = 10}})
    for (index_t in : {1, 33, 64})
      for_each_shape([&](index_t rows, index_t out, index_t gap) {
        auto const x = random_normal<T>({rows, in}, 1), weight = random_normal<T>({out, in}, 2);
        auto expected = poisoned<T>(exact, {rows, out});
        matmul<T>(exact, x, weight, expected, {.transpose_b = true});
        relu_forward<T>(exact, site, expected);
        auto const of_fast = on(fast, weight, gap);
        auto h = poisoned<T>(fast, {rows, out}, gap), from_frozen = poisoned<T>(fast, {rows, out}, gap);
        nn::linear_relu<T>(fast, site, on(fast, x, gap), in_matrix<B, T>(of_fast), h);
        nn::linear_relu<T>(fast, site, on(fast, x, gap), freeze_weight<T>(fast, of_fast, 1.), from_frozen);
        CHECK_CLOSE(h, expected, tolerance<B, T>);
        CHECK_CLOSE(from_frozen, expected, tolerance<B, T>);
        CHECK((h.gaps_untouched() && from_frozen.gaps_untouched()));
      });
}

TEST_CASE_TEMPLATE("feed_forward: a linear map that doesn't fit is refused with both numbers", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const x = poisoned<float>(b, {2, 3}), weight = poisoned<float>(b, {4, 5});
  auto h = poisoned<float>(b, {2, 4});
  CHECK_THROWS_WITH_AS(nn::linear_relu<float>(b, {}, x, in_matrix<B, float>(weight), h),
                       "linear: x has 3 columns but the weight takes 5", error);
}
