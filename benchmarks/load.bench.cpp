// Loading what a service needs from files that the system has in memory, on one thread: a dataset directory, a model of
// the paper's size, and both as a recommender. Reads the dataset Instruments if the environment variable MQL4GREC_DATA
// is the folder that contains it, otherwise a built-in catalog of the same size.
#include "support.hpp"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "mql4grec/catalog/synthetic.hpp"
#include "mql4grec/language/to_tokens.hpp"
#include "mql4grec/pipeline/dataset.hpp"
#include "mql4grec/pipeline/model_metadata.hpp"
#include "mql4grec/recommender.hpp"
#include "mql4grec/search/trie.hpp"
#include "mql4grec/seq2seq/checkpoint.hpp"
#include "mql4grec/seq2seq/initialize.hpp"

namespace {

using namespace mql4grec;
using language::modality;

/// A model directory with random weights and a dataset directory, removed when the program ends.
class directories {
 public:
  directories()
      : root_(std::filesystem::temp_directory_path() / ("mql4grec_bench_load_" + std::to_string(::getpid()))) {
    make_directory(model());
    cpu::backend b;
    seq2seq::t5<cpu::backend, float> weights(b, {});
    seq2seq::initialize(weights, 1);
    seq2seq::write_model(model(), weights);
    pipeline::write_model_metadata(model(), {.tasks = "released"});
    char const* const data = std::getenv("MQL4GREC_DATA");
    dataset_ = std::filesystem::path(data ? data : "") / "Instruments";
    if (!data || !std::filesystem::exists(dataset_)) write_shop();
  }
  directories(directories const&) = delete;
  directories& operator=(directories const&) = delete;
  ~directories() {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }
  std::filesystem::path model() const { return root_ / "model"; }
  std::filesystem::path const& dataset() const { return dataset_; }

 private:
  void write_shop() {
    auto const shop =
        catalog::make_synthetic_dataset({.items = 6250, .users = 17112, .min_length = 4, .max_length = 12}, 0);
    dataset_ = root_ / "Shop";
    make_directory(dataset_);
    catalog::dataset_paths const paths(dataset_);
    catalog::write_interactions(paths.interactions(), shop.interactions);
    language::vocabulary const vocab;
    for (auto const kind : {modality::text, modality::image})
      language::write_token_table(pipeline::index_path(paths, kind),
                                  language::to_tokens(view_of(shop.codes[to_size(kind)]), vocab, kind), vocab);
  }

  std::filesystem::path root_, dataset_;
};

directories const& files() {
  static directories const made;
  return made;
}

void read_interactions(benchmark::State& state) {
  auto const path = catalog::dataset_paths(files().dataset()).interactions();
  for (auto _ : state) benchmark::DoNotOptimize(catalog::read_interactions(path));
}

void read_token_index(benchmark::State& state) {
  auto const path = pipeline::index_path(catalog::dataset_paths(files().dataset()), modality::text);
  language::vocabulary const vocab;
  for (auto _ : state) benchmark::DoNotOptimize(language::read_token_table(path, vocab, modality::text));
}

void build_trie(benchmark::State& state) {
  auto const path = pipeline::index_path(catalog::dataset_paths(files().dataset()), modality::text);
  auto const table = language::read_token_table(path, language::vocabulary(), modality::text);
  for (auto _ : state) benchmark::DoNotOptimize(search::item_trie(table));
}

void read_dataset(benchmark::State& state) {  // and the vocabulary with it
  for (auto _ : state)
    benchmark::DoNotOptimize(
        pipeline::read_dataset(files().dataset(), pipeline::read_model_metadata(files().model()).vocab));
}

void read_model(benchmark::State& state) {
  cpu::backend b;
  for (auto _ : state) benchmark::DoNotOptimize(seq2seq::read_model<float>(b, files().model()));
}

void freeze_model(benchmark::State& state) {
  cpu::backend b;
  for (auto _ : state) {
    state.PauseTiming();
    auto model = seq2seq::read_model<float>(b, files().model());
    state.ResumeTiming();
    seq2seq::frozen_t5<cpu::backend, float> const frozen(b, std::move(model));
    benchmark::DoNotOptimize(frozen.encoder().data());
  }
}

void load_recommender(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(recommender<>::load(files().model(), files().dataset()));
}

BENCHMARK(read_interactions)->Unit(benchmark::kMillisecond);
BENCHMARK(read_token_index)->Unit(benchmark::kMillisecond);
BENCHMARK(build_trie)->Unit(benchmark::kMillisecond);
BENCHMARK(read_dataset)->Unit(benchmark::kMillisecond);
BENCHMARK(read_model)->Unit(benchmark::kMillisecond);
BENCHMARK(freeze_model)->Unit(benchmark::kMillisecond);
BENCHMARK(load_recommender)->Unit(benchmark::kMillisecond);

}  // namespace
