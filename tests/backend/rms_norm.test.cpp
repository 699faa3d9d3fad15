#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/gradient.hpp"
#include "support/instruction_sets.hpp"
#include "support/sizes.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

TEST_CASE_TEMPLATE("rms_norm: a row of equal entries is mapped to the gain", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  auto const gain = on(backend, vector{1.f, 2.f, 3.f});
  auto y = poisoned<float>(backend, {2, 3});
  auto inv_rms = poisoned<float>(backend, 2);
  rms_norm_forward<float>(backend, {on(backend, constant({2, 3}, 5.f)), gain}, 0, y, inv_rms);
  CHECK_CLOSE(y, matrix{{1.f, 2.f, 3.f}, {1.f, 2.f, 3.f}}, 1e-6);
  CHECK_CLOSE(inv_rms, vector{0.2f, 0.2f}, 1e-6);
}

TEST_CASE_TEMPLATE("rms_norm: scaling a row changes nothing but its inverse root mean square", B,
                   MQL4GREC_TEST_BACKENDS) {
  B backend;
  auto const gain = on(backend, constant(2, 1.f));
  auto y = poisoned<float>(backend, {2, 2});
  auto inv_rms = poisoned<float>(backend, 2);
  rms_norm_forward<float>(backend, {on(backend, matrix{{3.f, 4.f}, {30.f, 40.f}}), gain}, 0, y, inv_rms);
  CHECK_CLOSE((*y).row(0), (*y).row(1), 1e-6);
  CHECK_CLOSE(inv_rms, vector{std::sqrt(2.f) / 5, std::sqrt(2.f) / 50}, 1e-6);
}

TEST_CASE_TEMPLATE("rms_norm: a row of zeros stays finite because of eps", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  auto y = poisoned<float>(backend, {1, 4});
  auto inv_rms = poisoned<float>(backend, 1);
  rms_norm_forward<float>(backend, {on(backend, constant({1, 4}, 0.f)), on(backend, constant(4, 1.f))}, 1e-6, y,
                          inv_rms);
  CHECK_CLOSE(y, constant({1, 4}, 0.f), 0);
  CHECK_CLOSE(inv_rms, vector{1000.f}, 1e-5);
}

namespace {
struct passes {
  numbers y, inv_rms, dx, dgain;
};

template <class T, class B>
passes both_passes(B& b, index_t rows, index_t d, index_t gap) {
  auto const x = on(b, random_normal<T>({rows, d}, 1), gap), dy = on(b, random_normal<T>({rows, d}, 3), gap);
  auto const gain = on(b, random_normal<T>(d, 2));
  auto y = poisoned<T>(b, {rows, d}, gap), dx = poisoned<T>(b, {rows, d}, gap);
  auto inv_rms = poisoned<T>(b, rows);
  auto dgain = on(b, random_normal<T>(d, 4));  // accumulated
  rms_norm_forward<T>(b, {x, gain}, 1e-6, y, inv_rms);
  rms_norm_backward<T>(b, {x, gain}, inv_rms, dy, {dx, dgain});
  CHECK((y.gaps_untouched() && dx.gaps_untouched()));
  return {numbers_of(y), numbers_of(inv_rms), numbers_of(dx), numbers_of(dgain)};
}

/// Σ weights ∘ rms_norm(x), for any Field.
template <class T>
T weighed_sum(matrix<T> const& x, vector<T> const& gain, matrix<T> const& weights) {
  reference::backend b;
  auto y = poisoned<T>(b, x.extents());
  auto inv_rms = poisoned<T>(b, x.rows());
  rms_norm_forward<T>(b, {x, gain}, 1e-6, y, inv_rms);
  return inner_product<T>(*y, weights);
}
}  // namespace

// example-begin equals_the_reference
TEST_CASE_TEMPLATE("rms_norm: equals the reference at edge-case sizes, with every instruction set", S,
                   MQL4GREC_TEST_FAST_SETTINGS) {
  using T = typename S::scalar;
  constexpr double allowed = tolerance<typename S::backend, T>;
  typename S::backend fast;
  reference::backend exact;
  for_each_shape([&](index_t rows, index_t d, index_t gap) {
    auto const expected = both_passes<T>(exact, rows, d, gap);
    for_each_instruction_set([&] {
      auto const actual = both_passes<T>(fast, rows, d, gap);
      CHECK_CLOSE(actual.y, expected.y, allowed);
      CHECK_CLOSE(actual.inv_rms, expected.inv_rms, allowed);
      CHECK_CLOSE(actual.dx, expected.dx, allowed);
      CHECK_CLOSE(actual.dgain, expected.dgain, allowed);
    });
  });
}
// example-end equals_the_reference

TEST_CASE("rms_norm: backward is the derivative of forward") {
  reference::backend b;
  auto const x = random_normal({3, 5}, 1), dy = random_normal({3, 5}, 3);
  auto const gain = random_normal(5, 2);
  auto y = poisoned<double>(b, {3, 5}), dx = poisoned<double>(b, {3, 5});
  auto inv_rms = poisoned<double>(b, 3);
  auto dgain = on(b, constant(5, 0.));
  rms_norm_forward<double>(b, {x, gain}, 1e-6, y, inv_rms);
  rms_norm_backward<double>(b, {x, gain}, inv_rms, dy, {dx, dgain});
  auto const of_x = [&](auto const& moved) { return weighed_sum(moved, as<complex>(gain), as<complex>(dy)); };
  auto const of_gain = [&](auto const& moved) { return weighed_sum(as<complex>(x), moved, as<complex>(dy)); };
  CHECK(gradient_error(of_x, x, dx) < 1e-12);
  CHECK(gradient_error(of_gain, gain, dgain) < 1e-12);
}
