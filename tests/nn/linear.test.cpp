#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/gradient.hpp"

#include "mql4grec/nn/linear.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

TEST_CASE_TEMPLATE("linear: multiplies by the transposed weight, as PyTorch stores it", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  auto y = poisoned<float>(b, {1, 3});
  nn::linear<float>(b, on(b, matrix{{1.f, 2.f}}), on(b, matrix{{1.f, 0.f}, {0.f, 1.f}, {3.f, 4.f}}), y, 2);
  CHECK_CLOSE(y, matrix{{2.f, 4.f, 22.f}}, 1e-6);
}

TEST_CASE("linear: gradients are the derivatives; the input's is overwritten, the weight's is accumulated") {
  reference::backend b;
  auto const x = random_normal({3, 4}, 1), weight = random_normal({2, 4}, 2), dy = random_normal({3, 2}, 3);
  auto dx = poisoned<double>(b, {3, 4}), dweight = on(b, constant({2, 4}, 0.));
  nn::linear_input_gradient<double>(b, dy, weight, dx, 0.5);
  nn::linear_weight_gradient<double>(b, x, dy, dweight, 0.5);
  auto const loss = [&](matrix<complex> const& at_x, matrix<complex> const& at_weight) {
    auto y = poisoned<complex>(b, {3, 2});
    nn::linear<complex>(b, at_x, at_weight, y, 0.5);
    return inner_product<complex>(*y, as<complex>(dy));
  };
  CHECK(gradient_error([&](auto const& moved) { return loss(moved, as<complex>(weight)); }, x, dx) < 1e-12);
  CHECK(gradient_error([&](auto const& moved) { return loss(as<complex>(x), moved); }, weight, dweight) < 1e-12);
  auto const once = numbers_of(dweight);
  nn::linear_weight_gradient<double>(b, x, dy, dweight, 0.5);
  for (std::size_t i = 0; i < once.values.size(); ++i)
    CHECK_CLOSE(numbers_of(dweight).values[i], 2 * once.values[i], 1e-12);
}
