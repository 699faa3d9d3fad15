#include "mql4grec/nn/dense.hpp"

#include "support/backends.hpp"
#include "support/check_close.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

TEST_CASE_TEMPLATE("dense: is a linear map and a bias, rectified where that is asked for", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  auto const x = on(backend, matrix{{1.f, 2.f}}), weight = on(backend, matrix{{1.f, 1.f}, {-3.f, 0.f}, {0.f, 1.f}});
  auto const bias = on(backend, vector{0.5f, 1.f, -9.f});
  auto y = poisoned<float>(backend, {1, 3});
  nn::dense<float>(backend, x, {weight, bias}, nn::rectifier::none, y);
  CHECK_CLOSE(y, matrix{{3.5f, -2.f, -7.f}}, 1e-6);
  nn::dense<float>(backend, x, {weight, bias}, nn::rectifier::relu, y);
  CHECK_CLOSE(y, matrix{{3.5f, 0.f, 0.f}}, 1e-6);
}

TEST_CASE("dense: a bias of another length is refused with both numbers") {
  reference::backend b;
  auto y = poisoned<double>(b, {4, 5});
  CHECK_THROWS_WITH_AS(nn::dense<double>(b, random_normal({4, 3}, 1), {random_normal({5, 3}, 2), random_normal(4, 1)}, nn::rectifier::none, y),
                       "dense: y has 5 columns but the bias 4 entries", error);
}
