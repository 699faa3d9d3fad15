// Packed self-attention with T5's bias, 6 heads of width 64, one core. Arguments: sequences, tokens of each.
#include "support.hpp"

namespace {

using bench::index_t;
constexpr index_t heads = 6, width = 64;
using mql4grec::attention_inputs, mql4grec::host_space;

attention_inputs<host_space, float> inputs(bench::backend& b, index_t sequences, index_t length, double dropout_rate) {
  auto const qkv = bench::random_matrix(b, sequences * length, 3 * heads * width);
  for (index_t i = 0; i < qkv.size(); ++i) qkv.data[i] *= 0.1f;
  auto const offsets = bench::even_offsets(b, sequences, length);
  return {.q = qkv.column_block(0, heads * width),
          .k = qkv.column_block(heads * width, heads * width),
          .v = qkv.column_block(2 * heads * width, heads * width),
          .query_offsets = offsets,
          .key_offsets = offsets,
          .heads = heads,
          .bias = bench::random_matrix(b, heads, 2 * length - 1),
          .zero_distance = length - 1,
          .drop = {.rate = dropout_rate}};
}

void attention_forward(benchmark::State& state) {
  bench::backend b;
  auto const n = state.range(0), length = state.range(1);
  auto const in = inputs(b, n, length, 0);
  auto const weights = mql4grec::take<float>(b, n * heads * length * length);
  auto const context = bench::random_matrix(b, n * length, heads * width);
  for (auto _ : state) mql4grec::cpu::attention_forward<float>(b, in, weights, context);
  bench::count_flops(state, 4.0 * static_cast<double>(n * heads * length * length * width));
}

void attention_backward(benchmark::State& state) {
  bench::backend b;
  auto const n = state.range(0), length = state.range(1);
  auto const in = inputs(b, n, length, 0.1);
  auto const weights = mql4grec::take<float>(b, n * heads * length * length);
  auto const context = bench::random_matrix(b, n * length, heads * width),
             gradient = bench::random_matrix(b, n * length, 3 * heads * width);
  auto const dbias = bench::random_matrix(b, heads, 2 * length - 1);
  mql4grec::cpu::attention_forward<float>(b, in, weights, context);
  for (auto _ : state)
    mql4grec::cpu::attention_backward<float>(b, in, weights, context,
                                             {.dq = gradient.column_block(0, heads * width),
                                              .dk = gradient.column_block(heads * width, heads * width),
                                              .dv = gradient.column_block(2 * heads * width, heads * width),
                                              .dbias = dbias});
  bench::count_flops(state, 8.0 * static_cast<double>(n * heads * length * length * width));
}

BENCHMARK(attention_forward)->Args({32, 5})->Args({32, 20})->Args({16, 40})->Args({8, 84});
BENCHMARK(attention_backward)->Args({32, 5})->Args({32, 20})->Args({16, 40})->Args({8, 84});

}  // namespace
