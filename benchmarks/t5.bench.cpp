// The whole system on the paper's model with random sequences about as long as those of Instruments: training (26
// tokens an example) and search (38 a query). Arguments: threads, bits of the products' factors, beams.
#include "sequences.hpp"
#include "support.hpp"

#include "mql4grec/search/beam_search.hpp"
#include "mql4grec/seq2seq/decoding.hpp"
#include "mql4grec/seq2seq/initialize.hpp"
#include "mql4grec/seq2seq/trainer.hpp"

namespace {

using namespace mql4grec;
using model_type = seq2seq::t5<cpu::backend, float>;

/// Multiply-adds of one pass over the model's matrices: parameters touched once a row they apply to.
double forward_flops(seq2seq::t5_config const& c, double input_rows, double target_rows, double logit_rows) {
  double const d = static_cast<double>(c.model_width), inner = static_cast<double>(c.attention_width()),
               ff = static_cast<double>(c.inner_width);
  double const encoder = input_rows * static_cast<double>(c.encoder_layers) * (4 * d * inner + 2 * d * ff);
  double const memory = input_rows * static_cast<double>(c.decoder_layers) * 2 * d * inner;
  double const decoder = target_rows * static_cast<double>(c.decoder_layers) * (6 * d * inner + 2 * d * ff);
  return 2 * (encoder + memory + decoder + logit_rows * d * static_cast<double>(c.vocabulary));
}

void training_step(benchmark::State& state) {
  cpu::backend b(state.range(0), bench::precision_of(state.range(1)));
  model_type model(b, {});
  seq2seq::initialize(model, 1);
  seq2seq::trainer<cpu::backend, float> trainer(b, model, {});
  auto const all = bench::random_batch(256, 8, true);
  for (auto _ : state) trainer.step(all, 1e-4);
  state.counters["examples/s"] =
      benchmark::Counter(static_cast<double>(all.size()), benchmark::Counter::kIsIterationInvariantRate);
  double const rows = static_cast<double>(all.targets.size());
  bench::count_flops(state, 3 * forward_flops(model.config(), static_cast<double>(all.inputs.size()), rows, rows),
                     static_cast<double>(b.workers()), b.products());
}

void beam_search(benchmark::State& state) {
  cpu::backend b(state.range(0), bench::precision_of(state.range(1)));
  model_type model(b, {});
  seq2seq::initialize(model, 1);
  search::item_trie const trie(bench::random_catalog());
  seq2seq::frozen_t5 const frozen(b, std::move(model));
  search::beam_options const options{.beams = state.range(2)};
  auto const queries = bench::random_batch(256, 16, false);
  for (auto _ : state) benchmark::DoNotOptimize(search::beam_search(b, frozen, trie, queries, options));
  double const users = static_cast<double>(queries.size()), rows = users * static_cast<double>(1 + 4 * options.beams);
  state.counters["users/s"] = benchmark::Counter(users, benchmark::Counter::kIsIterationInvariantRate);
  bench::count_flops(state, forward_flops(frozen.config(), static_cast<double>(queries.inputs.size()), rows, rows),
                     static_cast<double>(b.workers()), b.products());
}

BENCHMARK(training_step)
    ->ArgsProduct({{1, 2}, {32, 16}})
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond)
    ->MinTime(3);
BENCHMARK(beam_search)
    ->ArgsProduct({{1}, {32, 16, 8}, {20}})
    ->ArgsProduct({{2}, {32, 16, 8}, {20, 100, 512}})
    ->MeasureProcessCPUTime()
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond)
    ->MinTime(3);

}  // namespace
