#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/gradient.hpp"
#include "support/instruction_sets.hpp"
#include "support/sizes.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
constexpr dropout none{}, some{.rate = 0.3, .seed = 9, .step = 2, .site = 5, .first_row = 40};

struct passes {
  numbers h, gradient;
};

template <class T, class B>
passes relu(B& b, dropout site, index_t rows, index_t f, index_t gap) {
  auto h = on(b, random_normal<T>({rows, f}, 1), gap), dh = on(b, random_normal<T>({rows, f}, 2), gap);
  relu_forward<T>(b, site, h);
  relu_backward<T>(b, site, h, dh);
  CHECK((h.gaps_untouched() && dh.gaps_untouched()));
  return {numbers_of(h), numbers_of(dh)};
}

template <class T, class B>
passes gated_gelu(B& b, dropout site, index_t rows, index_t f, index_t gap) {
  auto const gates = on(b, random_normal<T>({rows, 2 * f}, 1), gap);
  auto h = poisoned<T>(b, {rows, f}, gap), dh = on(b, random_normal<T>({rows, f}, 2), gap),
       dgates = poisoned<T>(b, {rows, 2 * f}, gap);
  gated_gelu_forward<T>(b, site, gates, h);
  gated_gelu_backward<T>(b, site, gates, dh, dgates);
  CHECK((h.gaps_untouched() && dgates.gaps_untouched()));
  return {numbers_of(h), numbers_of(dgates)};
}

template <class T>
T weighed_gated_gelu(dropout site, matrix<T> const& gates, matrix<T> const& weights) {
  reference::backend b;
  auto h = poisoned<T>(b, weights.extents());
  gated_gelu_forward<T>(b, site, gates, h);
  return inner_product<T>(*h, weights);
}
}  // namespace

TEST_CASE_TEMPLATE("relu: passes positive entries and their gradients only", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  auto h = on(backend, matrix{{-1.f, 0.f, 2.f}}), dh = on(backend, matrix{{5.f, 6.f, 7.f}});
  relu_forward<float>(backend, none, h);
  CHECK_CLOSE(h, matrix{{0.f, 0.f, 2.f}}, 0);
  relu_backward<float>(backend, none, h, dh);
  CHECK_CLOSE(dh, matrix{{0.f, 0.f, 7.f}}, 0);
}

TEST_CASE_TEMPLATE("relu: dropout is the same in forward and backward", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  auto h = on(backend, constant({20, 130}, 1.f)), dh = on(backend, constant({20, 130}, 1.f));
  relu_forward<float>(backend, some, h);
  relu_backward<float>(backend, some, h, dh);
  CHECK_CLOSE(dh, h, 1e-6);
  CHECK(fetched(h)(3, 129) == (keeps(some, 3, 129) ? static_cast<float>(some.scale()) : 0.f));
}

TEST_CASE_TEMPLATE("gated_gelu: equals gelu of the gate times the linear branch", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  auto h = poisoned<float>(backend, {1, 3});
  gated_gelu_forward<float>(backend, none, on(backend, matrix{{1.f, -1.f, 0.f, 1.f, 10.f, 5.f}}), h);
  CHECK_CLOSE(h, matrix{{0.841192f, -1.58808f, 0.f}}, 1e-6);
}

TEST_CASE_TEMPLATE("gated_gelu: far from zero it is the linear branch times the gate, or zero", B,
                   MQL4GREC_TEST_BACKENDS) {
  B backend;
  auto const gates = on(backend, matrix{{50.f, -50.f, 3.f, 3.f}});
  auto h = poisoned<float>(backend, {1, 2}), dh = on(backend, constant({1, 2}, 1.f)),
       dgates = poisoned<float>(backend, {1, 4});
  gated_gelu_forward<float>(backend, none, gates, h);
  gated_gelu_backward<float>(backend, none, gates, dh, dgates);
  CHECK_CLOSE(h, matrix{{150.f, 0.f}}, 1e-6);
  CHECK_CLOSE(dgates, matrix{{3.f, 0.f, 50.f, 0.f}}, 1e-6);
}

TEST_CASE_TEMPLATE("activations: equal the reference at edge-case sizes, with every instruction set", S,
                   MQL4GREC_TEST_FAST_SETTINGS) {
  using T = typename S::scalar;
  constexpr double allowed = tolerance<typename S::backend, T>;
  typename S::backend fast;
  reference::backend exact;
  for (dropout site : {none, some})
    for_each_shape([&](index_t rows, index_t f, index_t gap) {
      auto const rectified = relu<T>(exact, site, rows, f, gap), gated = gated_gelu<T>(exact, site, rows, f, gap);
      for_each_instruction_set([&] {
        auto const [h, dh] = relu<T>(fast, site, rows, f, gap);
        CHECK_CLOSE(h, rectified.h, allowed);
        CHECK_CLOSE(dh, rectified.gradient, allowed);
        auto const [g, dgates] = gated_gelu<T>(fast, site, rows, f, gap);
        CHECK_CLOSE(g, gated.h, allowed);
        CHECK_CLOSE(dgates, gated.gradient, allowed);
      });
    });
}

TEST_CASE("gated_gelu: backward is the derivative of forward, with and without dropout") {
  reference::backend b;
  for (dropout site : {none, some}) {
    auto const gates = random_normal({3, 10}, 1), weights = random_normal({3, 5}, 2);
    auto dh = on(b, weights), dgates = poisoned<double>(b, {3, 10});
    gated_gelu_backward<double>(b, site, gates, dh, dgates);
    auto const of_gates = [&](auto const& moved) { return weighed_gated_gelu(site, moved, as<complex>(weights)); };
    CHECK(gradient_error(of_gates, gates, dgates) < 1e-12);
  }
}

TEST_CASE("relu: backward is the derivative of forward, away from zero") {
  reference::backend b;
  for (dropout site : {none, some}) {
    auto const x = random_normal({4, 6}, 1), weights = random_normal({4, 6}, 2);
    auto h = on(b, x), dh = on(b, weights);
    relu_forward<double>(b, site, h);
    relu_backward<double>(b, site, h, dh);
    auto const of_x = [&](auto const& moved) {
      auto y = on(b, moved);
      relu_forward<complex>(b, site, y);
      return inner_product<complex>(*y, as<complex>(weights));
    };
    CHECK(gradient_error(of_x, x, dh) < 1e-12);
  }
}
