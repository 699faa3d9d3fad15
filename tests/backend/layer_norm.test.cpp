#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/gradient.hpp"
#include "support/instruction_sets.hpp"
#include "support/sizes.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

TEST_CASE_TEMPLATE("layer_norm: equals a hand-computed example", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  auto y = poisoned<float>(backend, {1, 4});
  layer_norm_forward<float>(backend,
                            {on(backend, matrix{{1.f, 3.f, 5.f, 7.f}}), on(backend, vector{1.f, 2.f, 1.f, 1.f}),
                             on(backend, vector{0.f, 0.f, 10.f, 0.f})},
                            4, y);  // mean 4, variance 5, and 5 + 4 is a square
  CHECK_CLOSE(y, matrix{{-1.f, -2.f / 3, 10 + 1.f / 3, 1.f}}, 1e-6);
}

TEST_CASE_TEMPLATE("layer_norm: adding a number to a row changes nothing", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  auto y = poisoned<float>(backend, {2, 3});
  layer_norm_forward<float>(backend,
                            {on(backend, matrix{{1.f, 2.f, 4.f}, {1001.f, 1002.f, 1004.f}}),
                             on(backend, constant(3, 1.f)), on(backend, constant(3, 0.5f))},
                            1e-5, y);
  CHECK_CLOSE((*y).row(0), (*y).row(1), 1e-3);
}

TEST_CASE_TEMPLATE("layer_norm: a row of equal entries is mapped to the bias", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  auto y = poisoned<float>(backend, {1, 3});
  layer_norm_forward<float>(
      backend, {on(backend, constant({1, 3}, 7.f)), on(backend, constant(3, 1.f)), on(backend, vector{1.f, 2.f, 3.f})},
      1e-12, y);
  CHECK_CLOSE(y, matrix{{1.f, 2.f, 3.f}}, 1e-6);
}

namespace {
enum class target { other_memory, in_place };

template <class T, class B>
numbers normalized(B& b, index_t rows, index_t d, index_t gap, target to = target::other_memory) {
  auto x = on(b, random_normal<T>({rows, d}, 1), gap);
  auto const gain = on(b, random_normal<T>(d, 2)), bias = on(b, random_normal<T>(d, 3));
  auto y = poisoned<T>(b, {rows, d}, gap);
  auto& result = to == target::in_place ? x : y;
  layer_norm_forward<T>(b, {x, gain, bias}, 1e-5, result);
  CHECK(result.gaps_untouched());
  return numbers_of(result);
}
}  // namespace

TEST_CASE_TEMPLATE("layer_norm: equals the reference at edge-case sizes, with every instruction set, also in place", S,
                   MQL4GREC_TEST_FAST_SETTINGS) {
  using T = typename S::scalar;
  constexpr double allowed = 2 * tolerance<typename S::backend, T>;
  typename S::backend fast;
  reference::backend exact;
  for_each_shape([&](index_t rows, index_t d, index_t gap) {
    auto const expected = normalized<T>(exact, rows, d, gap);
    CHECK_CLOSE(normalized<T>(exact, rows, d, gap, target::in_place), expected, 0);
    for_each_instruction_set([&] {
      CHECK_CLOSE(normalized<T>(fast, rows, d, gap), expected, allowed);
      CHECK_CLOSE(normalized<T>(fast, rows, d, gap, target::in_place), expected, allowed);
    });
  });
}

TEST_CASE("layer_norm: is analytic, so that a backward pass could be verified") {
  auto const x = random_normal({1, 4}, 1);
  auto const loss = [](auto const& moved) {
    reference::backend b;
    auto y = poisoned<complex>(b, {1, 4});
    layer_norm_forward<complex>(b, {moved, as<complex>(vector{1., 2., 3., 4.}), as<complex>(constant(4, 0.))}, 1e-5, y);
    return (*y)(0, 0);
  };
  // the derivatives of a function that ignores a shift of all entries sum to zero
  double sum = 0;
  auto moved = as<complex>(x);
  for (std::size_t i = 0; i < 4; ++i) sum += derivative_at(loss, moved, i);
  CHECK(std::abs(sum) < 1e-12);
}
