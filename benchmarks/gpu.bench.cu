// The GPU backend, whole pieces of work: products, a training step and a search at the released shape, nearest codes.
// Every measurement ends with the device's work done. Device 0; --benchmark_filter chooses.
#include <benchmark/benchmark.h>

#include <numeric>

#include "mql4grec/gpu.cuh"
#include "sequences.hpp"

namespace {

using namespace mql4grec;
using device = gpu::backend<gpu::cuda>;

device make(std::int64_t bits) {
  return device({.products = bits == 16 ? precision::bf16 : bits == 19 ? precision::tf32 : precision::fp32});
}

out_matrix<device, float> random_matrix(device& b, index_t rows, index_t columns, std::uint64_t seed) {
  auto const m = take<float>(b, rows, columns);
  fill(m.flat(), [&](host_vector_view<float> values) {
    constexpr index_t drawn = 1 << 20;  // and then repeated: the host is slow at it
    random_stream random(seed, 0);
    for (index_t i = 0; i < std::min(drawn, values.size()); ++i) values(i) = static_cast<float>(random.normal());
    for (index_t i = drawn; i < values.size(); ++i) values(i) = values(i - drawn);
  });
  return m;
}

void rate(benchmark::State& state, char const* unit, double an_iteration) {
  state.counters[unit] = benchmark::Counter(an_iteration, benchmark::Counter::kIsIterationInvariantRate);
}

/// Arguments: m, n, k, bits a factor is rounded to (32, 19: TF32, 16: bf16).
void product_of(benchmark::State& state) {
  auto b = make(state.range(3));
  auto const m = state.range(0), n = state.range(1), k = state.range(2);
  scratch_scope<device> const scope(b.scratch());
  auto const x = random_matrix(b, m, k, 1), w = random_matrix(b, n, k, 2), y = take<float>(b, m, n);
  for (auto _ : state) {
    matmul<float>(b, x, w, y, {.transpose_b = true});
    b.synchronize();
  }
  rate(state, "FLOP/s", 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k));
}

void copy_of(benchmark::State& state) {
  auto b = make(32);
  auto from = b.allocate<float>(1 << 28), to = b.allocate<float>(1 << 28);
  for (auto _ : state) {
    copy<float>(b, from.view_all(), to.view_all());
    b.synchronize();
  }
  rate(state, "B/s", 2.0 * 4 * (1 << 28));
}

/// Steps with a batch of so many examples, the whole batch at once. If `captured`, the examples lie on the device and a
/// step is a graph; else the host writes the batch and starts each kernel.
void time_steps(benchmark::State& state, seq2seq::training_options options, index_t examples, bool captured) {
  auto b = make(state.range(0));
  seq2seq::t5<device, float> model(b, {});
  initialize(model, 1);
  options.block_tokens = 1 << 30;
  seq2seq::trainer<device, float> trainer(b, model, options);
  auto const all = bench::random_batch(examples, 8, true);
  seq2seq::device_dataset<device> set;
  set.assign(b, all);
  std::vector<index_t> which(to_size(examples));
  std::iota(which.begin(), which.end(), index_t{0});
  auto const step = [&] { return captured ? trainer.step(set, which, 1e-4) : trainer.step(all, 1e-4); };
  for (int i = 0; i < 3; ++i) step();  // scratch of the final size, then captured
  for (auto _ : state) {
    step();
    b.synchronize();
  }
  rate(state, "examples/s", static_cast<double>(examples));
  rate(state, "tokens/s", static_cast<double>(all.inputs.size() + all.targets.size()));
}

/// Arguments: bits; whether steps are captured. Batch 1024, AdamW.
void training_step(benchmark::State& state) { time_steps(state, {}, 1024, state.range(1) == 1); }
/// Arguments: bits; examples of a batch.
void muon_step(benchmark::State& state) {
  time_steps(state, {.hidden_optimizer = optim::muon{}}, state.range(1), true);
}

/// Arguments: bits. One user, 20 beams, one search after the other: what a request costs.
void one_request(benchmark::State& state) {
  auto b = make(state.range(0));
  seq2seq::t5<device, float> model(b, {});
  initialize(model, 1);
  search::item_trie const trie(bench::random_catalog());
  seq2seq::frozen_t5 const frozen(b, std::move(model));
  search::beam_searcher<device, seq2seq::frozen_t5<device, float>> searcher(b, frozen, trie);
  auto const queries = bench::random_batch(1, 16, false);
  auto const run_queries = [&] {
    search::beams found;
    searcher.search({.batch = queries, .part = {0, 1}}, {}, found);
    return found;
  };
  for (int i = 0; i < 3; ++i) run_queries();
  for (auto _ : state) benchmark::DoNotOptimize(run_queries());
}

/// Arguments: bits, beams. 1024 users at once.
void beam_search(benchmark::State& state) {
  auto b = make(state.range(0));
  seq2seq::t5<device, float> model(b, {});
  initialize(model, 1);
  search::item_trie const trie(bench::random_catalog());
  seq2seq::frozen_t5 const frozen(b, std::move(model));
  index_t const users = state.range(1) <= 100 ? 1024 : 256;
  search::beam_options const options{.beams = state.range(1), .block_rows = users * state.range(1)};
  auto const queries = bench::random_batch(users, 16, false);
  search::beam_searcher<device, seq2seq::frozen_t5<device, float>> searcher(b, frozen, trie);
  auto const run_queries = [&] {
    search::beams found;
    searcher.search({.batch = queries, .part = {0, users}}, options, found);
    return found;
  };
  for (int i = 0; i < 3; ++i) run_queries();
  for (auto _ : state) benchmark::DoNotOptimize(run_queries());
  rate(state, "users/s", static_cast<double>(users));
}

/// Arguments: bits. A translator at the paper's size on features of width 384, batch 2048.
void translator_step(benchmark::State& state) {
  auto b = make(state.range(0));
  quantize::rq_vae<device, float> model(b, {.input_width = 384});
  initialize(model, 1);
  quantize::rq_vae_trainer trainer(
      b, model,
      {.batch_size = 2048, .revive_after = 1 << 30});  // random features leave codes idle; reviving is another cost
  auto memory = b.allocate<float>(2048 * 384);
  fill(memory.view_all(), [](host_vector_view<float> values) {
    random_stream random(1, 0);
    for (index_t i = 0; i < values.size(); ++i) values(i) = static_cast<float>(random.normal());
  });
  in_matrix<device, float> const x(memory.view_all().data, 2048, 384);
  for (int i = 0; i < 3; ++i) trainer.step(x);
  for (auto _ : state) {
    trainer.step(x);
    b.synchronize();
  }
  rate(state, "items/s", 2048);
}

/// Argument: rows. Four levels of 256 codes, width 32, each of what the levels before it left; that a row is made anew
/// before it isn't timed.
void nearest_codes_of(benchmark::State& state) {
  auto b = make(32);
  index_t const rows = state.range(0);
  scratch_scope<device> const scope(b.scratch());
  auto const x = random_matrix(b, rows, 32, 1), rest = take<float>(b, rows, 32);
  std::vector<in_matrix<device, float>> levels;
  for (std::uint64_t level = 0; level < 4; ++level) levels.push_back(random_matrix(b, 256, 32, 2 + level));
  auto const codes = take<code_t>(b, 4, rows);
  for (auto _ : state) {
    state.PauseTiming();
    copy<float>(b, in_vector<device, float>(x.flat()), rest.flat());
    b.synchronize();
    state.ResumeTiming();
    nearest_codes<float>(b, levels, rest, codes);
    b.synchronize();
  }
  rate(state, "items/s", static_cast<double>(rows));
}

BENCHMARK(copy_of)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(product_of)
    ->ArgsProduct({{8192}, {8192}, {8192}, {32, 19, 16}})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(product_of)->ArgsProduct({{25600}, {1152}, {128}, {19, 16}})->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK(training_step)->ArgsProduct({{32, 19, 16}, {1}})->Args({16, 0})->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(muon_step)->ArgsProduct({{19}, {1024, 256}})->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(beam_search)->ArgsProduct({{19, 16}, {20, 100, 512}})->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(one_request)->Arg(16)->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK(translator_step)->ArgsProduct({{32, 19, 16}})->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(nearest_codes_of)->Arg(10'000'000)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
