// A translator at the paper's size: an update of a batch, and encoding. Arguments: threads, width of the features,
// rows, bits of the products' factors.
#include "mql4grec/quantize/assign_codes.hpp"
#include "mql4grec/quantize/rq_vae/trainer.hpp"
#include "support.hpp"

using namespace mql4grec;

namespace {

/// Multiply-adds, twice, of one item through all layers of the encoder; the decoder has as many.
double encoder_flops(quantize::rq_vae_config const& c) {
  double sum = 0;
  auto const widths = c.widths();
  for (std::size_t l = 0; l + 1 < widths.size(); ++l) sum += 2.0 * static_cast<double>(widths[l] * widths[l + 1]);
  return sum;
}
double distance_flops(quantize::rq_vae_config const& c) {
  double codes = 0;
  for (auto const k : c.codes) codes += static_cast<double>(k);
  return 2.0 * codes * static_cast<double>(c.latent_width);
}

void training_step(benchmark::State& state) {
  cpu::backend b(state.range(0), bench::precision_of(state.range(3)));
  quantize::rq_vae<cpu::backend, float> model(b, {.input_width = state.range(1)});
  quantize::initialize(model, 1);
  index_t const rows = state.range(2);
  quantize::rq_vae_trainer trainer(b, model, {.batch_size = rows});
  auto const x = bench::random_matrix(b, rows, state.range(1));
  trainer.step(x);
  for (auto _ : state) trainer.step(x);
  auto const items = static_cast<double>(rows);
  state.counters["items/s"] = benchmark::Counter(items, benchmark::Counter::kIsIterationInvariantRate);
  double const first_layer =
      2.0 * static_cast<double>(state.range(1) * model.config().hidden.front());  // the input has no gradient
  bench::count_flops(state, items * (6 * encoder_flops(model.config()) - first_layer + distance_flops(model.config())),
                     static_cast<double>(b.workers()), b.products());
}

void encoding(benchmark::State& state) {
  cpu::backend b(state.range(0), bench::precision_of(state.range(3)));
  quantize::rq_vae<cpu::backend, float> model(b, {.input_width = state.range(1)});
  quantize::initialize(model, 1);
  index_t const rows = state.range(2);
  auto const x = bench::random_matrix(b, rows, state.range(1));
  embed::matrix_features const features(x);
  for (auto _ : state)
    benchmark::DoNotOptimize(quantize::assign_codes(b, model, features, {.reconstruction_error = false}));
  auto const items = static_cast<double>(rows);
  state.counters["items/s"] = benchmark::Counter(items, benchmark::Counter::kIsIterationInvariantRate);
  bench::count_flops(state, items * (encoder_flops(model.config()) + distance_flops(model.config())),
                     static_cast<double>(b.workers()), b.products());
}

}  // namespace

BENCHMARK(training_step)->ArgsProduct({{1, 2}, {384}, {2048}, {32, 16}})->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(encoding)->ArgsProduct({{1, 2}, {768}, {16384}, {32, 16}})->UseRealTime()->Unit(benchmark::kMillisecond);
