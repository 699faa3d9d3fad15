// The program's work on an NVIDIA GPU.
#include "gpu.hpp"

#include "mql4grec/gpu.cuh"

namespace mql4grec::program {

namespace {

using device = gpu::backend<gpu::cuda>;

device open(precision products) { return device({.products = products}); }

// A GPU takes a whole batch at once where a core's cache holds a block of it.
// Of a search at most so many rows: wide beams would fill the memory with logits and caches.
constexpr index_t tokens_at_once = 1 << 17, queries_at_once = 1024, rows_at_once = 1 << 15;

}  // namespace

void check_gpu() { open(precision::fp32); }

run_result train_on_gpu(run_options run, std::vector<dataset> datasets, vocabulary const& vocab,
                        run_observer const& observer, precision products) {
  auto backend = open(products);
  run.training.block_tokens = tokens_at_once;
  return train_model(backend, run, std::move(datasets), vocab, observer);
}

evaluation evaluate_on_gpu(std::filesystem::path const& directory, dataset const& data, model_metadata const& metadata,
                           evaluation_options options, std::function<void(index_t, index_t)> const& progress,
                           precision products) {
  auto backend = open(products);
  frozen_t5 const model(backend, read_model<float>(backend, directory));
  options.search.block_rows = std::min(queries_at_once * options.search.beams, rows_at_once);
  return evaluate(backend, model, metadata, data, options, progress);
}

translator_result train_translator_on_gpu(translator_run const& run, present_features const& features,
                                          feature_statistics const& seen, translator_run_observer const& observer,
                                          precision products) {
  auto backend = open(products);
  return train_translator(backend, run, features, seen, observer);
}

translator_result learn_residual_kmeans_on_gpu(translator_run const& run, residual_kmeans_options const& options,
                                               present_features const& features,
                                               std::function<bool()> const& interrupted) {
  auto backend = open(precision::fp32);
  return learn_residual_kmeans(backend, run, options, features, interrupted);
}

file_translator translator_on_gpu(std::filesystem::path const& path) {
  return translator_on(open(precision::fp32), [&](device& backend) { return read_rq_vae<float>(backend, path); });
}

file_translator residual_kmeans_on_gpu(std::filesystem::path const& path) {
  return translator_on(open(precision::fp32), [&](device& backend) { return read_residual_kmeans(backend, path); });
}

ranking recommend_on_gpu(std::filesystem::path const& directory, model_metadata const& metadata,
                         std::vector<token_table> const& tables, std::vector<item_id> const& history, index_t k,
                         item_filter const& filter, precision products) {
  auto backend = open(products);
  recommender<device> const service(frozen_t5(backend, read_model<float>(backend, directory)), metadata.vocab,
                                    mixture_named(metadata.tasks), tables);
  return service.recommend(history, k, filter);
}

}  // namespace mql4grec::program
