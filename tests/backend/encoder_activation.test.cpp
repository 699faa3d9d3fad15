#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/instruction_sets.hpp"
#include "support/sizes.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

// the expected values are those of torch 2.15 in double precision

TEST_CASE_TEMPLATE("gelu: equals values of PyTorch", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  auto h = on(backend, matrix{{-3.f, -1.f, -0.1f, 0.f, 0.5f, 1.f, 3.f}});
  gelu_forward<float>(backend, h);
  CHECK_CLOSE(h, matrix{{-0.00404969409f, -0.158655254f, -0.0460172163f, 0.f, 0.345731231f, 0.841344746f, 2.99595031f}},
              1e-6);
}

TEST_CASE_TEMPLATE("quick_gelu: equals values of PyTorch", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  auto h = on(backend, matrix{{-3.f, -1.f, -0.1f, 0.f, 0.5f, 1.f, 3.f}});
  quick_gelu_forward<float>(backend, h);
  CHECK_CLOSE(h, matrix{{-0.0180713097f, -0.154204234f, -0.0457552419f, 0.f, 0.350388437f, 0.845795766f, 2.98192869f}},
              1e-6);
}

TEST_CASE_TEMPLATE("swiglu: multiplies SiLU of the first half by the second half", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  auto h = poisoned<float>(backend, {1, 3});
  swiglu_forward<float>(backend, on(backend, matrix{{1.f, -2.f, 0.f, 10.f, 3.f, 5.f}}), h);
  CHECK_CLOSE(h, matrix{{7.31058579f, -0.715217532f, 0.f}}, 1e-6);
}

TEST_CASE_TEMPLATE("activations of encoders: far from zero they are the identity or zero", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  auto gelu = on(backend, matrix{{-1e4f, -20.f, 20.f, 1e4f}}), quick = on(backend, matrix{{-1e4f, -60.f, 60.f, 1e4f}});
  auto silu = poisoned<float>(backend, {1, 2});
  gelu_forward<float>(backend, gelu);
  quick_gelu_forward<float>(backend, quick);
  swiglu_forward<float>(backend, on(backend, matrix{{-1e4f, 1e4f, 1.f, 1.f}}), silu);
  CHECK_CLOSE(gelu, matrix{{0.f, 0.f, 20.f, 1e4f}}, 1e-6);
  CHECK_CLOSE(quick, matrix{{0.f, 0.f, 60.f, 1e4f}}, 1e-6);
  CHECK_CLOSE(silu, matrix{{0.f, 1e4f}}, 1e-6);
}

namespace {
struct results {
  numbers gelu, quick, swiglu;
};

template <class T, class B>
results activated(B& b, index_t rows, index_t f, index_t gap) {
  auto gates = random_normal<T>({rows, 2 * f}, 1);
  for (T& gate : gates.values) gate *= 3;  // beyond where erf is 1
  matrix<T> half({rows, f}, std::vector<T>(gates.values.begin(), gates.values.begin() + rows * f));
  auto gelu = on(b, half, gap), quick = on(b, half, gap), h = poisoned<T>(b, {rows, f}, gap);
  gelu_forward<T>(b, gelu);
  quick_gelu_forward<T>(b, quick);
  swiglu_forward<T>(b, on(b, gates, gap), h);
  CHECK((gelu.gaps_untouched() && quick.gaps_untouched() && h.gaps_untouched()));
  return {numbers_of(gelu), numbers_of(quick), numbers_of(h)};
}
}  // namespace

TEST_CASE_TEMPLATE("activations of encoders: equal the reference at edge-case sizes, with every instruction set", S,
                   MQL4GREC_TEST_FAST_SETTINGS) {
  using T = typename S::scalar;
  constexpr double allowed = tolerance<typename S::backend, T>;
  typename S::backend fast;
  reference::backend exact;
  for_each_shape([&](index_t rows, index_t f, index_t gap) {
    auto const expected = activated<T>(exact, rows, f, gap);
    for_each_instruction_set([&] {
      auto const actual = activated<T>(fast, rows, f, gap);
      CHECK_CLOSE(actual.gelu, expected.gelu, allowed);
      CHECK_CLOSE(actual.quick, expected.quick, allowed);
      CHECK_CLOSE(actual.swiglu, expected.swiglu, allowed);
    });
  });
}
