// The shapes of the paper's T5 (d 128, inner 384, feed-forward 1024) and of its translator's training (half a batch),
// one core. Arguments: m, n, k, bits of the factors.
#include "support.hpp"

namespace {

void matmul(benchmark::State& state, mql4grec::product how) {
  auto const products = bench::precision_of(state.range(3));
  bench::backend b(1, products);
  auto const m = state.range(0), n = state.range(1), k = state.range(2);
  auto const x = how.transpose_a ? bench::random_matrix(b, k, m) : bench::random_matrix(b, m, k);
  auto const y = how.transpose_b ? bench::random_matrix(b, n, k) : bench::random_matrix(b, k, n);
  auto const c = bench::random_matrix(b, m, n);
  for (auto _ : state) mql4grec::cpu::matmul<float>(b, x, y, c, how);
  bench::count_flops(state, 2.0 * static_cast<double>(m * n * k), 1, products);
  state.SetLabel(products == mql4grec::precision::bf16 && mql4grec::cpu::has_fast_bf16()
                     ? "own"
                     : mql4grec::cpu::matmul_library());
}

void forward_shapes(benchmark::internal::Benchmark* b) {
  for (auto bits : {32, 16}) {
    for (auto [n, k] : {std::pair{1152, 128}, {128, 384}, {1024, 128}, {128, 1024}, {2068, 128}, {3072, 128}})
      b->Args({512, n, k, bits});
    for (auto [n, k] : {std::pair{2048, 384}, {1024, 2048}, {256, 512}, {64, 128}}) b->Args({1024, n, k, bits});
  }
}
void weight_gradient_shapes(benchmark::internal::Benchmark* b) {
  for (auto bits : {32, 16}) {
    for (auto [m, n] : {std::pair{1152, 128}, {1024, 128}, {128, 1024}}) b->Args({m, n, 512, bits});
    for (auto [m, n] : {std::pair{1024, 384}, {512, 2048}, {128, 512}, {32, 128}}) b->Args({m, n, 2048, bits});
  }
}

BENCHMARK_CAPTURE(matmul, forward, mql4grec::product{.transpose_b = true})->Apply(forward_shapes);
BENCHMARK_CAPTURE(matmul, input_gradient, mql4grec::product{})->Apply(forward_shapes);
BENCHMARK_CAPTURE(matmul, weight_gradient, mql4grec::product{.transpose_a = true, .accumulate = true})
    ->Apply(weight_gradient_shapes);

}  // namespace
