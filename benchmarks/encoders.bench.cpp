// Frozen encoders over all workers: texts sorted by length and packed, so that nothing is computed for padding.
// Arguments: threads. The weights are those of MQL4GREC_WEIGHTS/minilm and MQL4GREC_WEIGHTS/smollm2/*.gguf where they
// are there, otherwise random in the same shapes; CLIP ViT-B/32's are always random. benchmarks/peers/torch_encoders.py
// does the same work in PyTorch.
#include <atomic>
#include <cstdlib>
#include <numeric>
#include <optional>

#include "support.hpp"
#include "timing.hpp"

#include "mql4grec/embed/encoder/checkpoint.hpp"

namespace {

using namespace mql4grec;
using bert = embed::bert<cpu::backend, float>;
using llama = embed::llama<cpu::backend, float>;
using clip_vision = embed::clip_vision<cpu::backend, float>;

/// The lengths of titles, 6 to 39 tokens, and descriptions, 16 to 256, in turn.
index_t text_length(index_t i) { return i % 2 == 0 ? 6 + 37 * i % 34 : 16 + 101 * i % 241; }

/// Texts sorted by length, the longest first, in batches of about `most` tokens.
std::vector<embed::token_batch> batches_of_texts(index_t texts, index_t vocabulary, index_t most) {
  std::vector<index_t> order(to_size(texts));
  std::iota(order.begin(), order.end(), index_t{0});
  std::ranges::sort(order, std::ranges::greater{}, text_length);
  std::vector<embed::token_batch> batches(1);
  for (index_t const i : order) {
    std::vector<token_t> text;
    for (index_t j = 0; j < text_length(i); ++j)
      text.push_back(token_t{static_cast<std::int32_t>((1 + 31 * i + 17 * j) % vocabulary)});
    if (batches.back().size() > 0 && std::ssize(batches.back().tokens) + std::ssize(text) > most)
      batches.emplace_back();
    batches.back().add(text);
  }
  return batches;
}

/// Small random weights; norms keep the activations in range.
template <class Model>
Model random_model(cpu::backend& b, auto const& config) {
  Model model(b, config);
  random_stream random(1, 0);
  for (float& x : std::span(model.parameters().data, to_size(model.parameters().size())))
    x = static_cast<float>(0.04 * random.normal());
  return model;
}
std::optional<std::filesystem::path> weights(char const* name) {
  char const* const directory = std::getenv("MQL4GREC_WEIGHTS");
  if (!directory || !std::filesystem::exists(std::filesystem::path(directory) / name)) return std::nullopt;
  return std::filesystem::path(directory) / name;
}
bert minilm(cpu::backend& b) {
  if (auto const directory = weights("minilm")) return embed::read_bert<float>(b, *directory);
  return random_model<bert>(b, embed::bert_config{.width = 384, .layers = 6, .inner_width = 1536});
}
llama smollm2(cpu::backend& b) {
  if (auto const file = weights("smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")) return embed::read_llama<float>(b, *file);
  return random_model<llama>(b, embed::llama_config{.vocabulary = 49152,
                                                    .width = 576,
                                                    .layers = 30,
                                                    .heads = 9,
                                                    .key_heads = 3,
                                                    .inner_width = 1536,
                                                    .positions = 2048,
                                                    .rotary = {.width = 64},
                                                    .rotary_divisors = {}});
}

/// Encodes all batches, each by the next free worker. Rates are per second and, as other programs may hold the cores,
/// per processor second of all threads too; the share is that of the peak of as many processor seconds.
template <class Encoder, class Batch>
void encode_all(benchmark::State& state, cpu::backend& b, Encoder const& encoder, std::vector<Batch> const& batches,
                double flops) {
  index_t items = 0, most = 0;
  for (auto const& batch : batches) {
    items += batch.size();
    most = std::max(most, batch.size());
  }
  std::vector<std::vector<float>> features(to_size(b.workers()),
                                           std::vector<float>(to_size(most * encoder.features())));
  double const before = bench::processor_seconds();
  for (auto _ : state) {
    std::atomic<std::size_t> next = 0;
    for_each_worker(b, [&](cpu::backend& worker, index_t number) {
      for (std::size_t i; (i = next++) < batches.size();)
        encoder.encode(worker, batches[i], {features[to_size(number)].data(), batches[i].size(), encoder.features()});
    });
  }
  double const rounds = static_cast<double>(state.iterations()), used = bench::processor_seconds() - before;
  state.counters["items/s"] =
      benchmark::Counter(static_cast<double>(items), benchmark::Counter::kIsIterationInvariantRate);
  state.counters["items/processor s"] = static_cast<double>(items) * rounds / used;
  state.counters["share"] = flops * rounds / used / bench::peak_flops();
}

/// Multiply-adds of texts: a layer's matrices a token, and attention with all keys or half of them.
double flops_of(std::vector<embed::token_batch> const& batches, double layers, double matrices, double attended) {
  double tokens = 0, pairs = 0;
  for (auto const& batch : batches)
    for (index_t s = 0; s < batch.size(); ++s) {
      auto const n = static_cast<double>(batch.offsets[to_size(s + 1)] - batch.offsets[to_size(s)]);
      tokens += n;
      pairs += n * n;
    }
  return 2 * layers * (tokens * matrices + 2 * pairs * attended);
}

void encode_minilm(benchmark::State& state) {
  cpu::backend b(state.range(0));
  auto const encoder = minilm(b);
  auto const& c = encoder.config();
  auto const batches = batches_of_texts(512, c.vocabulary, state.range(1));
  auto const d = static_cast<double>(c.width), ff = static_cast<double>(c.inner_width);
  encode_all(state, b, encoder, batches, flops_of(batches, static_cast<double>(c.layers), 4 * d * d + 2 * d * ff, d));
}

void encode_smollm2(benchmark::State& state) {
  cpu::backend b(state.range(0));
  auto const encoder = smollm2(b);
  auto const& c = encoder.config();
  auto const batches = batches_of_texts(64, c.vocabulary, state.range(1));
  auto const d = static_cast<double>(c.width), ff = static_cast<double>(c.inner_width),
             keys = static_cast<double>(c.key_heads * c.head_width());
  encode_all(state, b, encoder, batches,
             flops_of(batches, static_cast<double>(c.layers), 2 * d * d + 2 * d * keys + 3 * d * ff, d / 2));
}

void encode_clip(benchmark::State& state) {
  cpu::backend b(state.range(0));
  auto const encoder = random_model<clip_vision>(b, embed::clip_vision_config{});
  auto const& c = encoder.config();
  auto const pixels = bench::random_matrix(b, state.range(1), c.channels * c.image_size * c.image_size);
  std::vector<embed::image_batch> const batches(8, embed::image_batch{pixels});
  auto const d = static_cast<double>(c.width), ff = static_cast<double>(c.inner_width),
             tokens = static_cast<double>(c.patches() + 1), layers = static_cast<double>(c.layers),
             images = static_cast<double>(8 * state.range(1));
  double const patches = static_cast<double>(c.patches() * c.channels * c.patch * c.patch) * d;
  encode_all(state, b, encoder, batches,
             2 * images *
                 (layers * tokens * (4 * d * d + 2 * d * ff + 2 * tokens * d) + patches +
                  d * static_cast<double>(c.projection)));
}

// threads; the most tokens, or pictures, of a batch
BENCHMARK(encode_minilm)->ArgsProduct({{1, 2}, {1024, 4096}})->UseRealTime()->Unit(benchmark::kMillisecond)->MinTime(3);
BENCHMARK(encode_smollm2)->ArgsProduct({{1, 2}, {1024}})->UseRealTime()->Unit(benchmark::kMillisecond)->MinTime(3);
BENCHMARK(encode_clip)->ArgsProduct({{1, 2}, {4, 16}})->UseRealTime()->Unit(benchmark::kMillisecond)->MinTime(3);

}  // namespace
