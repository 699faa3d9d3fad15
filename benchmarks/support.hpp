#pragma once
// What benchmarks share: the machine's own ceilings, measured in the same run, so that every figure ends in a share of
// them.
#include <benchmark/benchmark.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <bit>
#include <chrono>
#include <cstdint>
#include <vector>

#include "mql4grec/backend/cpu/cpu.hpp"
#include "mql4grec/core/random.hpp"

namespace bench {

using mql4grec::index_t;
using backend = mql4grec::cpu::backend;
using matrix = mql4grec::view<float, mql4grec::host_space, 2>;
using vector = mql4grec::view<float, mql4grec::host_space, 1>;

// Independent multiply-adds on registers alone: 12 chains hide the latency of any current core, and leave enough
// registers for the constants with every instruction set. As in small_product.hpp, a macro defines them for each.
#define MQL4GREC_PEAK(name, register_bytes, ...)                                                                \
  __VA_ARGS__ inline float name(index_t rounds, float factor) {                                                 \
    typedef float reg __attribute__((vector_size(register_bytes)));                                             \
    constexpr int chains = 12;                                                                                  \
    reg sums[chains], all = {};                                                                                 \
    _Pragma("GCC unroll 12") for (int c = 0; c < chains; ++c) sums[c] = reg{} + factor * static_cast<float>(c); \
    for (index_t i = 0; i < rounds; ++i)                                                                        \
      _Pragma("GCC unroll 12") for (int c = 0; c < chains; ++c) sums[c] = sums[c] * factor + 1.f;               \
    _Pragma("GCC unroll 12") for (int c = 0; c < chains; ++c) all += sums[c];                                   \
    return all[0];                                                                                              \
  }                                                                                                             \
  inline constexpr double name##_flops = 2.0 * 12 * register_bytes / sizeof(float);
MQL4GREC_PEAK(peak_baseline, 16)
#if defined(__x86_64__) && defined(__GNUC__)
MQL4GREC_PEAK(peak_avx2, 32, __attribute__((target("avx2,fma"))))
MQL4GREC_PEAK(peak_avx512, 64, __attribute__((target("avx512f,avx2,fma"))))
#endif
#undef MQL4GREC_PEAK

inline double seconds_of(auto&& work) {
  auto const start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

#if defined(__x86_64__) && defined(__GNUC__)
/// Likewise with factors of 8-bit integers: 12 chains of 16 sums, four products each.
[[gnu::target("avx512f,avx512vnni")]] inline float int8_peak_run(index_t rounds, float factor) {
  typedef std::int32_t reg __attribute__((vector_size(64)));
  constexpr int chains = 12;
  reg const ones = reg{} + std::bit_cast<std::int32_t>(factor);
  reg sums[chains] = {};
  for (index_t i = 0; i < rounds; ++i)
#pragma GCC unroll 12
    for (int c = 0; c < chains; ++c) sums[c] = reg(_mm512_dpbusd_epi32(__m512i(sums[c]), __m512i(ones), __m512i(ones)));
  reg all = {};
#pragma GCC unroll 12
  for (int c = 0; c < chains; ++c) all += sums[c];
  return static_cast<float>(all[0]);
}

/// Likewise with bf16 factors: 12 chains of 16 sums, two products each.
[[gnu::target("avx512f,avx512bf16")]] inline float bf16_peak_run(index_t rounds, float factor) {
  constexpr int chains = 12;
  __m512bh const ones = reinterpret_cast<__m512bh>(_mm512_set1_epi32(std::bit_cast<int>(factor)));
  __m512 sums[chains];
#pragma GCC unroll 12
  for (int c = 0; c < chains; ++c) sums[c] = _mm512_setzero_ps();
  for (index_t i = 0; i < rounds; ++i)
#pragma GCC unroll 12
    for (int c = 0; c < chains; ++c) sums[c] = _mm512_dpbf16_ps(sums[c], ones, ones);
  float all[mql4grec::cpu::lanes], sum = 0;
#pragma GCC unroll 12
  for (int c = 0; c < chains; ++c) {
    _mm512_storeu_ps(all, sums[c]);
    sum += all[0];
  }
  return sum;
}
#endif

/// The best of several measurements, in FLOP/s of one core. Short ones, so that some run without interruption.
inline double best_flops(double flops_a_round, auto&& run) {
  constexpr index_t rounds = 200'000;
  double best = 1e9;
  for (int i = 0; i < 80; ++i)
    best = std::min(best, seconds_of([&] { benchmark::DoNotOptimize(run(rounds, 0.999f)); }));
  return flops_a_round * static_cast<double>(rounds) / best;
}
/// The peak of the chosen instruction set. Where the machine doesn't multiply bf16 by itself, its peak is that of fp32;
/// so is the peak of int8 without AVX512_VNNI.
inline double peak_flops(mql4grec::precision products = mql4grec::precision::fp32) {
#if defined(__x86_64__) && defined(__GNUC__)
  if (products == mql4grec::precision::bf16 && mql4grec::cpu::has_fast_bf16()) {
    static double const rounded = best_flops(2 * peak_avx512_flops, bf16_peak_run);
    return rounded;
  }
  using mql4grec::cpu::instruction_set, mql4grec::cpu::chosen_instruction_set;
  if (products == mql4grec::precision::int8 &&
      mql4grec::cpu::chosen_int8_instructions() == mql4grec::cpu::int8_instructions::avx512_vnni) {
    static double const integers = best_flops(4 * peak_avx512_flops, int8_peak_run);
    return integers;
  }
  if (chosen_instruction_set() == instruction_set::avx512) {
    static double const peak = best_flops(peak_avx512_flops, peak_avx512);
    return peak;
  }
  if (chosen_instruction_set() == instruction_set::avx2) {
    static double const peak = best_flops(peak_avx2_flops, peak_avx2);
    return peak;
  }
#endif
  static double const peak = best_flops(peak_baseline_flops, peak_baseline);
  return peak;
}

/// Benchmarks take the bits of a product's factors as an argument: 32, 16, or 8 for frozen weights.
inline mql4grec::precision precision_of(std::int64_t bits) {
  if (bits == 8) return mql4grec::precision::int8;
  return bits == 16 ? mql4grec::precision::bf16 : mql4grec::precision::fp32;
}

/// Bytes a second that one core copies between buffers beyond every cache, reads and writes both counted.
inline double peak_bytes() {
  static double const peak = [] {
    std::vector<float> from(64 << 20), to(from.size());
    double best = 1e9;
    for (int i = 0; i < 4; ++i)
      best = std::min(best, seconds_of([&] {
                        std::copy(from.begin(), from.end(), to.begin());
                        benchmark::ClobberMemory();
                      }));
    return 2.0 * static_cast<double>(from.size() * sizeof(float)) / best;
  }();
  return peak;
}

/// Adds GFLOP/s and the share of the threads' multiply-add peak to a finished measurement.
inline void count_flops(benchmark::State& state, double flops_an_iteration, double threads = 1,
                        mql4grec::precision products = mql4grec::precision::fp32) {
  state.counters["FLOP/s"] = benchmark::Counter(flops_an_iteration, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["share"] = benchmark::Counter(flops_an_iteration / (threads * peak_flops(products)),
                                               benchmark::Counter::kIsIterationInvariantRate);
}
inline void count_bytes(benchmark::State& state, double bytes_an_iteration) {
  state.counters["B/s"] = benchmark::Counter(bytes_an_iteration, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["share"] =
      benchmark::Counter(bytes_an_iteration / peak_bytes(), benchmark::Counter::kIsIterationInvariantRate);
}

/// Random normal entries, taken from the backend's scratch.
inline matrix random_matrix(backend& b, index_t rows, index_t columns, std::uint64_t seed = 1) {
  auto const m = mql4grec::take<float>(b, rows, columns);
  mql4grec::random_stream random(seed, 0);
  for (index_t i = 0; i < m.size(); ++i) m.data[i] = static_cast<float>(random.normal());
  return m;
}

/// Offsets of `sequences` sequences of the same length.
inline mql4grec::view<index_t const, mql4grec::host_space, 1> even_offsets(backend& b, index_t sequences,
                                                                           index_t length) {
  auto const offsets = mql4grec::take<index_t>(b, sequences + 1);
  for (index_t s = 0; s <= sequences; ++s) offsets(s) = s * length;
  return offsets;
}

}  // namespace bench
