// The building blocks of the CPU's kernels, inlined for every instruction set as in the kernels.
#include "mql4grec/backend/cpu/primitives/math.hpp"

#include "support/check_close.hpp"
#include "support/instruction_sets.hpp"
#include "support/sizes.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
struct exp_kernel {
  MQL4GREC_INLINE static void run(float const* x, float* y, index_t n) {
    for (index_t i = 0; i < n; ++i) y[i] = cpu::detail::exp_approximate(x[i]);
  }
};
struct highest_kernel {
  MQL4GREC_INLINE static float run(float const* x, index_t n) { return cpu::detail::highest(x, n); }
};
struct dot_kernel {
  MQL4GREC_INLINE static float run(float const* x, float const* y, index_t n) { return cpu::detail::dot(x, y, n); }
};
struct sum_of_exp_kernel {
  MQL4GREC_INLINE static float run(float const* x, index_t n, float shift) {
    return cpu::detail::sum_of_exp(x, n, shift);
  }
};
struct add_scaled_kernel {
  MQL4GREC_INLINE static void run(float a, float const* x, float* y, index_t n) { cpu::detail::add_scaled(a, x, y, n); }
};
}  // namespace

TEST_CASE("exp_approximate: the relative error is at most 2e-7 between -87 and 88") {
  std::vector<float> x, y;
  for (double at = -87; at <= 88; at += 0.00173) x.push_back(static_cast<float>(at));
  for_each_instruction_set([&] {
    y.assign(x.size(), 0);
    cpu::dispatch<exp_kernel>(static_cast<float const*>(x.data()), y.data(), std::ssize(x));
    double worst = 0;
    for (std::size_t i = 0; i < x.size(); ++i)
      worst = larger(worst, std::abs(static_cast<double>(y[i]) / std::exp(static_cast<double>(x[i])) - 1));
    CHECK(worst < 2e-7);
  });
}

TEST_CASE("exp_approximate: is clamped outside, exact at zero, and keeps NaN") {
  constexpr float infinite = std::numeric_limits<float>::infinity();
  float const x[] = {-infinite, -1e30f, -88.f, 0.f, -0.f, 89.f, infinite, NAN};
  float y[8];
  for_each_instruction_set([&] {
    cpu::dispatch<exp_kernel>(static_cast<float const*>(x), static_cast<float*>(y), index_t{8});
    for (int i : {0, 1, 2}) CHECK((y[i] > 0 && y[i] < 2e-38f));
    for (int i : {3, 4}) CHECK(y[i] == 1);
    for (int i : {5, 6}) CHECK((y[i] > 1.6e38f && y[i] < infinite));
    CHECK(std::isnan(y[7]));
  });
}

TEST_CASE("highest: finds the largest entry at any position") {
  for (index_t n : edge_widths)
    for (index_t at = 0; at < n; ++at) {
      auto x = constant(n, -5.f);
      x.values[static_cast<std::size_t>(at)] = -4.f;
      for_each_instruction_set(
          [&] { CHECK(cpu::dispatch<highest_kernel>(static_cast<float const*>(x.values.data()), n) == -4.f); });
    }
}

TEST_CASE("dot, sum_of_exp, add_scaled: equal the plain sums at edge-case sizes") {
  for (index_t n : {0, 1, 15, 16, 17, 127, 128, 129}) {
    auto const x = random_normal<float>(n, 1), y = random_normal<float>(n, 2);
    auto sum = x;
    double product = 0, exponentials = 0;
    for (std::size_t i = 0; i < x.values.size(); ++i) {
      double const a = static_cast<double>(x.values[i]), b = static_cast<double>(y.values[i]);
      product += a * b;
      exponentials += std::exp(a - 3);
      sum.values[i] = static_cast<float>(a + 0.5 * b);
    }
    for_each_instruction_set([&] {
      auto added = x;
      cpu::dispatch<add_scaled_kernel>(0.5f, y.values.data(), added.values.data(), n);
      CHECK_CLOSE(added, sum, 1e-6);
      CHECK_CLOSE(cpu::dispatch<dot_kernel>(x.values.data(), y.values.data(), n), product, 1e-5);
      CHECK_CLOSE(cpu::dispatch<sum_of_exp_kernel>(x.values.data(), n, 3.f), exponentials, 1e-5);
    });
  }
}

TEST_CASE("dispatch: uses no instruction set above the allowed one") {
  CHECK(cpu::allowed_instruction_set() >= cpu::best_instruction_set());
  int runs = 0;
  for_each_instruction_set([&] { ++runs; });
  CHECK(runs == static_cast<int>(cpu::best_instruction_set()) + 1);
}

TEST_CASE("dispatch: the names of MQL4GREC_MAX_INSTRUCTION_SET, and one line for any other") {
  using enum cpu::instruction_set;
  CHECK((cpu::parse_instruction_set("baseline") == baseline && cpu::parse_instruction_set("avx2") == avx2 &&
         cpu::parse_instruction_set("avx512") == avx512 && cpu::parse_instruction_set("amx") == amx));
  CHECK_THROWS_WITH_AS(cpu::parse_instruction_set("AVX2"),
                       "MQL4GREC_MAX_INSTRUCTION_SET is 'AVX2': expected baseline, avx2, avx512 or amx", error);
}
