// Products with packed weights in fp32; bf16_product.test.cpp has those of rounded factors.
#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/instruction_sets.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

TEST_CASE("frozen_product: equals the reference's at every size, whatever instruction set the weight was packed with") {
  cpu::backend backend;
  reference::backend exact;
  for (index_t n : {1, 15, 16, 17, 63, 64, 65, 132})
    for (index_t k : {0, 1, 4, 7, 33})
      for (double const alpha : {1.0, 0.3}) {
        auto const values = random_normal<float>({n, k}, 2);
        auto const weight = on(backend, values, 3);
        std::vector<cpu::frozen_weight> packed;
        for_each_instruction_set([&] { packed.push_back(freeze_weight<float>(backend, weight, alpha)); });
        for (index_t m : {0, 1, 2, 3, 4, 6, 7, 13, 20, 41}) {
          auto const x = random_normal<float>({m, k}, 1);
          auto expected = poisoned<float>(exact, {m, n});
          matmul<float>(exact, on(exact, x), on(exact, values), expected, {.transpose_b = true, .alpha = alpha});
          for (auto const& frozen : packed)
            for_each_instruction_set([&] {
              auto y = poisoned<float>(backend, {m, n}, 5);
              frozen_product<float>(backend, on(backend, x, 1), frozen, y);
              CHECK_CLOSE(y, expected, 1e-5);
              CHECK(y.gaps_untouched());
            });
        }
      }
}

TEST_CASE("frozen_product: a weight that is frozen without instructions for bf16 gives the same product with them") {
  cpu::backend backend(1, precision::bf16);
  restored_instruction_set const afterwards;
  auto const weight = on(backend, random_normal<float>({70, 33}, 1)), x = on(backend, random_normal<float>({5, 33}, 2));
  auto expected = poisoned<float>(backend, {5, 70}), y = poisoned<float>(backend, {5, 70});
  frozen_product<float>(backend, x, freeze_weight<float>(backend, weight, 0.5), expected);
  cpu::allowed_instruction_set() = cpu::instruction_set::avx2;
  auto const frozen = freeze_weight<float>(backend, weight, 0.5);
  cpu::allowed_instruction_set() = cpu::instruction_set::avx512;
  frozen_product<float>(backend, x, frozen, y);
  CHECK_CLOSE(y, expected, 1e-5);
  with_forced_amx([&] {
    frozen_product<float>(backend, x, frozen, y);
    CHECK_CLOSE(y, expected, 1e-5);
  });
}
