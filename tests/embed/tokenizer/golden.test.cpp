// Ids equal those of Hugging Face's tokenizers and of SentencePiece; tests/golden/make_golden_tokenizers.py made them.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/temporary_directory.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/embed/tokenizer/read_tokenizer.hpp"
#include "support/data.hpp"

using namespace mql4grec;

namespace {

std::filesystem::path const golden = std::filesystem::path(MQL4GREC_TEST_GOLDEN_DIR) / "tokenizers";

std::string from_hex(std::string const& digits) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2)
    bytes.push_back(static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16)));
  return bytes;
}

std::string text_of(json const& entry) {
  if (entry.contains("text")) return entry.at("text").get<std::string>();
  if (entry.contains("hex")) return from_hex(entry.at("hex").get<std::string>());
  std::string text;
  for (int i = 0; i < entry.at("count").get<int>(); ++i) text += entry.at("unit").get<std::string>();
  return text;
}

/// FNV-1a over the ids as little-endian int32.
std::string hash_of(std::vector<token_t> const& ids) {
  std::uint64_t value = 0xCBF29CE484222325u;
  for (auto const id : ids)
    for (int shift = 0; shift < 32; shift += 8)
      value = (value ^ ((static_cast<unsigned>(id) >> shift) & 0xFFu)) * 0x100000001B3u;
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

void check_directory(std::string const& name, embed::any_tokenizer const& tokenizer) {
  auto const texts = read_json(golden / "texts.json");
  auto const expected = read_json(golden / name / "ids.json");
  REQUIRE(texts.size() == expected.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    CAPTURE(name);
    CAPTURE(texts[i].at("name").get<std::string>());
    auto const begin = std::chrono::steady_clock::now();
    auto const ids = tokenizer.encode(text_of(texts[i]));
    auto const seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    CHECK(seconds < 2);  // linear or n log n: 10^5 characters take tens of milliseconds without optimization
    if (expected[i].is_array()) {
      CHECK(json(ids).dump() == expected[i].dump());
    } else {
      CHECK(ids.size() == expected[i].at("count").get<std::size_t>());
      CHECK(hash_of(ids) == expected[i].at("fnv1a").get<std::string>());
    }
  }
}

}  // namespace

TEST_CASE("tokenizers: ids of awkward texts equal those of the original libraries") {
  for (auto const* name : {"wordpiece_uncased", "wordpiece_cased", "wordpiece_keeps_accents", "bpe_gpt2",
                           "bpe_prefix_space", "bpe_smollm", "bpe_llama3", "bpe_qwen2", "bpe_missing_bytes"})
    check_directory(name, embed::read_tokenizer(golden / name));
#if MQL4GREC_HAS_SENTENCEPIECE
  for (auto const* name : {"sentencepiece_bpe", "sentencepiece_unigram"})
    check_directory(name, embed::read_tokenizer(golden / name));
#endif
}

TEST_CASE("tokenizers: vocab.txt gives the ids of tokenizer.json") {
  check_directory("wordpiece_uncased",
                  embed::any_tokenizer(embed::read_wordpiece_vocabulary(golden / "wordpiece_uncased/vocab.txt")));
}

TEST_CASE("tokenizers: a vocabulary in GGUF's form gives the ids of tokenizer.json") {
  for (auto const& [name, pre] : {std::pair{"bpe_gpt2", "gpt-2"},
                                  {"bpe_smollm", "smollm"},
                                  {"bpe_llama3", "llama-bpe"},
                                  {"bpe_qwen2", "qwen2"}}) {
    auto const file = read_json(golden / name / "tokenizer.json");
    auto const& model = file.at("model");
    embed::gguf_bpe_vocabulary vocabulary{.pre = pre};
    vocabulary.tokens.resize(model.at("vocab").size());
    for (auto const& [token, id] : model.at("vocab").items()) vocabulary.tokens.at(id.get<std::size_t>()) = token;
    for (auto const& merge : model.at("merges"))
      vocabulary.merges.push_back(merge.is_string()
                                      ? merge.get<std::string>()
                                      : merge.at(0).get<std::string>() + " " + merge.at(1).get<std::string>());
    if (std::string_view(name) == "bpe_llama3")
      vocabulary.bos = model.at("vocab").at("<|begin_of_text|>").get<std::int32_t>();
    check_directory(name, embed::any_tokenizer(embed::make_byte_level_bpe(vocabulary)));
  }
}

TEST_CASE("tokenizers: a GGUF file gives the ids of the files that it was made from") {
  for (auto const* name : {"bpe_smollm", "bpe_llama3"})
    check_directory(name, embed::read_tokenizer(golden / name / "tokenizer.gguf"));
#if MQL4GREC_HAS_SENTENCEPIECE
  check_directory("sentencepiece_bpe", embed::read_tokenizer(golden / "sentencepiece_bpe/tokenizer.gguf"));
#endif
}

// The numbers are those that benchmarks/peers/hf_tokenizers.py prints.
TEST_CASE("tokenizers: ids of a real catalog equal those of Hugging Face's tokenizers" * doctest::test_suite("slow")) {
  struct expected {
    char const* weights;
    std::size_t tokens;
    char const* fnv1a;
  };
  for (auto const& each : {expected{"minilm", 705040, "7e2744a0ae8e29fd"},
                           {"smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", 755470, "505b2295433fa1f8"}}) {
    auto const checkpoint = test::pretrained(each.weights);
    auto const dataset = test::real_dataset("Scientific");
    if (!checkpoint || !dataset) continue;
    auto const tokenizer = embed::read_tokenizer(*checkpoint);
    auto const items = read_json(*dataset / "Scientific.item.json");
    std::vector<token_t> all;
    for (std::size_t i = 0; i < items.size(); ++i)
      for (auto const* field : {"title", "description"}) {
        auto const text = items.at(std::to_string(i)).value(field, "");
        auto const ids = text.empty() ? std::vector<token_t>() : tokenizer.encode(text);
        all.insert(all.end(), ids.begin(), ids.end());
      }
    CAPTURE(std::string(each.weights));
    CHECK(all.size() == each.tokens);
    CHECK(hash_of(all) == each.fnv1a);
  }
}

TEST_CASE("tokenizers: truncation keeps the first tokens and the special ones") {
  for (auto const* name : {"wordpiece_uncased", "bpe_llama3", "bpe_smollm"}) {
    auto const tokenizer = embed::read_tokenizer(golden / name);
    std::string const text = "Acoustic guitar strings, light gauge 12-53 (pack of 3).";
    auto const bare = tokenizer.encode(text, {.specials = embed::special_tokens::omit});
    auto const all = tokenizer.encode(text);
    auto const empty = tokenizer.encode("");
    CHECK(all.size() == bare.size() + empty.size());
    for (std::size_t n = empty.size(); n <= all.size() + 1; ++n) {
      auto expected = tokenizer.encode("");
      auto const prefix = expected.empty() ? 0 : 1;  // both models with special tokens begin with one
      auto const kept = std::min(n - empty.size(), bare.size());
      expected.insert(expected.begin() + prefix, bare.begin(), bare.begin() + static_cast<std::ptrdiff_t>(kept));
      CHECK(tokenizer.encode(text, {.max_tokens = static_cast<index_t>(n == 0 ? 1 : n)}) ==
            (n == 0 ? std::vector{bare.front()} : expected));
    }
    if (!empty.empty()) {
      auto const complaint = test::complaint<error>([&] {
        (void)tokenizer.encode(text, {.max_tokens = std::ssize(empty) - 1 > 0 ? std::ssize(empty) - 1 : -1});
      });
      CHECK(complaint.starts_with("tokenizer: max_tokens is "));
    }
  }
}
