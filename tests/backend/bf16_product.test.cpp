// Products of rounded factors: cpu::backend(…, precision::bf16).
#include <bit>
#include <cmath>
#include <limits>

#include "mql4grec/seq2seq/trainer.hpp"
#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/instruction_sets.hpp"
#include "support/small_t5.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
constexpr float infinity = std::numeric_limits<float>::infinity();

/// By the definition: the nearer of the two neighbours with 8 bits of precision; of two equally near, the even one.
float rounded(float x) {
  if (!std::isfinite(x)) return x;
  if (std::abs(x) < std::numeric_limits<float>::min()) return 0;
  int exponent = 0;
  double const mantissa = std::ldexp(std::frexp(static_cast<double>(x), &exponent), 8), below = std::floor(mantissa),
               rest = mantissa - below;
  bool const up = rest > 0.5 || (rest == 0.5 && std::fmod(below, 2) != 0);
  double const value = std::ldexp(up ? below + 1 : below, exponent - 8);
  return std::abs(value) > static_cast<double>(std::numeric_limits<float>::max()) ? std::copysign(infinity, x)
                                                                                  : static_cast<float>(value);
}

struct sizes {
  index_t m, k, n, gap;
};
constexpr sizes sizes_of_products[] = {{1, 1, 1, 0},     {0, 4, 5, 0},    {5, 4, 0, 1},    {3, 0, 5, 0},
                                       {1, 129, 17, 0},  {17, 16, 15, 5}, {129, 15, 1, 5}, {16, 127, 128, 0},
                                       {33, 17, 127, 3}, {5, 33, 63, 1},  {97, 31, 65, 2}, {7, 1025, 1030, 3}};

/// The factors of a product and the initial value of c.
struct factors {
  sizes s;
  product how;
  matrix<float> a, b, c;

  factors(sizes given, product options)
      : s(given),
        how(options),
        a(random_normal<float>(options.transpose_a ? shape{s.k, s.m} : shape{s.m, s.k}, 1)),
        b(random_normal<float>(options.transpose_b ? shape{s.n, s.k} : shape{s.k, s.n}, 2)),
        c(random_normal<float>({s.m, s.n}, 3)) {}

  float left(index_t i, index_t p) const {
    return a.values[static_cast<std::size_t>(how.transpose_a ? p * s.m + i : i * s.k + p)];
  }
  float right(index_t p, index_t j) const {
    return b.values[static_cast<std::size_t>(how.transpose_b ? j * s.k + p : p * s.n + j)];
  }

  matrix<double> expected() const {
    auto result = as<double>(c);
    for (index_t i = 0; i < s.m; ++i)
      for (index_t j = 0; j < s.n; ++j) {
        double sum = 0;
        for (index_t p = 0; p < s.k; ++p)
          sum += static_cast<double>(rounded(left(i, p))) * static_cast<double>(rounded(right(p, j)));
        auto& entry = result.values[static_cast<std::size_t>(i * s.n + j)];
        entry = how.alpha * sum + (how.accumulate ? entry : 0);
      }
    return result;
  }
  /// The rounding error of the sums in fp32: entries are about √k large, and errors of k steps grow as √k.
  double allowed() const { return 1e-6 * std::sqrt(static_cast<double>(s.k + 1)); }

  matrix<float> multiplied(cpu::backend& backend) const {
    auto const x = on(backend, a, s.gap), y = on(backend, b, s.gap);
    auto z = how.accumulate ? on(backend, c, s.gap) : poisoned<float>(backend, {s.m, s.n}, s.gap);
    matmul<float>(backend, x, y, z, how);
    CHECK(z.gaps_untouched());
    matrix<float> result({s.m, s.n}, {});
    for (index_t i = 0; i < s.m; ++i)
      for (index_t j = 0; j < s.n; ++j) result.values.push_back((*z)(i, j));
    return result;
  }
};

/// Special values, ties of rounding, and random bit patterns.
std::vector<float> odd_numbers() {
  std::vector<float> all = {0.f,
                            -0.f,
                            1.f,
                            infinity,
                            -infinity,
                            std::numeric_limits<float>::quiet_NaN(),
                            std::numeric_limits<float>::signaling_NaN(),
                            std::numeric_limits<float>::max(),
                            std::numeric_limits<float>::min(),
                            std::numeric_limits<float>::denorm_min()};
  for (std::uint32_t const half : {0x3f807fffu, 0x3f808000u, 0x3f808001u, 0x3f817fffu, 0x3f818000u, 0x3f818001u,
                                   0xbf818000u, 0x7f7f8000u, 0x7f7f7fffu, 0x007fffffu})
    all.push_back(std::bit_cast<float>(half));
  random_stream random(5, 0);
  while (all.size() < 333)
    all.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(random.below(index_t{1} << 32))));
  return all;
}
}  // namespace

TEST_CASE("bf16: factors are rounded to nearest even; infinities and NaN are preserved, and subnormals become 0") {
  cpu::backend backend(1, precision::bf16);
  auto const values = odd_numbers();
  auto const n = std::ssize(values);
  auto const column = on(backend, matrix<float>({n, 1}, values)), row = on(backend, matrix<float>({1, n}, values));
  auto const one = on(backend, matrix{{1.f}});
  auto const check = [&](tensor_on<float, cpu::backend, 2> const& c) {
    for (index_t i = 0; i < n; ++i) {
      float const found = (*c).data[i], wanted = rounded(values[static_cast<std::size_t>(i)]);
      CAPTURE(i);
      CHECK((found == wanted || (std::isnan(found) && std::isnan(wanted))));
    }
  };
  for_each_bf16_product([&] {
    for (bool transposed : {false, true}) {  // left and right factors are packed differently
      auto tall = poisoned<float>(backend, {n, 1}), wide = poisoned<float>(backend, {1, n});
      matmul<float>(backend, transposed ? row : column, one, tall, {.transpose_a = transposed});
      check(tall);
      matmul<float>(backend, one, transposed ? column : row, wide, {.transpose_b = transposed});
      check(wide);
    }
  });
}

TEST_CASE("bf16: a product is that of the rounded factors, summed in fp32, for all options and instruction sets") {
  cpu::backend backend(1, precision::bf16);
  for (auto const s : sizes_of_products)
    for (int how = 0; how < 8; ++how) {
      factors const given(
          s,
          {.transpose_a = (how & 1) != 0, .transpose_b = (how & 2) != 0, .accumulate = (how & 4) != 0, .alpha = 0.75});
      auto const expected = given.expected();
      CAPTURE(s.m);
      CAPTURE(s.k);
      CAPTURE(how);
      for_each_bf16_product([&] { CHECK_CLOSE(given.multiplied(backend), expected, given.allowed()); });
    }
}

TEST_CASE("bf16: an infinity or a NaN affects only its own row, also at the end of an odd inner dimension") {
  cpu::backend backend(1, precision::bf16);
  for (index_t inner : {1, 7, 33})
    for (bool transposed : {false, true})
      for_each_bf16_product([&] {
        factors given({9, inner, 19, 0}, {.transpose_a = transposed});
        given.b = constant({inner, 19}, 1.f);
        auto const at = [&](index_t i) -> float& {
          return given.a.values[static_cast<std::size_t>(transposed ? (inner - 1) * 9 + i : i * inner + inner - 1)];
        };
        at(2) = infinity;
        at(5) = std::numeric_limits<float>::quiet_NaN();
        auto const c = given.multiplied(backend);
        for (index_t i = 0; i < 9; ++i)
          for (index_t j = 0; j < 19; ++j) {
            float const found = c.values[static_cast<std::size_t>(i * 19 + j)];
            CHECK((i == 2 ? found == infinity : i == 5 ? std::isnan(found) : std::isfinite(found)));
          }
      });
}

#if MQL4GREC_HAS_ONEDNN
TEST_CASE("bf16: with AMX, large products are oneDNN's, unless MQL4GREC_MAX_INSTRUCTION_SET excludes it") {
  forced_amx const forced;
  CHECK(cpu::detail::prefers_amx(1, 1, 1));
  cpu::detail::smallest_amx_product() = 1000;
  CHECK((cpu::detail::prefers_amx(10, 10, 10) && !cpu::detail::prefers_amx(10, 10, 9)));
  cpu::allowed_instruction_set() = cpu::instruction_set::avx512;
  CHECK(!cpu::detail::prefers_amx());
}

TEST_CASE("bf16: a weight that is frozen for AMX is multiplied by small and large numbers of rows") {
  with_forced_amx([] {
    cpu::backend backend(1, precision::bf16);
    factors const few({2, 40, 70, 1}, {.transpose_b = true, .alpha = 0.3}),
        many({20, 40, 70, 1}, {.transpose_b = true, .alpha = 0.3});
    auto const frozen = freeze_weight<float>(backend, on(backend, few.b), 0.3);
    cpu::detail::smallest_amx_product() = 10 * 40 * 70;
    for (auto const* given : {&few, &many}) {
      auto y = poisoned<float>(backend, {given->s.m, 70}, 3);
      frozen_product<float>(backend, on(backend, given->a), frozen, y);
      CHECK_CLOSE(y, given->expected(), given->allowed());
      CHECK(y.gaps_untouched());
    }
  });
}
#endif

TEST_CASE("bf16: the portable implementation differs only in the order of sums") {
  restored_instruction_set const afterwards;
  cpu::backend backend(1, precision::bf16);
  factors const given({100, 700, 90, 0}, {.transpose_b = true});
  auto const best = given.multiplied(backend);
  cpu::allowed_instruction_set() = cpu::instruction_set::avx2;
  CHECK(!cpu::has_fast_bf16());
  CHECK_CLOSE(given.multiplied(backend), best, given.allowed());
}

TEST_CASE("bf16: a frozen weight gives the product of the rounded factors for every instruction set at freezing") {
  cpu::backend backend(1, precision::bf16);
  for (auto const s : sizes_of_products)
    for (double const alpha : {1.0, 0.3}) {
      factors const given(s, {.transpose_b = true, .alpha = alpha});
      auto const x = on(backend, given.a, s.gap), weight = on(backend, given.b, s.gap);
      auto const expected = given.expected();
      CAPTURE(s.m);
      CAPTURE(s.k);
      auto const check = [&](cpu::frozen_weight const& frozen) {
        for_each_bf16_product([&] {
          auto y = poisoned<float>(backend, {s.m, s.n}, s.gap);
          frozen_product<float>(backend, x, frozen, y);
          CHECK_CLOSE(y, expected, given.allowed());
          CHECK(y.gaps_untouched());
        });
      };
      check(freeze_weight<float>(backend, weight, alpha));
      for_each_bf16_product([&] {
        auto y = poisoned<float>(backend, {s.m, s.n});
        frozen_product<float>(backend, x, freeze_weight<float>(backend, weight, alpha), y);
        CHECK_CLOSE(y, expected, given.allowed());
      });
    }
}

TEST_CASE("bf16: every worker rounds, doubles are never rounded, and the default precision is fp32") {
  cpu::backend rounding(3, precision::bf16), exact(3), plain;
  CHECK((exact.products() == precision::fp32 && plain.products() == precision::fp32));
  CHECK((products_of(rounding) == precision::bf16 && products_of(reference::backend()) == precision::fp32));
  CHECK((name_of(precision::fp32) == "fp32" && name_of(precision::bf16) == "bf16"));
  factors const given({20, 30, 40, 0}, {});
  auto const expected = given.expected();
  for_each_bf16_product([&] {
    for (index_t number = 0; number < 3; ++number) {
      CHECK(rounding.worker(number).products() == precision::bf16);
      CHECK_CLOSE(given.multiplied(rounding.worker(number)), expected, given.allowed());
      CHECK(!compare(given.multiplied(exact.worker(number)), expected, 1e-4).holds);  // fp32 doesn't round like bf16
    }
  });
  auto const a = random_normal({5, 9}, 1), b = random_normal({9, 7}, 2);
  auto rough = poisoned<double>(rounding, {5, 7}), fine = poisoned<double>(exact, {5, 7});
  matmul<double>(rounding, on(rounding, a), on(rounding, b), rough, {});
  matmul<double>(exact, on(exact, a), on(exact, b), fine, {});
  CHECK_CLOSE(rough, fine, 0);
}

namespace {
seq2seq::t5_config medium_t5() {
  auto config = small_t5();
  config.vocabulary = 60;
  config.model_width = 40;
  config.head_width = 8;
  config.inner_width = 70;
  return config;
}
tasks::batch medium_batch() {
  index_t const inputs[] = {9, 17, 3, 12, 25, 8, 11, 14}, targets[] = {5, 5, 5, 5, 5, 5, 5, 5};
  return batch_of(inputs, targets, 60);
}
double distance(std::vector<double> const& x, std::vector<double> const& y) {
  double sum = 0, size = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += (x[i] - y[i]) * (x[i] - y[i]), size += y[i] * y[i];
  return std::sqrt(sum / size);
}
}  // namespace

TEST_CASE("bf16: a T5's loss is within 0.2 % of that in fp32, and its gradient within 4 % of its norm") {
  cpu::backend rounding(1, precision::bf16), exact;
  auto const all = medium_batch();
  for_each_bf16_product([&] {
    loss_and_gradient<float, cpu::backend> const rough(rounding, random_t5<float>(rounding, medium_t5()), all,
                                                       whole(all)),
        fine(exact, random_t5<float>(exact, medium_t5()), all, whole(all));
    CHECK(rough.loss != fine.loss);
    CHECK_CLOSE(rough.loss / fine.loss, 1, 2e-3);
    auto const apart = distance(numbers_of(rough.gradient).values, numbers_of(fine.gradient).values);
    CAPTURE(apart);
    CHECK((apart > 1e-4 && apart < 4e-2));
  });
}

TEST_CASE("bf16: the training loss decreases as in fp32") {
  cpu::backend rounding(2, precision::bf16), exact(2);
  auto const all = medium_batch();
  auto const after_steps = [&](cpu::backend& b) {
    auto model = random_t5<float>(b, medium_t5());
    seq2seq::trainer<cpu::backend, float> trainer(b, model, {.dropout = 0});
    double const first = trainer.step(all, 3e-3);
    double last = first;
    for (int i = 0; i < 30; ++i) last = trainer.step(all, 3e-3);
    CHECK(last < first / 2);
    return last;
  };
  double const fine = after_steps(exact);
  for_each_bf16_product([&] { CHECK_CLOSE(after_steps(rounding) / fine, 1, 0.05); });
}
