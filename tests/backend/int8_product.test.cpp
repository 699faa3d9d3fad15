// Products with weights in 8-bit integers: cpu::backend(…, precision::int8).
#include <cmath>
#include <limits>

#include "mql4grec/seq2seq/trainer.hpp"
#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/instruction_sets.hpp"
#include "support/small_t5.hpp"

using namespace mql4grec;
using namespace mql4grec::test;
using cpu::int8_instructions;

namespace {
/// Every kind of instructions that this machine has.
std::vector<int8_instructions> int8_levels() {
  std::vector<int8_instructions> levels;
#if defined(__x86_64__) && defined(__GNUC__)
  if (cpu::best_instruction_set() >= cpu::instruction_set::avx2) levels.push_back(int8_instructions::avx2);
  if (cpu::has_avx_vnni()) levels.push_back(int8_instructions::avx_vnni);
  if (cpu::has_avx512_vnni()) levels.push_back(int8_instructions::avx512_vnni);
#endif
  if (levels.empty()) MESSAGE("skipped: this machine has no instructions for int8 products");
  return levels;
}

/// Rounds every row to multiples of its largest magnitude / highest.
matrix<double> rounded_rows(matrix<float> const& x, float highest) {
  matrix<double> y = as<double>(x);
  for (index_t i = 0; i < x.rows(); ++i) {
    float top = 0;
    for (index_t j = 0; j < x.columns(); ++j) top = std::max(top, std::abs(x(i, j)));
    for (index_t j = 0; j < x.columns(); ++j)
      y.values[to_size(i * x.columns() + j)] =
          top > 0 ? std::nearbyint(static_cast<double>(x(i, j) * (highest / top))) * static_cast<double>(top / highest)
                  : 0;
  }
  return y;
}

/// Two rounding conventions differ where a number lies halfway between two integers: at most one step.
double step_of(matrix<float> const& x, matrix<float> const& w) {
  double x_top = 0, w_top = 0;
  for (float const v : x.values) x_top = std::max(x_top, std::abs(static_cast<double>(v)));
  for (float const v : w.values) w_top = std::max(w_top, std::abs(static_cast<double>(v)));
  return x_top * w_top / 63;
}
}  // namespace

TEST_CASE("int8: a product is the exact product of the rounded factors, for all instructions and sizes") {
  cpu::backend backend;
  reference::backend exact;
  for (auto const level : int8_levels())
    for (index_t n : {1, 8, 15, 16, 17, 64, 65, 132})
      for (index_t k : {1, 3, 4, 5, 16, 33, 128}) {
        auto const weight = random_normal<float>({n, k}, 2);
        auto const owned = on(backend, weight, 3);
        cpu::detail::int8_weight const packed(owned, 0.5, level);
        for (index_t m : {1, 2, 3, 4, 5, 6, 7, 13, 20}) {
          auto const x = random_normal<float>({m, k}, 1);
          auto expected = poisoned<double>(exact, {m, n});
          matmul<double>(exact, on(exact, rounded_rows(x, 127)),
                         on(exact, rounded_rows(weight, level == int8_instructions::avx2 ? 63 : 127)), expected,
                         {.transpose_b = true, .alpha = 0.5});
          auto y = poisoned<float>(backend, {m, n}, 5);
          packed.product(backend, on(backend, x, 1), y);
          CHECK_CLOSE(y, expected, 1e-5 + step_of(x, weight));
          CHECK(y.gaps_untouched());
          double square = 0;  // halves are rare: almost all entries are equal to rounding errors of fp32
          for (index_t i = 0; i < m * n; ++i) {
            double const difference = numbers_of(y).values[to_size(i)] - numbers_of(expected).values[to_size(i)];
            square += difference * difference;
          }
          CHECK(std::sqrt(square / static_cast<double>(m * n)) < 0.2 * step_of(x, weight));
        }
      }
}

TEST_CASE("int8: extreme values neither saturate nor overflow") {
  cpu::backend backend;
  for (auto const level : int8_levels())
    for (float const sign : {1.f, -1.f}) {
      index_t const k = 4096;
      auto const weight = on(backend, constant({3, k}, sign)), x = on(backend, constant({2, k}, 1.f));
      cpu::detail::int8_weight const packed(weight, 1, level);
      auto y = poisoned<float>(backend, {2, 3});
      packed.product(backend, x, y);
      CHECK_CLOSE(y, constant({2, 3}, sign * 4096.f), 1e-5);
    }
}

TEST_CASE("int8: rows of zeros give zeros; NaN and infinity make their own row not finite") {
  cpu::backend backend;
  float const nan = std::numeric_limits<float>::quiet_NaN(), infinite = std::numeric_limits<float>::infinity();
  for (auto const level : int8_levels()) {
    auto const weight = on(backend, matrix{{0.f, 0.f, 0.f}, {1.f, 2.f, 3.f}});
    cpu::detail::int8_weight const packed(weight, 1, level);
    auto y = poisoned<float>(backend, {4, 2});
    packed.product(backend,
                   on(backend, matrix{{0.f, 0.f, 0.f}, {nan, 1.f, 1.f}, {1.f, infinite, 1.f}, {1.f, 1.f, 1.f}}), y);
    auto const values = numbers_of(y).values;
    CHECK((values[0] == 0 && values[1] == 0 && values[6] == 0));
    CHECK((!std::isfinite(values[3]) && !std::isfinite(values[5])));
    CHECK(std::abs(values[7] - 6) < 0.05);
  }
}

TEST_CASE("int8: NaN and infinity in a weight give NaN in their own column") {
  cpu::backend backend;
  float const nan = std::numeric_limits<float>::quiet_NaN(), infinite = std::numeric_limits<float>::infinity();
  auto const weight = on(backend, matrix{{1.f, nan, 2.f}, {1.f, 2.f, 3.f}, {-infinite, 1.f, 1.f}});
  for (auto const level : int8_levels()) {
    cpu::detail::int8_weight const packed(weight, 1, level);
    auto y = poisoned<float>(backend, {2, 3});
    packed.product(backend, on(backend, matrix{{1.f, 1.f, 1.f}, {0.f, 0.f, 0.f}}), y);
    auto const values = numbers_of(y).values;
    for (std::size_t i : {0, 2, 3, 5}) CHECK(std::isnan(values[i]));
    CHECK((std::abs(values[1] - 6) < 0.1 && values[4] == 0));
  }
}

TEST_CASE("int8: frozen products use it; other products, and machines without instructions, compute in fp32") {
  cpu::backend integers(1, precision::int8), plain;
  auto const w = random_normal<float>({70, 33}, 1), x = random_normal<float>({5, 33}, 2);
  auto const weight = on(plain, w), rows = on(plain, x);
  auto exact = poisoned<float>(plain, {5, 70}), y = poisoned<float>(plain, {5, 70});
  matmul<float>(plain, rows, weight, exact, {.transpose_b = true, .alpha = 0.5});
  matmul<float>(integers, rows, weight, y, {.transpose_b = true, .alpha = 0.5});
  CHECK_CLOSE(y, exact, 0);
  auto const frozen = freeze_weight<float>(integers, weight, 0.5);
  auto const best = cpu::chosen_int8_instructions();
  for_each_instruction_set([&] {
    auto const check = [&](bool rounded) {
      CHECK_CLOSE(y, exact, rounded ? 0.3 : 1e-5);
      CHECK(compare(y, exact, 1e-4).holds == !rounded);  // fp32 doesn't round like int8
    };
    bool const rounded = cpu::chosen_int8_instructions() != int8_instructions::none;
    frozen_product<float>(integers, rows, freeze_weight<float>(integers, weight, 0.5), y);
    check(rounded);
    frozen_product<float>(integers, rows, frozen, y);  // packed for the best instructions, which may not be allowed now
    check(rounded && cpu::chosen_int8_instructions() == best);
  });
}

TEST_CASE("int8: training is an error") {
  cpu::backend b(1, precision::int8);
  auto model = random_t5<float>(b, tiny_t5());
  CHECK_THROWS_WITH_AS((seq2seq::trainer<cpu::backend, float>(b, model, {})),
                       "training: int8 products are for frozen weights; expected another precision", error);
}
