// How the time of the paper's model grows: training with the batch, search with beams, history and catalog. All with
// two threads in fp32. Arguments: the size that grows.
#include "sequences.hpp"
#include "support.hpp"

#include "mql4grec/search/beam_search.hpp"
#include "mql4grec/seq2seq/decoding.hpp"
#include "mql4grec/seq2seq/initialize.hpp"
#include "mql4grec/seq2seq/trainer.hpp"

namespace {

using namespace mql4grec;
using model_type = seq2seq::t5<cpu::backend, float>;

/// Counts `n` things an iteration.
void count(benchmark::State& state, char const* rate, index_t n) {
  state.counters[rate] = benchmark::Counter(static_cast<double>(n), benchmark::Counter::kIsIterationInvariantRate);
}

void training_with_batch(benchmark::State& state) {
  cpu::backend b(2);
  model_type model(b, {});
  seq2seq::initialize(model, 1);
  seq2seq::trainer<cpu::backend, float> trainer(b, model, {});
  auto const all = bench::random_batch(state.range(0), 8, true);
  for (auto _ : state) trainer.step(all, 1e-4);
  count(state, "examples/s", all.size());
}

/// Searches with the paper's model and a random catalog.
void time_search(benchmark::State& state, tasks::batch const& queries, index_t beams, index_t items) {
  cpu::backend b(2);
  model_type model(b, {});
  seq2seq::initialize(model, 1);
  search::item_trie const trie(bench::random_catalog(items));
  seq2seq::frozen_t5 const frozen(b, std::move(model));
  search::beam_options const options{.beams = beams};
  for (auto _ : state) benchmark::DoNotOptimize(search::beam_search(b, frozen, trie, queries, options));
  count(state, "searches/s", queries.size());
}

void search_with_beams(benchmark::State& state) {
  time_search(state, bench::random_batch(64, 16, false), state.range(0), 6250);
}
void search_with_history(benchmark::State& state) {
  time_search(state, bench::equal_queries(64, state.range(0)), 20, 6250);
}
void search_with_catalog(benchmark::State& state) {
  time_search(state, bench::random_batch(64, 16, false), 20, state.range(0));
}

BENCHMARK(training_with_batch)->RangeMultiplier(4)->Range(16, 4096)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(search_with_beams)->Arg(1)->Arg(5)->Arg(20)->Arg(100)->Arg(512)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(search_with_history)->RangeMultiplier(2)->Range(1, 64)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(search_with_catalog)
    ->RangeMultiplier(10)
    ->Range(1000, 10'000'000)
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
