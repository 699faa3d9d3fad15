// One program, several backends: the same model is trained and searched on each, and the results are compared. A
// backend is a type, so the code is compiled for each of them; nothing is chosen at run time. g++ compiles this file
// for the CPU and for Thrust on the CPU; nvcc compiles the same file for the CPU and for an NVIDIA GPU.
#include <cmath>
#include <cstdio>
#include <mql4grec/catalog/synthetic.hpp>

#if defined(__CUDACC__)
#include <mql4grec/gpu.cuh>
#else
#include <mql4grec/backend/gpu/gpu.hpp>
#include <mql4grec/mql4grec.hpp>
#endif

using namespace mql4grec;

// example-begin backends
/// The results of a few training steps and a search: the losses, and the best items for one history.
struct run_result {
  std::vector<double> losses;
  search::beams found;
};

template <Backend B>
run_result train_and_search(B backend, tasks::batch const& training_batch, tasks::batch const& queries,
                            search::item_trie const& items, t5_config const& shape) {
  run_result out;
  t5<B, float> model(backend, shape);
  initialize(model, 42);  // generated on the host: every backend starts from the same parameters
  trainer<B, float> t5_trainer(backend, model, {.learning_rate = 3e-3, .dropout = 0.1});
  for (int step = 0; step < 20; ++step) out.losses.push_back(t5_trainer.step(training_batch, 3e-3));
  frozen_t5 const frozen(backend, std::move(model));
  out.found = search::beam_search(backend, frozen, items, queries, {.beams = 5});
  return out;
}
// example-end backends

namespace {

/// Prints a result and compares it with the expected one; backends add floats in different orders.
bool compare_results(char const* name, run_result const& expected, run_result const& actual) {
  double worst = 0;
  for (std::size_t i = 0; i < expected.losses.size(); ++i)
    worst = std::max(worst, std::abs(expected.losses[i] - actual.losses[i]));
  bool const equal = worst < 1e-3 && expected.found.leaves == actual.found.leaves;
  std::printf("%-24s loss %.6f -> %.6f, at most %.1e from the reference's; best leaves", name, actual.losses.front(),
              actual.losses.back(), worst);
  for (auto const leaf : actual.found.leaves) std::printf(" %d", leaf);
  std::printf("%s\n", equal ? "" : "  <- differs");
  return equal;
}

}  // namespace

int main() try {
  vocabulary const vocab({.modalities = {{"a", {16, 16, 16, 16}}, {"A", {16, 16, 16, 16}}}});
  auto const shop = catalog::make_synthetic_dataset({.items = 200, .users = 300}, 0);
  dataset data{.interactions = shop.interactions, .tokens = {}};
  for (auto const kind : {modality::text, modality::image})
    data.tokens.push_back(to_tokens(view_of(shop.codes[static_cast<std::size_t>(kind)]), vocab, kind));
  mixture const tasks = next_only();
  training_set const examples(tasks, {data}, vocab);
  tasks::batch training_batch, queries;
  for (index_t i = 0; i < 64; ++i) examples.write(i, 1, 0, training_batch);
  tasks.query(modality::text)
      .write_query(data.interactions.of(user_id{7}), {.tables = data.tokens, .vocab = vocab}, queries);
  search::item_trie const items(data.table(modality::text));
  t5_config const shape{.vocabulary = vocab.size(),
                        .model_width = 32,
                        .head_width = 16,
                        .heads = 2,
                        .inner_width = 64,
                        .encoder_layers = 1,
                        .decoder_layers = 1};

  auto const on = [&](auto backend) {
    return train_and_search(std::move(backend), training_batch, queries, items, shape);
  };
  auto const expected = on(reference::backend());
  bool equal = compare_results("reference", expected, expected);
  equal &= compare_results("cpu", expected, on(cpu::backend(2)));
#if defined(__CUDACC__)
  equal &= compare_results("gpu, CUDA", expected, on(gpu::backend<gpu::cuda>()));
#else
  equal &= compare_results("gpu, Thrust on OpenMP", expected, on(gpu::backend<gpu::omp>()));
#endif
  return equal ? 0 : 1;
} catch (error const& e) {
  std::fprintf(stderr, "backends: %s\n", e.what());
  return 1;
}
