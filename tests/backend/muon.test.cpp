#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/sizes.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
/// Three updates along the direction itself; then one whose loss isn't finite.
template <class T, class B>
std::array<numbers, 2> muon_updates(B& b, index_t n) {
  auto parameters = on(b, random_normal<T>(n, 1)), momentum = on(b, constant(n, T{})),
       direction = on(b, constant(n, T{}));
  muon_update const how{.momentum = 0.9, .weight_decay = 0.05, .scale = 3};
  for (int step = 1; step <= 4; ++step) {
    auto const inputs = on(b, vector<step_inputs>{{.learning_rate = 0.1 / step, .tokens = 3, .step = step}});
    double const loss = step < 4 ? 1 : std::numeric_limits<double>::quiet_NaN();
    auto const report = on(b, vector<step_report>{{.loss = loss, .norm = 1, .gradient_scale = 0.25}});
    auto const gradient = on(b, random_normal<T>(n, 10 + static_cast<std::uint64_t>(step)));
    muon_direction<T>(b, how, {inputs, report}, {gradient, parameters, momentum, direction});
    muon_step<T>(b, how, {inputs, report}, {gradient, parameters, momentum, direction});
  }
  return {numbers_of(parameters), numbers_of(momentum)};
}
}  // namespace

TEST_CASE_TEMPLATE("muon_direction, muon_step: Nesterov momentum; nothing changes when the loss isn't finite", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  double parameter = fetched(on(b, random_normal<double>(1, 1)))(0), momentum = 0;
  for (int step = 1; step <= 3; ++step) {
    double const rate = 0.1 / step,
                 g = 0.25 * random_normal<double>(1, 10 + static_cast<std::uint64_t>(step)).values[0];
    momentum = 0.9 * momentum + g;
    parameter = (1 - rate * 0.05) * parameter - rate * 3 * (g + 0.9 * momentum);
  }
  auto const actual = muon_updates<double>(b, 1);
  CHECK_CLOSE(actual[0], vector{parameter}, 1e-14);
  CHECK_CLOSE(actual[1], vector{momentum}, 1e-14);
}

TEST_CASE_TEMPLATE("muon_direction, muon_step: equal the reference", S, MQL4GREC_TEST_FAST_SETTINGS) {
  using T = typename S::scalar;
  typename S::backend fast;
  reference::backend exact;
  for (index_t n : {0, 1, 17, 1000}) {
    auto const expected = muon_updates<T>(exact, n), actual = muon_updates<T>(fast, n);
    for (std::size_t i = 0; i < 2; ++i) CHECK_CLOSE(actual[i], expected[i], tolerance<typename S::backend, T>);
  }
}

TEST_CASE_TEMPLATE("divide_by_norm: gives a vector of norm 1; zeros stay zeros", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  auto x = on(b, vector{3., -4.}), zeros = on(b, vector{0., 0.}), squares = on(b, vector{0.});
  sum_of_squares_into<double>(b, x, squares);
  divide_by_norm<double>(b, squares, x);
  CHECK_CLOSE(x, vector{0.6, -0.8}, 1e-11);
  sum_of_squares_into<double>(b, zeros, squares);
  divide_by_norm<double>(b, squares, zeros);
  CHECK_CLOSE(zeros, vector{0., 0.}, 0);
}
