#include "mql4grec/nn/dense.hpp"

#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/gradient.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
template <class T>
T weighed(matrix<T> const& x, matrix<T> const& weight, vector<T> const& bias, nn::rectifier end, matrix<T> const& weights) {
  reference::backend b;
  auto y = poisoned<T>(b, weights.extents());
  nn::dense<T>(b, x, {weight, bias}, end, y);
  return inner_product<T>(*y, weights);
}
}  // namespace

TEST_CASE_TEMPLATE("dense: is a linear map and a bias, rectified where that is asked for", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  matrix const x{{1.f, 2.f}}, weight{{1.f, 1.f}, {-3.f, 0.f}, {0.f, 1.f}};
  vector const bias{0.5f, 1.f, -9.f};
  auto y = poisoned<float>(backend, {1, 3});
  nn::dense<float>(backend, x, {weight, bias}, nn::rectifier::none, y);
  CHECK_CLOSE(y, matrix{{3.5f, -2.f, -7.f}}, 1e-6);
  nn::dense<float>(backend, x, {weight, bias}, nn::rectifier::relu, y);
  CHECK_CLOSE(y, matrix{{3.5f, 0.f, 0.f}}, 1e-6);
}

TEST_CASE("dense: backward is the derivative of forward, in x, weight and bias") {
  for (auto const end : {nn::rectifier::none, nn::rectifier::relu}) {
    reference::backend b;
    auto const x = random_normal({4, 3}, 1), weight = random_normal({5, 3}, 2), weights = random_normal({4, 5}, 3);
    auto const bias = random_normal(5, 4);
    auto y = poisoned<double>(b, {4, 5}), dx = poisoned<double>(b, {4, 3});
    auto dy = on(b, weights), dweight = on(b, constant({5, 3}, 0.));
    auto dbias = on(b, constant(5, 0.));
    nn::dense<double>(b, x, {weight, bias}, end, y);
    nn::dense_backward<double>(b, x, y, end, dy, {dweight, dbias});
    nn::linear_input_gradient<double>(b, dy, weight, dx);
    auto const f = [&](auto const& mx, auto const& mw, auto const& mb) { return weighed<complex>(mx, mw, mb, end, as<complex>(weights)); };
    CHECK(gradient_error([&](auto const& moved) { return f(moved, as<complex>(weight), as<complex>(bias)); }, x, dx) < 1e-12);
    CHECK(gradient_error([&](auto const& moved) { return f(as<complex>(x), moved, as<complex>(bias)); }, weight, dweight) < 1e-12);
    CHECK(gradient_error([&](auto const& moved) { return f(as<complex>(x), as<complex>(weight), moved); }, bias, dbias) < 1e-12);
  }
}

TEST_CASE("dense: a bias of another length is refused with both numbers") {
  reference::backend b;
  auto y = poisoned<double>(b, {4, 5});
  CHECK_THROWS_WITH_AS(nn::dense<double>(b, random_normal({4, 3}, 1), {random_normal({5, 3}, 2), random_normal(4, 1)}, nn::rectifier::none, y),
                       "dense: y has 5 columns but the bias 4 entries", error);
}
