#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/gradient.hpp"
#include "support/instruction_sets.hpp"
#include "support/sizes.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
struct passes {
  double forward_only, with_gradient;
  numbers dx, sum;
};

template <class T, class B>
passes all_passes(B& b, index_t rows, index_t d, index_t gap) {
  auto const x = on(b, random_normal<T>({rows, d}, 1), gap), target = on(b, random_normal<T>({rows, d}, 2), gap);
  auto dx = poisoned<T>(b, {rows, d}, gap), sum = on(b, random_normal<T>({rows, d}, 3), gap);
  double const forward_only = static_cast<double>(squared_error_forward<T>(b, x, target));
  auto error = poisoned<T>(b, 1);
  squared_error_backward<T>(b, x, target, 0.25, {dx, error});
  double const with_gradient = static_cast<double>(fetched(error)(0));
  add_scaled<T>(b, -1.5, x, sum);
  CHECK((dx.gaps_untouched() && sum.gaps_untouched()));
  return {forward_only, with_gradient, numbers_of(dx), numbers_of(sum)};
}
}  // namespace

TEST_CASE_TEMPLATE("squared_error: the sum of squared differences and its gradient", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  auto x = on(backend, matrix{{1.f, 2.f}, {3.f, 4.f}});
  auto const target = on(backend, matrix{{1.f, 0.f}, {6.f, 4.f}});
  CHECK_CLOSE(squared_error_forward<float>(backend, x, target), 13., 0);
  auto error = poisoned<float>(backend, 1);
  squared_error_backward<float>(backend, x, target, 2, {x, error});  // in place
  CHECK_CLOSE(error, vector{13.f}, 0);
  CHECK_CLOSE(x, matrix{{0.f, 4.f}, {-6.f, 0.f}}, 0);
}

TEST_CASE_TEMPLATE("add_scaled: adds a multiple and leaves other entries unchanged", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  auto y = on(backend, matrix{{1.f, 2.f}});
  add_scaled<float>(backend, -2, on(backend, matrix{{10.f, 1.f}}), y);
  CHECK_CLOSE(y, matrix{{-19.f, 0.f}}, 0);
}

TEST_CASE_TEMPLATE("squared_error: equals the reference at edge-case sizes, with every instruction set", S,
                   MQL4GREC_TEST_FAST_SETTINGS) {
  using T = typename S::scalar;
  constexpr double allowed = tolerance<typename S::backend, T>;
  typename S::backend fast;
  reference::backend exact;
  for_each_shape([&](index_t rows, index_t d, index_t gap) {
    auto const expected = all_passes<T>(exact, rows, d, gap);
    for_each_instruction_set([&] {
      auto const actual = all_passes<T>(fast, rows, d, gap);
      CHECK_CLOSE(actual.forward_only, expected.forward_only, allowed);
      CHECK_CLOSE(actual.with_gradient, expected.with_gradient, allowed);
      CHECK_CLOSE(actual.dx, expected.dx, allowed);
      CHECK_CLOSE(actual.sum, expected.sum, allowed);
    });
  });
}

TEST_CASE("squared_error: backward is the derivative of forward") {
  reference::backend b;
  auto const x = random_normal({3, 5}, 1), target = random_normal({3, 5}, 2);
  auto dx = poisoned<double>(b, {3, 5});
  auto error = poisoned<double>(b, 1);
  squared_error_backward<double>(b, x, target, 2, {dx, error});
  auto const f = [&](matrix<complex> const& moved) {
    reference::backend c;
    return squared_error_forward<complex>(c, moved, as<complex>(target));
  };
  CHECK(gradient_error(f, x, dx) < 1e-12);
}
