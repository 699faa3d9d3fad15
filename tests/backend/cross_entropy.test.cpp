#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/gradient.hpp"
#include "support/instruction_sets.hpp"
#include "support/sizes.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

TEST_CASE_TEMPLATE("cross_entropy: equal logits over V tokens have a loss of log V", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  auto const targets = on(backend, vector{token_t{0}, token_t{99}});
  auto losses = poisoned<float>(backend, 2);
  cross_entropy_forward<float>(backend, on(backend, constant({2, 100}, -3.f)), targets, losses);
  CHECK_CLOSE(losses, constant(2, std::log(100.f)), 1e-6);
}

TEST_CASE_TEMPLATE("cross_entropy: adding a number to a row changes nothing, however large it is", B,
                   MQL4GREC_TEST_BACKENDS) {
  B backend;
  auto const targets = on(backend, vector{token_t{1}, token_t{1}, token_t{1}});
  auto losses = poisoned<float>(backend, 3);
  cross_entropy_forward<float>(backend, on(backend, matrix{{0.f, 1.f}, {1000.f, 1001.f}, {-1000.f, -999.f}}), targets,
                               losses);
  CHECK_CLOSE(losses, constant(3, 0.3132617f), 1e-4);
}

TEST_CASE_TEMPLATE("cross_entropy: a token with a negligible probability has a finite loss", B,
                   MQL4GREC_TEST_BACKENDS) {
  B backend;
  auto logits = on(backend, matrix{{0.f, 500.f}});
  auto losses = poisoned<float>(backend, 1);
  cross_entropy_backward<float>(backend, on(backend, vector{token_t{0}}), 1, logits, losses);
  CHECK_CLOSE(losses, vector{500.f}, 1e-6);
  CHECK_CLOSE(logits, matrix{{-1.f, 1.f}}, 1e-6);
}

TEST_CASE_TEMPLATE("cross_entropy: a row's gradient is softmax minus one-hot, times the scale, and sums to zero", B,
                   MQL4GREC_TEST_BACKENDS) {
  B backend;
  auto logits = on(backend, matrix{{std::log(1.f), std::log(2.f), std::log(5.f)}});
  auto losses = poisoned<float>(backend, 1);
  cross_entropy_backward<float>(backend, on(backend, vector{token_t{1}}), 0.5, logits, losses);
  CHECK_CLOSE(losses, vector{std::log(4.f)}, 1e-6);
  CHECK_CLOSE(logits, matrix{{0.0625f, -0.375f, 0.3125f}}, 1e-6);
}

TEST_CASE_TEMPLATE("log_sum_exp: one entry gives the entry, n equal entries log n more", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  for (index_t n : edge_widths) {
    auto out = poisoned<float>(backend, 2);
    log_sum_exp<float>(backend, on(backend, constant({2, n}, -7.f)), out);
    CHECK_CLOSE(out, constant(2, std::log(static_cast<float>(n)) - 7), 1e-6);
  }
}

namespace {
struct passes {
  numbers normalisers, losses, same_losses, gradient;
};

template <class T, class B>
passes all_passes(B& b, index_t rows, index_t vocabulary, index_t gap) {
  auto logits = on(b, random_normal<T>({rows, vocabulary}, 1), gap);
  auto const targets = on(b, random_tokens(rows, vocabulary, 2));
  auto normalisers = poisoned<T>(b, rows), losses = poisoned<T>(b, rows), same = poisoned<T>(b, rows);
  log_sum_exp<T>(b, logits, normalisers);
  cross_entropy_forward<T>(b, logits, targets, losses);
  cross_entropy_backward<T>(b, targets, 0.25, logits, same);
  CHECK(logits.gaps_untouched());
  return {numbers_of(normalisers), numbers_of(losses), numbers_of(same), numbers_of(logits)};
}
}  // namespace

TEST_CASE_TEMPLATE("cross_entropy: equals the reference at edge-case sizes, with every instruction set", S,
                   MQL4GREC_TEST_FAST_SETTINGS) {
  using T = typename S::scalar;
  constexpr double allowed = tolerance<typename S::backend, T>;
  typename S::backend fast;
  reference::backend exact;
  for_each_shape([&](index_t rows, index_t vocabulary, index_t gap) {
    auto const expected = all_passes<T>(exact, rows, vocabulary, gap);
    for_each_instruction_set([&] {
      auto const actual = all_passes<T>(fast, rows, vocabulary, gap);
      CHECK_CLOSE(actual.normalisers, expected.normalisers, allowed);
      CHECK_CLOSE(actual.losses, expected.losses, allowed);
      CHECK_CLOSE(actual.gradient, expected.gradient, allowed);
      CHECK_CLOSE(actual.same_losses, actual.losses, 0);
    });
  });
}

TEST_CASE("cross_entropy: backward is the derivative of forward") {
  reference::backend b;
  auto const logits = random_normal({3, 7}, 1);
  auto const targets = random_tokens(3, 7, 2);
  auto gradient = on(b, logits);
  auto losses = poisoned<double>(b, 3);
  cross_entropy_backward<double>(b, targets, 0.5, gradient, losses);
  auto const half_of_the_sum = [&](auto const& moved) {
    auto each = poisoned<complex>(b, 3);
    cross_entropy_forward<complex>(b, moved, targets, each);
    return inner_product<complex>(*each, constant(3, complex(0.5)));
  };
  CHECK(gradient_error(half_of_the_sum, logits, gradient) < 1e-12);
}

TEST_CASE_TEMPLATE("cross_entropy: a row without a target has no loss and no gradient", S,
                   MQL4GREC_TEST_FAST_SETTINGS) {
  using T = typename S::scalar;
  typename S::backend backend;
  T const nan = std::numeric_limits<T>::quiet_NaN();
  auto const targets = on(backend, vector{token_t{1}, no_target, no_target, token_t{0}});
  matrix<T> const scores = {{1, 2, 3}, {4, 5, 6}, {nan, nan, nan}, {7, 8, 9}};
  auto losses = poisoned<T>(backend, 4);
  auto logits = on(backend, scores);
  cross_entropy_forward<T>(backend, logits, targets, losses);
  auto const forward = fetched(losses);
  for (index_t i : {1, 2}) CHECK(forward(i) == 0);
  cross_entropy_backward<T>(backend, targets, 1, logits, losses);
  CHECK_CLOSE(losses, forward, 1e-6);
  auto const gradient = fetched(logits);
  for (index_t i = 0; i < 4; ++i)
    for (index_t j = 0; j < 3; ++j) CHECK((gradient(i, j) == 0) == (i == 1 || i == 2));
}
