// Nothing is computed here: the CUDA runtime is counting_runtime.cpp.
#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>

#include "cuda/counting/counts.hpp"
#include "mql4grec/gpu.cuh"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {

using device = gpu::backend<gpu::cuda>;

/// Example i: a history of 1 to 20 items, and the next one.
struct histories {
  index_t count;
  index_t size() const { return count; }
  void write(index_t i, std::uint64_t seed, std::uint64_t, tasks::batch& out) const {
    random_stream random(seed, static_cast<std::uint64_t>(i));
    auto const tokens = [&](index_t items) {
      std::vector<token_t> all(static_cast<std::size_t>(4 * items));
      for (auto& token : all) token = token_t(static_cast<std::int32_t>(random.below(2000)));
      return all;
    };
    out.append(tokens(1 + random.below(20)), tokens(1));
  }
};

language::token_table random_catalog(index_t items) {
  language::token_table table(language::modality::text, items, 4);
  random_stream random(5, 0);
  for (index_t i = 0; i < items; ++i) {
    std::vector<token_t> tokens;
    for (int level = 0; level < 4; ++level)
      tokens.push_back(token_t(static_cast<std::int32_t>(2 + 256 * level + random.below(256))));
    table.set(item_id(i), tokens);
  }
  return table;
}

void check_nothing_wrong(cuda_counts const& counts) {
  for (auto const& what : counts.wrong) FAIL_CHECK(what);
}

/// For the results page: "a training step: a graph of 190 kernels and 126 products …".
void print_counts(std::string const& what, cuda_counts const& c) {
  if (c.captured_kernels + c.captured_products > 0)
    MESSAGE(what, ": a graph of ", c.captured_kernels, " kernels and ", c.captured_products, " products; beside it ",
            c.kernels, " and ", c.products, ", ", c.uploads, " uploads, ", c.waits, " waits");
}

}  // namespace

TEST_CASE("CUDA calls: a repeated training step is one graph, two uploads and one wait") {
  std::optional<optim::muon> hidden;
  SUBCASE("AdamW") {}
  SUBCASE("Muon") { hidden.emplace(); }
  device b({.products = precision::bf16});
  seq2seq::t5<device, float> model(b, {.vocabulary = 2100});
  seq2seq::trainer<device, float> trainer(b, model, {.hidden_optimizer = hidden});
  tasks::batch all;
  for (index_t i = 0; i < 3000; ++i) histories{3000}.write(i, 1, 0, all);
  seq2seq::device_dataset<device> set;
  set.assign(b, all);
  std::vector<index_t> which(1024);
  for (int step = 0; step < 5; ++step) {
    for (index_t i = 0; i < 1024; ++i) which[static_cast<std::size_t>(i)] = 2 * i;  // one shape
    trainer.step(set, which, 1e-4);
    auto const counts = take_counts();
    check_nothing_wrong(counts);
    print_counts(hidden ? "a training step with Muon" : "a training step", counts);
    if (step == 2 && hidden) CHECK(counts.captured_products < 200);  // of AdamW's 126, and a batch for each shape
    if (step < 3) continue;  // as it comes, as it comes in a scratch of the final size, captured
    CHECK(counts.kernels + counts.products == 0);
    CHECK(counts.graphs == 1);
    CHECK(counts.uploads == 2);  // which examples; learning rate and number
    CHECK(counts.waits == 1);    // for loss and norm
    CHECK(counts.allocations == 0);
  }
}

TEST_CASE(
    "CUDA calls: a training with validation makes no invalid call, and doesn't allocate once all shapes are known") {
  device b({.products = precision::bf16});
  seq2seq::t5<device, float> model(b, {.vocabulary = 2100});
  seq2seq::trainer<device, float> trainer(b, model, {.epochs = 5, .batch_size = 512, .patience = 0});
  seq2seq::training_progress progress;
  fit(trainer, histories{3000}, histories{1500}, progress, {.on_epoch = [&](seq2seq::training_progress const& p, bool) {
        auto const counts = take_counts();
        check_nothing_wrong(counts);
        if (p.epoch > 1) CHECK(counts.allocations == 0);
      }});
  CHECK(progress.finished);
}

TEST_CASE("CUDA calls: a search block is two uploads, one graph and one wait") {
  device b({.products = precision::bf16});
  seq2seq::frozen_t5<device, float> model(b, seq2seq::t5<device, float>(b, {.vocabulary = 2100}));
  search::item_trie const trie(random_catalog(6000));
  tasks::batch queries;
  for (index_t i = 0; i < 256; ++i) histories{256}.write(i, 1, 0, queries);
  search::beam_searcher<device, seq2seq::frozen_t5<device, float>> searcher(b, model, trie);
  for (index_t const users : {1, 256})
    for (int round = 0; round < 5; ++round) {
      search::beams found;
      searcher.search({.batch = queries, .part = {0, users}}, {}, found);
      auto const counts = take_counts();
      check_nothing_wrong(counts);
      print_counts("a search", counts);
      if (round < 3) continue;
      CHECK(counts.graphs == 1);
      CHECK(counts.captured_kernels + counts.captured_products == 0);
      CHECK(counts.kernels + counts.products == 0);
      CHECK(counts.uploads == 2);  // offsets and tokens
      CHECK(counts.waits == 1);    // for the leaves and their scores
      CHECK(counts.allocations == 0);
    }
}

TEST_CASE("CUDA calls: searches with the widest beams make no invalid call") {
  device b;
  seq2seq::frozen_t5<device, float> model(b, seq2seq::t5<device, float>(b, {.vocabulary = 2100}));
  search::item_trie const trie(random_catalog(6000));
  tasks::batch query;
  histories{1}.write(0, 1, 0, query);
  for (index_t const beams : {2048, 4096}) {
    std::ignore = search::search_micro_batch(b, model, trie, {.batch = query, .part = {0, 1}}, {.beams = beams});
    check_nothing_wrong(take_counts());
  }
}

namespace {
buffer<float, host_space> random_features(index_t rows, index_t width) {
  buffer<float, host_space> features(rows * width);
  random_stream random(1, 0);
  for (float& entry : as_span(features.view_all())) entry = static_cast<float>(random.normal());
  return features;
}
}  // namespace

TEST_CASE("CUDA calls: an RQ-VAE training step is one graph and two waits; assigning codes makes no invalid call") {
  device b({.products = precision::bf16});
  quantize::rq_vae<device, float> model(b, {.input_width = 384});
  auto const memory = random_features(5000, 384);
  embed::matrix_features const features({memory.view_all().data, 5000, 384});
  for (index_t const device_bytes : {index_t{1} << 30, index_t{0}}) {
    quantize::rq_vae_trainer<device, float> trainer(b, model, {.revive_after = 1'000});
    quantize::training_rows<device, embed::matrix_features> batches(b, features, 2048, device_bytes);
    std::vector<index_t> which(2048);
    std::iota(which.begin(), which.end(), index_t{7});
    for (int step = 0; step < 5; ++step) {
      trainer.step(batches.take(b, which, which));
      auto const counts = take_counts();
      check_nothing_wrong(counts);
      print_counts("a translator's step", counts);
      if (step == 2) CHECK(counts.captured_kernels < 130);  // one of them all rounds of Sinkhorn
      if (step < 3) continue;
      CHECK(counts.graphs == 1);
      CHECK(counts.kernels + counts.products == (device_bytes > 0 ? 1 : 0));  // the batch is gathered
      CHECK(counts.uploads == 2);  // which rows, or the rows; learning rate and number
      CHECK(counts.waits <= 3);    // reconstruction and norm; quantization and revival; a buffer that is written again
      CHECK(counts.allocations == 0);
    }
  }
  std::ignore = quantize::assign_codes(b, model, features);
  check_nothing_wrong(take_counts());
}

TEST_CASE("CUDA calls: kernels are counted by name") {
  device b;
  auto const x = b.allocate<float>(1000);
  sum_of_squares<float>(b, x.view_all());
  check_nothing_wrong(take_counts());
  CHECK(std::ranges::any_of(kernels_seen(),
                            [](std::string const& name) { return name.find("sum_entries") != std::string::npos; }));
}
