#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/instruction_sets.hpp"
#include "support/sizes.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

TEST_CASE_TEMPLATE("adamw_step: the first step changes every parameter by the learning rate, against its gradient", B,
                   MQL4GREC_TEST_BACKENDS) {
  B backend;
  auto parameter = on(backend, vector{1.f, 1.f, 1.f}), first = on(backend, constant(3, 0.f)),
       second = on(backend, constant(3, 0.f));
  adamw_step<float>(backend, {.learning_rate = 0.25},
                    {on(backend, vector{1e-2f, -3.f, 100.f}), parameter, first, second});
  CHECK_CLOSE(parameter, vector{0.75f, 1.25f, 0.75f}, 2e-6);
  CHECK_CLOSE(first, vector{1e-3f, -0.3f, 10.f}, 1e-6);
  CHECK_CLOSE(second, vector{1e-7f, 9e-3f, 10.f}, 1e-6);
}

TEST_CASE_TEMPLATE("adamw_step: a zero gradient only applies weight decay", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  auto parameter = on(backend, vector{2.f}), first = on(backend, vector{0.f}), second = on(backend, vector{0.f});
  adamw_step<float>(backend, {.learning_rate = 0.5, .weight_decay = 0.1},
                    {on(backend, vector{0.f}), parameter, first, second});
  CHECK_CLOSE(parameter, vector{1.9f}, 1e-6);
}

TEST_CASE_TEMPLATE("adamw_step: equals the paper's algorithm over several steps", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  double theta = 0.5, m = 0, v = 0;
  auto parameter = on(backend, vector{theta}), first = on(backend, vector{m}), second = on(backend, vector{v});
  for (int t = 1; t <= 20; ++t) {
    double const gradient = std::sin(t), rate = 0.1 / t, g = gradient * 0.5;
    adamw_step<double>(backend, {.learning_rate = rate, .weight_decay = 0.01, .step = t, .gradient_scale = 0.5},
                       {on(backend, vector{gradient}), parameter, first, second});
    theta -= rate * 0.01 * theta;
    m = 0.9 * m + 0.1 * g;
    v = 0.999 * v + 0.001 * g * g;
    theta -= rate * (m / (1 - std::pow(0.9, t))) / (std::sqrt(v / (1 - std::pow(0.999, t))) + 1e-8);
    CHECK_CLOSE(parameter, vector{theta}, 1e-14);
  }
}

TEST_CASE_TEMPLATE("adamw_step: equals the reference at edge-case sizes, with every instruction set", S,
                   MQL4GREC_TEST_FAST_SETTINGS) {
  using T = typename S::scalar;
  auto const five_steps = [](auto& b, index_t n) {
    auto parameter = on(b, random_normal<T>(n, 1)), first = on(b, constant(n, T{})), second = on(b, constant(n, T{}));
    for (int step = 1; step <= 5; ++step)
      adamw_step<T>(b, {.learning_rate = 0.1, .weight_decay = 0.01, .step = step, .gradient_scale = 0.7},
                    {on(b, random_normal<T>(n, 10 + static_cast<std::uint64_t>(step))), parameter, first, second});
    return std::array{numbers_of(parameter), numbers_of(first), numbers_of(second)};
  };
  typename S::backend fast;
  reference::backend exact;
  for (index_t n : {0, 1, 15, 16, 17, 127, 128, 129, 1000}) {
    auto const expected = five_steps(exact, n);
    for_each_instruction_set([&] {
      auto const actual = five_steps(fast, n);
      for (std::size_t i = 0; i < 3; ++i) CHECK_CLOSE(actual[i], expected[i], tolerance<typename S::backend, T>);
    });
  }
}

TEST_CASE_TEMPLATE("sum_of_squares: is exact where a float accumulator would saturate", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  CHECK_CLOSE(sum_of_squares<float>(backend, on(backend, constant(1000003, 16.5f))), 1000003 * 16.5 * 16.5, 1e-12);
}

TEST_CASE_TEMPLATE("sum_of_squares, accumulate: equal the reference at edge-case sizes, with every instruction set", S,
                   MQL4GREC_TEST_FAST_SETTINGS) {
  using T = typename S::scalar;
  typename S::backend fast;
  reference::backend exact;
  for (index_t n : {0, 1, 15, 16, 17, 127, 128, 129}) {
    auto const x = random_normal<T>(n, 1), y = random_normal<T>(n, 2);
    auto expected = on(exact, y);
    accumulate<T>(exact, on(exact, x), expected);
    for_each_instruction_set([&] {
      CHECK_CLOSE(sum_of_squares<T>(fast, on(fast, x)), sum_of_squares<T>(exact, on(exact, x)), 1e-12);
      auto actual = on(fast, y);
      accumulate<T>(fast, on(fast, x), actual);
      CHECK_CLOSE(actual, expected, 0);
    });
  }
}

namespace {
/// Five updates with step_inputs, whose gradient is a sum over 3 tokens; then one whose loss isn't finite.
template <class T, class B>
std::vector<numbers> captured_updates(B& b, index_t n) {
  auto parameter = on(b, random_normal<T>(n, 1)), first = on(b, constant(n, T{})), second = on(b, constant(n, T{}));
  std::vector<numbers> results;
  for (int step = 1; step <= 6; ++step) {
    auto const inputs = on(b, vector<step_inputs>{{.learning_rate = 0.1 / step, .tokens = 3, .step = step}});
    auto const losses = on(b, vector{step < 6 ? 2.5 * step : std::numeric_limits<double>::infinity()});
    auto report = on(b, vector<step_report>{{}});
    captured_adamw_step<T>(
        b, {.constants = {.weight_decay = 0.05}, .clip_norm = 0.7, .decayed = n / 3}, {inputs, losses, report},
        {on(b, random_normal<T>(n, 10 + static_cast<std::uint64_t>(step))), parameter, first, second});
    auto const result = fetched(report)(0);
    CHECK(result.finite() == (step < 6));
    if (step < 6) results.push_back(numbers_of(on(b, vector{result.loss, result.norm})));
  }
  for (auto const& values : {numbers_of(parameter), numbers_of(first), numbers_of(second)}) results.push_back(values);
  return results;
}
}  // namespace

TEST_CASE_TEMPLATE("captured_adamw_step: reads its inputs from memory, and equals the reference", S,
                   MQL4GREC_TEST_FAST_SETTINGS) {
  using T = typename S::scalar;
  typename S::backend fast;
  reference::backend exact;
  for (index_t n : {1, 17, 1000, 30'000}) {
    auto const expected = captured_updates<T>(exact, n), actual = captured_updates<T>(fast, n);
    for (std::size_t i = 0; i < expected.size(); ++i)
      CHECK_CLOSE(actual[i], expected[i], 10 * tolerance<typename S::backend, T>);
  }
}

TEST_CASE("captured_adamw_step: five steps equal five clipped updates; a loss that isn't finite changes nothing") {
  reference::backend b;
  index_t const n = 17;
  auto parameter = on(b, random_normal(n, 1)), first = on(b, constant(n, 0.)), second = on(b, constant(n, 0.));
  for (int step = 1; step <= 5; ++step) {
    auto const gradient = random_normal(n, 10 + static_cast<std::uint64_t>(step));
    double const norm = std::sqrt(sum_of_squares<double>(b, on(b, gradient))) / 3;
    CHECK(norm > 0.7);
    for (index_t i = 0; i < n; ++i)
      adamw_step<double>(
          b,
          {.learning_rate = 0.1 / step,
           .weight_decay = i < n / 3 ? 0.05 : 0,
           .step = step,
           .gradient_scale = 0.7 / (norm + 1e-6) / 3},
          {on(b, vector{gradient(i)}), (*parameter).part(i, 1), (*first).part(i, 1), (*second).part(i, 1)});
  }
  auto const actual = captured_updates<double>(b, n);
  CHECK_CLOSE(actual[5], numbers_of(parameter), 1e-14);
  CHECK_CLOSE(actual[7], numbers_of(second), 1e-14);
}

TEST_CASE("sum_into, sum_of_squares_into: equal the backend's sums bit for bit") {
  cpu::backend b;
  auto const x = on(b, random_normal<float>(10'007, 3));
  auto total = on(b, vector{0.});
  sum_of_squares_into<float>(b, x, total);
  CHECK(fetched(total)(0) == sum_of_squares<float>(b, x));
  sum_into<float>(b, x, total);
  CHECK(fetched(total)(0) == sum<float>(b, x));
}
