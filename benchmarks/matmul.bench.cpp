// The shapes of the paper's T5 (d 128, inner 384, feed-forward 1024) and of its translator's training (half a batch),
// one core. Arguments of `matmul`: m, n, k, bits of the factors. `small` are products inside one attention head, and
// `frozen` those with packed weights, with every instruction set beside libraries, which choose theirs themselves;
// arguments: m, n, k. `cold` multiplies by many weights in turn, 16 MB together, as a search does: none of them is in
// the second-level cache. `matmul_amx` sends products in bf16 to oneDNN, whether or not the machine has AMX. The share
// is that of the peak of the kernel's instruction set, for libraries of the machine's.
#include <vector>

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

#if MQL4GREC_HAS_ONEDNN
/// Products of bfloat16 as on a machine with AMX.
void matmul_amx(benchmark::State& state, mql4grec::product how) {
  auto& smallest = mql4grec::cpu::detail::smallest_amx_product();
  auto const before = smallest.exchange(0);
  matmul(state, how);
  smallest = before;
  state.SetLabel("oneDNN");
}
#endif

void forward_shapes(benchmark::internal::Benchmark* b) {
  for (auto bits : {32, 16}) {
    for (auto [n, k] : {std::pair{1152, 128}, {128, 384}, {1024, 128}, {128, 1024}, {2068, 128}, {3072, 128}})
      b->Args({512, n, k, bits});
    for (auto [n, k] : {std::pair{2048, 384}, {1024, 2048}, {256, 512}, {64, 128}}) b->Args({1024, n, k, bits});
  }
}
void bf16_shapes(benchmark::internal::Benchmark* b) {
  for (auto [n, k] : {std::pair{1152, 128}, {128, 384}, {1024, 128}, {128, 1024}, {2068, 128}})
    for (auto rows : {20, 40, 480}) b->Args({rows, n, k, 16});
}
void weight_gradient_shapes(benchmark::internal::Benchmark* b) {
  for (auto bits : {32, 16}) {
    for (auto [m, n] : {std::pair{1152, 128}, {1024, 128}, {128, 1024}}) b->Args({m, n, 512, bits});
    for (auto [m, n] : {std::pair{1024, 384}, {512, 2048}, {128, 512}, {32, 128}}) b->Args({m, n, 2048, bits});
  }
}

using mql4grec::cpu::instruction_set;

/// Lowers the instruction set while a benchmark runs.
struct with_instruction_set {
  instruction_set const before = mql4grec::cpu::allowed_instruction_set();
  explicit with_instruction_set(instruction_set set) { mql4grec::cpu::allowed_instruction_set() = set; }
  ~with_instruction_set() { mql4grec::cpu::allowed_instruction_set() = before; }
};

/// x (m,k) · wᵀ, w (n,k); `multiply(b, x, w, y)` returns what one iteration runs.
void products(benchmark::State& state, instruction_set set, auto multiply) {
  if (set > mql4grec::cpu::chosen_instruction_set()) return state.SkipWithError("this machine lacks the instructions");
  with_instruction_set const lowered(set);
  bench::backend b;
  auto const m = state.range(0), n = state.range(1), k = state.range(2);
  auto const x = bench::random_matrix(b, m, k), w = bench::random_matrix(b, n, k), y = bench::random_matrix(b, m, n);
  auto run = multiply(b, x, w, y);
  for (auto _ : state) run();
  bench::count_flops(state, 2.0 * static_cast<double>(m * n * k));
}

void frozen(benchmark::State& state, instruction_set set) {
  products(state, set, [](bench::backend& b, bench::matrix x, bench::matrix w, bench::matrix y) {
    return [&b, x, y, weight = mql4grec::cpu::frozen_weight(w, 1)] { weight.product(b, x, y); };
  });
}
/// Products by many weights in turn.
void cold(benchmark::State& state, instruction_set set) {
  std::size_t const count =
      (std::size_t{16} << 20) / sizeof(float) / mql4grec::to_size(state.range(1) * state.range(2));
  products(state, set, [count](bench::backend& b, bench::matrix x, bench::matrix w, bench::matrix y) {
    std::vector<mql4grec::cpu::frozen_weight> weights;
    for (std::size_t i = 0; i < count; ++i) weights.emplace_back(w, 1);
    return [&b, x, y, weights = std::move(weights), i = std::size_t{0}]() mutable {
      weights[i++ % weights.size()].product(b, x, y);
    };
  });
}
/// n is a multiple of 16, as padded scores and the widths of heads are.
void small(benchmark::State& state, instruction_set set) {
  products(state, set, [](bench::backend&, bench::matrix x, bench::matrix w, bench::matrix y) {
    return [=] {  // w's memory is used as a (k, n) matrix
      mql4grec::cpu::detail::small_product({x.data, x.stride, 1}, {w.data, y.columns()}, {y.data, y.stride},
                                           {y.rows(), y.columns(), x.columns()});
    };
  });
}
void library(benchmark::State& state, auto product) {
  products(state, mql4grec::cpu::chosen_instruction_set(),
           [product](bench::backend&, bench::matrix x, bench::matrix w, bench::matrix y) {
             return [=] { product(x, w, y, {.transpose_b = true}); };
           });
}

void frozen_shapes(benchmark::internal::Benchmark* b) {
  for (auto [n, k] : {std::pair{384, 128}, {128, 384}, {1024, 128}, {128, 1024}, {2068, 128}})
    for (auto rows : {1, 20, 40, 480}) b->Args({rows, n, k});
}
void small_shapes(benchmark::internal::Benchmark* b) {
  b->Args({5, 16, 64})->Args({26, 32, 64})->Args({26, 64, 26})->Args({40, 48, 64})->Args({40, 64, 40});
}

BENCHMARK_CAPTURE(small, baseline, instruction_set::baseline)->Apply(small_shapes);
BENCHMARK_CAPTURE(small, avx2, instruction_set::avx2)->Apply(small_shapes);
BENCHMARK_CAPTURE(small, avx512, instruction_set::avx512)->Apply(small_shapes);
BENCHMARK_CAPTURE(frozen, baseline, instruction_set::baseline)->Apply(frozen_shapes);
BENCHMARK_CAPTURE(frozen, avx2, instruction_set::avx2)->Apply(frozen_shapes);
BENCHMARK_CAPTURE(frozen, avx512, instruction_set::avx512)->Apply(frozen_shapes);
BENCHMARK_CAPTURE(cold, baseline, instruction_set::baseline)->Apply(frozen_shapes);
BENCHMARK_CAPTURE(cold, avx2, instruction_set::avx2)->Apply(frozen_shapes);
BENCHMARK_CAPTURE(cold, avx512, instruction_set::avx512)->Apply(frozen_shapes);
BENCHMARK_CAPTURE(library, blas, mql4grec::cpu::detail::cblas_product<float>)
    ->Apply(small_shapes)
    ->Apply(frozen_shapes);
#if MQL4GREC_HAS_ONEDNN
BENCHMARK_CAPTURE(library, onednn, mql4grec::cpu::detail::onednn_product)->Apply(small_shapes)->Apply(frozen_shapes);
#endif
BENCHMARK_CAPTURE(matmul, bf16, mql4grec::product{.transpose_b = true})->Apply(bf16_shapes);
#if MQL4GREC_HAS_ONEDNN
BENCHMARK_CAPTURE(matmul_amx, bf16, mql4grec::product{.transpose_b = true})->Apply(bf16_shapes);
#endif
BENCHMARK_CAPTURE(matmul, forward, mql4grec::product{.transpose_b = true})->Apply(forward_shapes);
BENCHMARK_CAPTURE(matmul, input_gradient, mql4grec::product{})->Apply(forward_shapes);
BENCHMARK_CAPTURE(matmul, weight_gradient, mql4grec::product{.transpose_a = true, .accumulate = true})
    ->Apply(weight_gradient_shapes);

}  // namespace
