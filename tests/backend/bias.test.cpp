#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/gradient.hpp"
#include "support/instruction_sets.hpp"
#include "support/sizes.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
struct passes {
  numbers linear, rectified, dbias;
};

template <class T, class B>
passes all_passes(B& b, index_t rows, index_t d, index_t gap) {
  auto const bias = on(b, random_normal<T>(d, 2));
  auto linear = on(b, random_normal<T>({rows, d}, 1), gap), rectified = on(b, random_normal<T>({rows, d}, 1), gap);
  auto const dy = on(b, random_normal<T>({rows, d}, 3), gap);
  auto dbias = on(b, random_normal<T>(d, 4));  // accumulated
  bias_forward<T>(b, bias, linear);
  bias_relu_forward<T>(b, bias, rectified);
  bias_backward<T>(b, dy, dbias);
  CHECK((linear.gaps_untouched() && rectified.gaps_untouched()));
  return {numbers_of(linear), numbers_of(rectified), numbers_of(dbias)};
}

template <class T>
T weighed_sum(matrix<T> const& x, vector<T> const& bias, matrix<T> const& weights) {
  reference::backend b;
  auto y = on(b, x);
  bias_relu_forward<T>(b, bias, y);
  return inner_product<T>(*y, weights);
}
}  // namespace

TEST_CASE_TEMPLATE("bias: is added to every row, followed by an optional ReLU", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  auto const bias = on(backend, vector{1.f, -2.f});
  auto plain = on(backend, matrix{{1.f, 1.f}, {-3.f, 5.f}}), cut = on(backend, matrix{{1.f, 1.f}, {-3.f, 5.f}});
  bias_forward<float>(backend, bias, plain);
  bias_relu_forward<float>(backend, bias, cut);
  CHECK_CLOSE(plain, matrix{{2.f, -1.f}, {-2.f, 3.f}}, 0);
  CHECK_CLOSE(cut, matrix{{2.f, 0.f}, {0.f, 3.f}}, 0);
}

TEST_CASE_TEMPLATE("bias: its gradient accumulates the sum over rows", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  auto const dy = on(backend, matrix{{10.f, 20.f}, {30.f, 40.f}});
  auto dbias = on(backend, vector{1.f, 1.f});
  bias_backward<float>(backend, dy, dbias);
  CHECK_CLOSE(dbias, vector{41.f, 61.f}, 0);
}

TEST_CASE_TEMPLATE("bias: equals the reference at edge-case sizes, with every instruction set", S,
                   MQL4GREC_TEST_FAST_SETTINGS) {
  using T = typename S::scalar;
  constexpr double allowed = tolerance<typename S::backend, T>;
  typename S::backend fast;
  reference::backend exact;
  for_each_shape([&](index_t rows, index_t d, index_t gap) {
    auto const expected = all_passes<T>(exact, rows, d, gap);
    for_each_instruction_set([&] {
      auto const actual = all_passes<T>(fast, rows, d, gap);
      CHECK_CLOSE(actual.linear, expected.linear, allowed);
      CHECK_CLOSE(actual.rectified, expected.rectified, allowed);
      CHECK_CLOSE(actual.dbias, expected.dbias, allowed);
    });
  });
}

TEST_CASE("bias: backward, after the ReLU's, is the derivative of forward") {
  reference::backend b;
  auto const x = random_normal({3, 5}, 1), weights = random_normal({3, 5}, 3);
  auto const bias = random_normal(5, 2);
  auto y = on(b, x), dx = on(b, weights);
  auto dbias = on(b, constant(5, 0.));
  bias_relu_forward<double>(b, bias, y);
  relu_backward<double>(b, dropout{}, y, dx);
  bias_backward<double>(b, dx, dbias);
  CHECK(gradient_error([&](auto const& moved) { return weighed_sum(moved, as<complex>(bias), as<complex>(weights)); },
                       x, dx) < 1e-12);
  CHECK(gradient_error([&](auto const& moved) { return weighed_sum(as<complex>(x), moved, as<complex>(weights)); },
                       bias, dbias) < 1e-12);
}
