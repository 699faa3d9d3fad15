#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/sizes.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
/// Three matrices of (1, n) entries among n others, the second with half the learning rate.
matrix_group three_rows(index_t n) {
  return {.count = 3, .rows = 1, .columns = n, .offsets = {2 * n, 0, 3 * n}, .rates = {1, 0.5, 1}};
}

/// Three updates along the directions themselves; then one whose loss isn't finite.
template <class T, class B>
std::array<numbers, 2> muon_updates(B& b, index_t n) {
  auto const matrices = three_rows(n);
  auto parameters = on(b, random_normal<T>(4 * n, 1)), momentum = on(b, constant(4 * n, T{})),
       direction = on(b, constant(3 * n, T{}));
  muon_update const how{.momentum = 0.9, .weight_decay = 0.05, .scale = 3};
  for (int step = 1; step <= 4; ++step) {
    auto const inputs = on(b, vector<step_inputs>{{.learning_rate = 0.1 / step, .tokens = 3, .step = step}});
    double const loss = step < 4 ? 1 : std::numeric_limits<double>::quiet_NaN();
    auto const report = on(b, vector<step_report>{{.loss = loss, .norm = 1, .gradient_scale = 0.25}});
    auto const gradient = on(b, random_normal<T>(4 * n, 10 + static_cast<std::uint64_t>(step)));
    muon_direction<T>(b, how, {inputs, report}, matrices, {gradient, parameters, momentum, direction});
    muon_step<T>(b, how, {inputs, report}, matrices, {gradient, parameters, momentum, direction});
  }
  return {numbers_of(parameters), numbers_of(momentum)};
}
}  // namespace

TEST_CASE_TEMPLATE("muon_direction, muon_step: Nesterov momentum; nothing changes when the loss isn't finite", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  auto parameters = random_normal<double>(4, 1).values;
  std::vector<double> momentum(4);
  for (int step = 1; step <= 3; ++step) {
    auto const gradient = random_normal<double>(4, 10 + static_cast<std::uint64_t>(step)).values;
    for (std::size_t const i : {0, 2, 3}) {
      double const rate = (i == 0 ? 0.5 : 1) * 0.1 / step, g = 0.25 * gradient[i];
      momentum[i] = 0.9 * momentum[i] + g;
      parameters[i] = (1 - rate * 0.05) * parameters[i] - rate * 3 * (g + 0.9 * momentum[i]);
    }
  }
  auto const actual = muon_updates<double>(b, 1);
  CHECK_CLOSE(actual[0], vector<double>(parameters), 1e-14);
  CHECK_CLOSE(actual[1], vector<double>(momentum), 1e-14);
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

TEST_CASE_TEMPLATE("normalize_rows: gives rows of norm 1; zeros stay zeros", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  auto x = on(b, matrix{{3., -4.}, {0., 0.}, {0., 0.1}}, 2);
  normalize_rows<double>(b, x);
  CHECK_CLOSE(x, matrix{{0.6, -0.8}, {0., 0.}, {0., 1.}}, 1e-10);
  CHECK(x.gaps_untouched());
}

TEST_CASE_TEMPLATE("normalize_rows: equals the reference", S, MQL4GREC_TEST_FAST_SETTINGS) {
  using T = typename S::scalar;
  typename S::backend fast;
  reference::backend exact;
  for (auto const& s : {shape{0, 3}, {3, 0}, {1, 1}, {5, 4095}, {2, 4097}, {3, 12'289}}) {
    auto expected = on(exact, random_normal<T>(s, 4));
    auto actual = on(fast, random_normal<T>(s, 4));
    normalize_rows<T>(exact, expected);
    normalize_rows<T>(fast, actual);
    CHECK_CLOSE(actual, fetched(expected), tolerance<typename S::backend, T>);
  }
}
