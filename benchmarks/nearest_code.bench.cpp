// The nearest of K vectors for n rows of a width, one core. Arguments: n, K, width.
#include "support.hpp"

namespace {

using mql4grec::code_t, bench::index_t;

/// One multiply-add an entry. The difference before it isn't counted: it costs nothing where additions have units of
/// their own.
double flops_of(index_t n, index_t codes, index_t width) { return 2.0 * static_cast<double>(n * codes * width); }

void count(benchmark::State& state, index_t n, index_t codes, index_t width) {
  bench::count_flops(state, flops_of(n, codes, width));
  state.counters["s/row"] = benchmark::Counter(
      static_cast<double>(n), benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

void nearest_code(benchmark::State& state) {
  bench::backend b;
  auto const n = state.range(0), k = state.range(1), width = state.range(2);
  auto const x = bench::random_matrix(b, n, width), vectors = bench::random_matrix(b, k, width, 2);
  auto const codes = mql4grec::take<code_t>(b, n);
  auto const distances = mql4grec::take<float>(b, n);
  for (auto _ : state) mql4grec::cpu::nearest_code<float>(b, x, vectors, codes, distances);
  count(state, n, k, width);
}

void squared_distances(benchmark::State& state) {
  bench::backend b;
  auto const n = state.range(0), k = state.range(1), width = state.range(2);
  auto const x = bench::random_matrix(b, n, width), vectors = bench::random_matrix(b, k, width, 2);
  auto const distances = bench::random_matrix(b, n, k);
  for (auto _ : state) mql4grec::cpu::squared_distances<float>(b, x, vectors, distances);
  count(state, n, k, width);
}

void argmin_rows(benchmark::State& state) {
  bench::backend b;
  auto const distances = bench::random_matrix(b, state.range(0), state.range(1));
  auto const codes = mql4grec::take<code_t>(b, distances.rows());
  for (auto _ : state) mql4grec::cpu::argmin_rows<float>(b, distances, codes);
  bench::count_bytes(state, 4.0 * static_cast<double>(distances.size()));
}

BENCHMARK(nearest_code)->Args({1, 256, 32})->Args({32, 256, 32})->Args({2048, 256, 32})->Args({100'000, 256, 32});
BENCHMARK(nearest_code)->Args({2048, 16, 32})->Args({2048, 256, 384})->Args({2048, 256, 33});
BENCHMARK(squared_distances)->Args({2048, 256, 32});
BENCHMARK(argmin_rows)->Args({2048, 256});

}  // namespace
