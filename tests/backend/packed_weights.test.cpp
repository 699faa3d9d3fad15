// Weights that are packed for the products of a training step.
#include "mql4grec/nn/linear.hpp"
#include "mql4grec/seq2seq/trainer.hpp"
#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/instruction_sets.hpp"
#include "support/small_t5.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
using weight = plain_weight<host_space, float>;
}

TEST_CASE("packed weights: linear maps and their input gradients equal those without packing, on every worker") {
  for (auto const products : {precision::fp32, precision::bf16}) {
    cpu::backend backend(3, products);
    for (index_t out : {1, 15, 16, 33, 64, 132})
      for (index_t in : {1, 4, 7, 48, 65})
        for (double const alpha : {1.0, 0.3})
          for_each_instruction_set([&] {
            auto const w = on(backend, random_normal<float>({out, in}, 1), 3);
            auto const other = on(backend, random_normal<float>({7, 5}, 2));
            weight const all[] = {{*other}, {*w, alpha}};
            for (index_t rows : {1, 6, 13}) {
              auto const x = on(backend, random_normal<float>({rows, in}, 3), 1);
              auto const dy = on(backend, random_normal<float>({rows, out}, 4), 2);
              auto expected_y = poisoned<float>(backend, {rows, out}),
                   expected_dx = poisoned<float>(backend, {rows, in});
              nn::linear<float>(backend, x, w, expected_y, alpha);
              nn::linear_input_gradient<float>(backend, dy, w, expected_dx, alpha);
              [[maybe_unused]] auto const packed =
                  nn::packed_for_products<float>(backend, std::span<weight const>(all));
              for (index_t number = 0; number < backend.workers(); ++number) {
                auto y = poisoned<float>(backend, {rows, out}, 5), dx = poisoned<float>(backend, {rows, in}, 5);
                nn::linear<float>(backend.worker(number), x, w, y, alpha);
                nn::linear_input_gradient<float>(backend.worker(number), dy, w, dx, alpha);
                CHECK_CLOSE(y, expected_y, 2e-5);
                CHECK_CLOSE(dx, expected_dx, 2e-5);
                CHECK((y.gaps_untouched() && dx.gaps_untouched()));
              }
            }
          });
  }
}

TEST_CASE("packed weights: other factors, parts of a weight and sums aren't affected") {
  cpu::backend backend;
  auto const w = on(backend, random_normal<float>({32, 20}, 1)), x = on(backend, random_normal<float>({4, 20}, 2));
  auto const part = (*w).row_block(0, 16);
  auto whole = poisoned<float>(backend, {4, 32}), half = poisoned<float>(backend, {4, 16});
  nn::linear<float>(backend, x, w, whole, 2);
  nn::linear<float>(backend, x, part, half);
  auto sum = on(backend, constant({4, 32}, 1.f));
  matmul<float>(backend, x, w, sum, {.transpose_b = true, .accumulate = true});
  weight const all[] = {{*w}};
  [[maybe_unused]] auto const packed = nn::packed_for_products<float>(backend, std::span<weight const>(all));
  auto again = poisoned<float>(backend, {4, 32}), half_again = poisoned<float>(backend, {4, 16});
  nn::linear<float>(backend, x, w, again, 2);
  nn::linear<float>(backend, x, part, half_again);
  CHECK_CLOSE(again, whole, 0);
  CHECK_CLOSE(half_again, half, 0);
  auto sum_again = on(backend, constant({4, 32}, 1.f));
  matmul<float>(backend, x, w, sum_again, {.transpose_b = true, .accumulate = true});
  CHECK_CLOSE(sum_again, sum, 0);
}

TEST_CASE("packed weights: afterwards products read the weights themselves, and the next packing reads them again") {
  cpu::backend backend;
  auto w = on(backend, constant({20, 16}, 1.f)), x = on(backend, constant({3, 16}, 1.f));
  weight const all[] = {{*w}};
  auto const expect = [&](float value) {
    auto y = poisoned<float>(backend, {3, 20});
    nn::linear<float>(backend, x, w, y);
    CHECK_CLOSE(y, constant({3, 20}, 16 * value), 1e-6);
  };
  for (float value : {1.f, 2.f}) {
    fill<float>(backend, view<float, host_space, 1>((*w).data, 20 * 16), value);
    [[maybe_unused]] auto const packed = nn::packed_for_products<float>(backend, std::span<weight const>(all));
    expect(value);
  }
  fill<float>(backend, view<float, host_space, 1>((*w).data, 20 * 16), 3.f);
  expect(3.f);
}

TEST_CASE("packed weights: a training step that packs equals one in micro-batches too few for it") {
  cpu::backend backend;
  index_t const inputs[] = {9, 17, 3, 12, 25, 8, 11, 14, 6, 7, 8, 9}, targets[] = {5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5};
  auto config = small_t5();
  config.vocabulary = 60;
  auto const all = batch_of(inputs, targets, 60);
  auto const trained = [&](index_t block_tokens) {
    auto model = random_t5<float>(backend, config);
    seq2seq::trainer<cpu::backend, float> trainer(backend, model, {.dropout = 0.1, .block_tokens = block_tokens});
    for (int i = 0; i < 3; ++i) trainer.step(all, 1e-3);
    auto const flat = trainer.gradient();
    return std::vector<float>(flat.data, flat.data + flat.size());
  };
  CHECK_CLOSE(trained(1), trained(1000), 1e-4);
  CHECK(trained(1) == trained(1));
}
