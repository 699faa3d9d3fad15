// Operations that memory bounds, one core. Arguments: rows, columns.
#include <cmath>

#include "support.hpp"

namespace {

using mql4grec::dropout, mql4grec::token_t, bench::index_t;

void rms_norm_forward(benchmark::State& state) {
  bench::backend b;
  auto const x = bench::random_matrix(b, state.range(0), state.range(1)),
             y = bench::random_matrix(b, x.rows(), x.columns());
  auto const gain = bench::random_matrix(b, 1, x.columns()).row(0), inv = mql4grec::take<float>(b, x.rows());
  for (auto _ : state) mql4grec::cpu::rms_norm_forward<float>(b, {x, gain}, 1e-6, y, inv);
  bench::count_bytes(state, 8.0 * static_cast<double>(x.size()));
}

void layer_norm_forward(benchmark::State& state) {
  bench::backend b;
  auto const x = bench::random_matrix(b, state.range(0), state.range(1)),
             y = bench::random_matrix(b, x.rows(), x.columns()), weights = bench::random_matrix(b, 2, x.columns());
  for (auto _ : state) mql4grec::cpu::layer_norm_forward<float>(b, {x, weights.row(0), weights.row(1)}, 1e-12, y);
  bench::count_bytes(state, 8.0 * static_cast<double>(x.size()));
}

void gelu_forward(benchmark::State& state) {
  bench::backend b;
  auto const x = bench::random_matrix(b, state.range(0), state.range(1)),
             h = bench::random_matrix(b, x.rows(), x.columns());
  for (auto _ : state) {
    mql4grec::copy<float>(x.flat(), h.flat());  // repeated in place, values would become denormal
    mql4grec::cpu::gelu_forward<float>(b, h);
  }
  bench::count_bytes(state, 16.0 * static_cast<double>(h.size()));
}

void swiglu_forward(benchmark::State& state) {
  bench::backend b;
  auto const gates = bench::random_matrix(b, state.range(0), 2 * state.range(1)),
             h = bench::random_matrix(b, gates.rows(), state.range(1));
  for (auto _ : state) mql4grec::cpu::swiglu_forward<float>(b, gates, h);
  bench::count_bytes(state, 12.0 * static_cast<double>(h.size()));
}

void rotary_forward(benchmark::State& state) {  // heads of width 64
  bench::backend b;
  auto const x = bench::random_matrix(b, state.range(0), state.range(1));
  auto const angles = bench::random_matrix(b, 2 * x.rows(), 32);
  auto const positions = mql4grec::take<index_t>(b, x.rows());
  for (index_t i = 0; i < x.rows(); ++i) {
    positions(i) = i;
    for (index_t c = 0; c < 32; ++c) {  // rotations keep the length
      angles(x.rows() + i, c) = std::sin(static_cast<float>(i + c));
      angles(i, c) = std::cos(static_cast<float>(i + c));
    }
  }
  for (auto _ : state)
    mql4grec::cpu::rotary_forward<float>(b, {angles.row_block(0, x.rows()), angles.row_block(x.rows(), x.rows())},
                                         positions, x);
  bench::count_bytes(state, 8.0 * static_cast<double>(x.size()));
}

void dropout_add(benchmark::State& state) {
  bench::backend b;
  auto const x = bench::random_matrix(b, state.range(0), state.range(1)),
             y = bench::random_matrix(b, x.rows(), x.columns());
  for (auto _ : state) mql4grec::cpu::dropout_add<float>(b, {.rate = 0.1, .seed = 1}, x, y);
  bench::count_bytes(state, 12.0 * static_cast<double>(x.size()));
}

void relu_with_dropout(benchmark::State& state) {
  bench::backend b;
  auto const h = bench::random_matrix(b, state.range(0), state.range(1));
  for (auto _ : state) mql4grec::cpu::relu_forward<float>(b, {.rate = 0.1, .seed = 1}, h);
  bench::count_bytes(state, 8.0 * static_cast<double>(h.size()));
}

void cross_entropy(benchmark::State& state) {
  bench::backend b;
  auto const logits = bench::random_matrix(b, state.range(0), state.range(1));
  auto const targets = mql4grec::take<token_t>(b, logits.rows());
  auto const losses = mql4grec::take<float>(b, logits.rows());
  for (index_t i = 0; i < targets.size(); ++i) targets(i) = token_t(i % logits.columns());
  for (auto _ : state) mql4grec::cpu::cross_entropy_backward<float>(b, targets, 1e-3, logits, losses);
  bench::count_bytes(state, 8.0 * static_cast<double>(logits.size()));
}

void adamw(benchmark::State& state) {
  bench::backend b;
  auto const n = state.range(0) * state.range(1);
  auto const all = bench::random_matrix(b, 4, n);
  for (index_t i = 0; i < n; ++i) all(3, i) = all(3, i) * all(3, i);  // a second moment isn't negative
  for (auto _ : state)
    mql4grec::cpu::adamw_step<float>(b, {.weight_decay = 0.01}, {all.row(0), all.row(1), all.row(2), all.row(3)});
  bench::count_bytes(state, 28.0 * static_cast<double>(n));
}

BENCHMARK(rms_norm_forward)->Args({512, 128});
BENCHMARK(layer_norm_forward)->Args({512, 384});
BENCHMARK(gelu_forward)->Args({512, 1536});
BENCHMARK(swiglu_forward)->Args({512, 1536});
BENCHMARK(rotary_forward)->Args({512, 768});
BENCHMARK(dropout_add)->Args({512, 128});
BENCHMARK(relu_with_dropout)->Args({512, 1024});
BENCHMARK(cross_entropy)->Args({128, 2068});
BENCHMARK(adamw)->Args({4688, 1008});

}  // namespace
