// Balanced assignment of a batch's rows to K codes, 50 rounds, one core. Arguments: n, K.
#include "support.hpp"

namespace {

using mql4grec::code_t, bench::index_t;

/// Distances of random rows to random vectors of the translator's width: far from even, so that the rounds have work to
/// do.
void sinkhorn(benchmark::State& state) {
  constexpr index_t width = 32;
  constexpr int rounds = 50;
  bench::backend b;
  auto const n = state.range(0), k = state.range(1);
  auto const x = bench::random_matrix(b, n, width), vectors = bench::random_matrix(b, k, width, 2),
             distances = bench::random_matrix(b, n, k);
  for (index_t i = 0; i < vectors.size(); ++i) vectors.data[i] *= 0.5f;
  mql4grec::cpu::squared_distances<float>(b, x, vectors, distances);
  auto const codes = mql4grec::take<code_t>(b, n);
  for (auto _ : state)
    mql4grec::cpu::sinkhorn_assign<float>(b, distances, {.epsilon = 0.003, .iterations = rounds}, codes);
  bench::count_bytes(state,
                     8.0 * rounds * static_cast<double>(n * k));  // each round reads the kernel, in double precision
}

BENCHMARK(sinkhorn)->Args({256, 256})->Args({2048, 256})->Args({2048, 1024})->Unit(benchmark::kMillisecond);

}  // namespace
