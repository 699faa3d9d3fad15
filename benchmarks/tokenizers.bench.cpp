// Tokenizers on the titles and descriptions of a catalog, one thread: tokens/s, and a hash of all ids. The environment
// names the inputs: MQL4GREC_BENCH_ITEMS an item.json, MQL4GREC_BENCH_TOKENIZERS directories and GGUF files with colons
// between. benchmarks/peers/hf_tokenizers.py does the same work with Hugging Face's tokenizers and prints the same
// hash.
#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "mql4grec/core/json.hpp"
#include "mql4grec/embed/tokenizer/read_tokenizer.hpp"

namespace {

namespace embed = mql4grec::embed;

std::string variable(char const* name) {
  char const* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

/// The titles and descriptions that aren't empty, in the order of the items' numbers.
std::vector<std::string> read_texts(std::string const& path) {
  std::vector<std::string> texts;
  auto const items = mql4grec::read_json(path);
  for (std::size_t i = 0; i < items.size(); ++i)
    for (auto const* field : {"title", "description"})
      if (auto text = items.at(std::to_string(i)).value(field, ""); !text.empty()) texts.push_back(std::move(text));
  return texts;
}

/// FNV-1a over the ids as little-endian int32.
std::uint64_t hash_of(std::uint64_t value, mql4grec::token_t token) {
  for (int shift = 0; shift < 32; shift += 8)
    value = (value ^ ((static_cast<unsigned>(token) >> shift) & 0xFFu)) * 0x100000001B3u;
  return value;
}

void encode(benchmark::State& state, embed::any_tokenizer const& tokenizer, std::vector<std::string> const& texts) {
  std::uint64_t hash = 0xCBF29CE484222325u;
  std::int64_t tokens = 0;
  for (auto const& text : texts)
    for (auto const token : tokenizer.encode(text)) hash = hash_of(hash, token), ++tokens;
  for (auto _ : state)
    for (auto const& text : texts) benchmark::DoNotOptimize(tokenizer.encode(text).data());
  char label[64];
  std::snprintf(label, sizeof label, "%zu texts, fnv1a %016llx", texts.size(), static_cast<unsigned long long>(hash));
  state.SetLabel(label);
  state.counters["tokens/s"] =
      benchmark::Counter(static_cast<double>(tokens), benchmark::Counter::kIsIterationInvariantRate);
}

void load(benchmark::State& state, std::string const& path) {
  for (auto _ : state) benchmark::DoNotOptimize(embed::read_tokenizer(path).vocab_size());
}

}  // namespace

int main(int count, char** arguments) {
  benchmark::Initialize(&count, arguments);
  auto const items = variable("MQL4GREC_BENCH_ITEMS");
  std::istringstream tokenizers(variable("MQL4GREC_BENCH_TOKENIZERS"));
  if (items.empty() || tokenizers.str().empty()) {
    std::puts("MQL4GREC_BENCH_ITEMS and MQL4GREC_BENCH_TOKENIZERS name no inputs");
    return 0;
  }
  auto const texts = read_texts(items);
  for (std::string path; std::getline(tokenizers, path, ':');) {
    benchmark::RegisterBenchmark(("load/" + path).c_str(), load, path)->Unit(benchmark::kMillisecond);
    benchmark::RegisterBenchmark(("encode/" + path).c_str(), [&texts, tokenizer = embed::read_tokenizer(path)](
                                                                 benchmark::State& state) {
      encode(state, tokenizer, texts);
    })->Unit(benchmark::kMillisecond);
  }
  benchmark::RunSpecifiedBenchmarks();
}
