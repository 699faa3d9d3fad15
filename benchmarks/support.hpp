#pragma once
// What benchmarks share: the machine's own ceilings, measured in the same run, so that every figure ends in a share of them.
#include <benchmark/benchmark.h>

#include <chrono>
#include <vector>

#include "mql4grec/backend/cpu/cpu.hpp"
#include "mql4grec/core/random.hpp"

namespace bench {

using mql4grec::index_t;
using backend = mql4grec::cpu::backend;
using matrix = mql4grec::view<float, mql4grec::host_space, 2>;
using vector = mql4grec::view<float, mql4grec::host_space, 1>;

/// Independent multiply-adds on registers alone: 12 chains of 16 floats hide the latency of any current core.
struct peak_kernel {
  MQL4GREC_INLINE static float run(index_t rounds, float factor) {
    constexpr int chains = 12;
    float sums[chains][mql4grec::cpu::lanes];
    for (auto& chain : sums)
      for (float& x : chain) x = 1.f;
    for (index_t i = 0; i < rounds; ++i)
#pragma GCC unroll 12
      for (int c = 0; c < chains; ++c)
        for (int l = 0; l < mql4grec::cpu::lanes; ++l) sums[c][l] = sums[c][l] * factor + 1.f;
    float all = 0;
    for (auto& chain : sums)
      for (float x : chain) all += x;
    return all;
  }
  static constexpr double flops_a_round = 2.0 * 12 * mql4grec::cpu::lanes;
};

inline double seconds_of(auto&& work) {
  auto const start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// The best of several measurements, in FLOP/s of one core.
inline double peak_flops() {
  static double const peak = [] {
    constexpr index_t rounds = 2'000'000;
    double best = 1e9;
    for (int i = 0; i < 8; ++i)
      best = std::min(best, seconds_of([&] { benchmark::DoNotOptimize(mql4grec::cpu::dispatch<peak_kernel>(rounds, 0.999f)); }));
    return peak_kernel::flops_a_round * static_cast<double>(rounds) / best;
  }();
  return peak;
}

/// Bytes a second that one core copies between buffers beyond every cache, reads and writes both counted.
inline double peak_bytes() {
  static double const peak = [] {
    std::vector<float> from(64 << 20), to(from.size());
    double best = 1e9;
    for (int i = 0; i < 4; ++i) best = std::min(best, seconds_of([&] {
      std::copy(from.begin(), from.end(), to.begin());
      benchmark::ClobberMemory();
    }));
    return 2.0 * static_cast<double>(from.size() * sizeof(float)) / best;
  }();
  return peak;
}

/// Adds GFLOP/s and the share of the threads' multiply-add peak to a finished measurement.
inline void count_flops(benchmark::State& state, double flops_an_iteration, double threads = 1) {
  state.counters["FLOP/s"] = benchmark::Counter(flops_an_iteration, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["share"] = benchmark::Counter(flops_an_iteration / (threads * peak_flops()), benchmark::Counter::kIsIterationInvariantRate);
}
inline void count_bytes(benchmark::State& state, double bytes_an_iteration) {
  state.counters["B/s"] = benchmark::Counter(bytes_an_iteration, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["share"] = benchmark::Counter(bytes_an_iteration / peak_bytes(), benchmark::Counter::kIsIterationInvariantRate);
}

/// Random normal entries, taken from the backend's scratch.
inline matrix random_matrix(backend& b, index_t rows, index_t columns, std::uint64_t seed = 1) {
  auto const m = b.scratch().take<float>(rows, columns);
  mql4grec::random_stream random(seed, 0);
  for (index_t i = 0; i < m.size(); ++i) m.data[i] = static_cast<float>(random.normal());
  return m;
}

/// Offsets of `sequences` sequences of the same length.
inline mql4grec::view<index_t const, mql4grec::host_space, 1> even_offsets(backend& b, index_t sequences, index_t length) {
  auto const offsets = b.scratch().take<index_t>(sequences + 1);
  for (index_t s = 0; s <= sequences; ++s) offsets(s) = s * length;
  return offsets;
}

}  // namespace bench
