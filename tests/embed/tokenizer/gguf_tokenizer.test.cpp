// Vocabularies of GGUF files: those that the package gguf wrote give the ids of the files they were made from, and
// those that contradict themselves are refused in one line that names the file and the key.
#include "mql4grec/embed/tokenizer/gguf_tokenizer.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/temporary_directory.hpp"
#include "mql4grec/embed/tokenizer/read_tokenizer.hpp"

using namespace mql4grec;
using test::complaint;

namespace {

template <class T>
std::string bytes_of(T const& value) {
  return {reinterpret_cast<char const*>(&value), sizeof value};
}
std::string raw(std::string const& text) { return bytes_of(std::uint64_t{text.size()}) + text; }
template <class T>
std::string raw(T const& number) {
  return bytes_of(number);
}

/// The numbers of GGUF's types.
constexpr std::uint32_t type_of(std::uint32_t) { return 4; }
constexpr std::uint32_t type_of(std::int32_t) { return 5; }
[[maybe_unused]] constexpr std::uint32_t type_of(float) { return 6; }
constexpr std::uint32_t type_of(bool) { return 7; }
std::uint32_t type_of(std::string const&) { return 8; }

/// A GGUF file without tensors, written without the library.
struct vocabulary_file {
  std::map<std::string, std::string> values = {};  // type and bytes by the part of the key after tokenizer.ggml.

  template <class T>
  vocabulary_file& set(std::string const& name, T const& value) {
    values[name] = bytes_of(type_of(value)) + raw(value);
    return *this;
  }
  vocabulary_file& set(std::string const& name, char const* value) { return set(name, std::string(value)); }
  template <class T>
  vocabulary_file& set(std::string const& name, std::vector<T> const& list) {
    auto& bytes = values[name] = bytes_of(9u) + bytes_of(type_of(T{})) + bytes_of(std::uint64_t{list.size()});
    for (auto const& entry : list) bytes += raw(entry);
    return *this;
  }
  vocabulary_file& drop(std::string const& name) {
    values.erase(name);
    return *this;
  }

  embed::any_tokenizer read() const {
    std::string bytes = "GGUF" + bytes_of(3u) + bytes_of(std::uint64_t{0}) + bytes_of(std::uint64_t{values.size()});
    for (auto const& [name, value] : values) bytes += raw("tokenizer.ggml." + name) + value;
    bytes.resize((bytes.size() + 31) / 32 * 32, '\0');
    return embed::read_gguf_tokenizer(gguf(std::as_bytes(std::span(bytes)), "f"));
  }
  /// What reading complains with, without the common beginning.
  std::string refusal() const {
    auto const line = complaint<file_error>([&] { (void)read(); });
    CHECK(line.find('\n') == std::string::npos);
    std::string const begin = "f: ";
    return line.starts_with(begin) ? line.substr(begin.size()) : line;
  }
};

using texts = std::vector<std::string>;
using numbers = std::vector<std::int32_t>;

/// Tokens <s>, </s>, a, b, ab, and a space with b.
vocabulary_file bpe() {
  return vocabulary_file()
      .set("model", "gpt2")
      .set("pre", "smollm")
      .set("tokens", texts{"<s>", "</s>", "a", "b", "ab", "\u0120", "\u0120b"})
      .set("token_type", numbers{3, 3, 1, 1, 1, 1, 1})
      .set("merges", texts{"a b", "\u0120 b"})
      .set("bos_token_id", 0u)
      .set("eos_token_id", 1u);
}

/// Ids as numbers.
numbers ids(embed::any_tokenizer const& tokenizer, std::string_view text, index_t max_tokens = 0) {
  numbers all;
  for (auto const token : tokenizer.encode(text, max_tokens)) all.push_back(static_cast<std::int32_t>(index(token)));
  return all;
}

}  // namespace

TEST_CASE("gguf tokenizer: byte-level BPE, with the special tokens that the file states") {
  CHECK(ids(bpe().read(), "ab b") == numbers{4, 6});
  CHECK(ids(bpe().set("add_bos_token", true).read(), "ab b") == numbers{0, 4, 6});
  auto const both = bpe().set("add_bos_token", true).set("add_eos_token", true).read();
  CHECK(ids(both, "ab b") == numbers{0, 4, 6, 1});
  CHECK(ids(both, "ab b", 3) == numbers{0, 4, 1});
  CHECK(ids(bpe().set("add_space_prefix", true).read(), "b") == numbers{6});
  CHECK(bpe().read().vocab_size() == 7);
}

TEST_CASE("gguf tokenizer: without a statement, only LLaMA 3's pre-tokenizer has a first token") {
  CHECK(ids(bpe().set("pre", "llama-bpe").read(), "ab") == numbers{0, 4});
  CHECK(ids(bpe().set("pre", "llama-bpe").set("add_bos_token", false).read(), "ab") == numbers{4});
  CHECK(ids(bpe().set("pre", "gpt-2").drop("bos_token_id").drop("eos_token_id").read(), "ab") == numbers{4});
}

TEST_CASE("gguf tokenizer: vocabularies that contradict themselves are refused by key") {
  CHECK(bpe().drop("model").refusal() == "key 'tokenizer.ggml.model' is missing");
  CHECK(bpe().set("model", "bert").refusal() == "key 'tokenizer.ggml.model': 'bert', expected gpt2 or llama");
  CHECK(bpe().set("model", "a\nb").refusal() == "key 'tokenizer.ggml.model': 'a?b', expected gpt2 or llama");
  CHECK(bpe().drop("pre").refusal() == "key 'tokenizer.ggml.pre' is missing");
  CHECK(bpe().set("pre", "falcon").refusal() ==
        "tokenizer.ggml.pre is 'falcon', expected gpt-2, smollm, llama-bpe or qwen2");
  CHECK(bpe().drop("merges").refusal() == "key 'tokenizer.ggml.merges' is missing");
  CHECK(bpe().set("merges", numbers{1}).refusal() == "key 'tokenizer.ggml.merges': isn't a list of strings");
  CHECK(bpe().set("merges", texts{"a c"}).refusal() == "merge: the part 'c' has no token in the vocabulary");
  CHECK(bpe().set("merges", texts{"b a"}).refusal() == "merge: the result 'ba' has no token in the vocabulary");
  CHECK(bpe().set("merges", texts{"ab"}).refusal() == "merge 'ab': expected two tokens with a space between");
  CHECK(bpe().set("tokens", texts()).refusal() == "key 'tokenizer.ggml.token_type': 7 types, but there are 0 tokens");
  CHECK(bpe().set("tokens", texts()).drop("token_type").refusal() == "tokenizer.ggml.tokens has 0 tokens");
  CHECK(bpe().set("tokens", texts{"a", "a"}).drop("token_type").refusal() ==
        "tokenizer.ggml.tokens: token 1 is token 0 again");
  CHECK(bpe().set("token_type", numbers{3, 3, 1, 1, 1, 1}).refusal() ==
        "key 'tokenizer.ggml.token_type': 6 types, but there are 7 tokens");
  CHECK(bpe().set("token_type", numbers{3, 3, 1, 1, 1, 1, 7}).refusal() ==
        "key 'tokenizer.ggml.token_type': token 6 has the type 7, expected 1 to 6");
  CHECK(bpe().set("token_type", numbers{3, 3, 1, 4, 1, 1, 1}).refusal() ==
        "key 'tokenizer.ggml.token_type': token 3 is user-defined (4): such tokens aren't supported");
  CHECK(bpe().set("add_bos_token", true).set("bos_token_id", 7u).refusal() ==
        "key 'tokenizer.ggml.bos_token_id': 7, but there are 7 tokens");
  CHECK(bpe().set("add_bos_token", true).set("bos_token_id", -1).refusal() ==
        "key 'tokenizer.ggml.bos_token_id': -1, but there are 7 tokens");
  CHECK(bpe().set("add_eos_token", true).drop("eos_token_id").refusal() ==
        "key 'tokenizer.ggml.eos_token_id' is missing");
  CHECK(bpe().set("add_bos_token", 1u).refusal() == "key 'tokenizer.ggml.add_bos_token': isn't true or false");
}

TEST_CASE("gguf tokenizer: a file that isn't GGUF is refused") {
  test::temporary_directory directory;
  test::put(directory / "x.gguf", "GGML");
  auto const line = complaint<file_error>([&] { (void)embed::read_tokenizer(directory / "x.gguf"); });
  CHECK(line.starts_with((directory / "x.gguf").string() + ": "));
  CHECK(complaint<file_error>([&] { (void)embed::read_tokenizer(directory / "none.gguf"); }).find("none.gguf") !=
        std::string::npos);
}

#if MQL4GREC_HAS_SENTENCEPIECE
namespace {

/// <unk>, <s>, </s>, the 256 bytes, and five pieces of a and b.
vocabulary_file llama() {
  texts tokens{"<unk>", "<s>", "</s>"};
  numbers types{2, 3, 3};
  for (int byte = 0; byte < 256; ++byte) {
    std::string const digits = "0123456789ABCDEF";
    tokens.push_back(std::string("<0x") + digits[to_size(byte / 16)] + digits[to_size(byte % 16)] + ">");
    types.push_back(6);
  }
  for (auto const* piece : {"\u2581", "a", "b", "ab", "\u2581ab"}) {
    tokens.emplace_back(piece);
    types.push_back(1);
  }
  std::vector<float> scores(tokens.size());
  for (std::size_t i = 0; i < scores.size(); ++i) scores[i] = -static_cast<float>(i);
  return vocabulary_file().set("model", "llama").set("tokens", tokens).set("scores", scores).set("token_type", types);
}

}  // namespace

TEST_CASE("gguf tokenizer: SentencePiece, with LLaMA's special tokens unless the file states others") {
  CHECK(ids(llama().read(), "ab b") == numbers{1, 263, 259, 261});
  CHECK(ids(llama().set("add_bos_token", false).set("add_eos_token", true).read(), "ab") == numbers{263, 2});
  CHECK(ids(llama().set("add_space_prefix", false).read(), "ab") == numbers{1, 262});
  CHECK(ids(llama().read(), "ab\n", 2) == numbers{1, 263});
  CHECK(llama().read().vocab_size() == 264);
}

TEST_CASE("gguf tokenizer: SentencePiece vocabularies that contradict themselves are refused by key") {
  CHECK(llama().drop("scores").refusal() == "key 'tokenizer.ggml.scores' is missing");
  CHECK(llama().drop("token_type").refusal() == "key 'tokenizer.ggml.token_type' is missing");
  CHECK(llama().set("scores", std::vector<float>{0}).refusal() ==
        "tokenizer.ggml has 264 tokens, 1 scores and 264 types");
  CHECK(llama().set("bos_token_id", 264u).refusal() ==
        "key 'tokenizer.ggml.bos_token_id': 264, but there are 264 tokens");
  CHECK(llama().set("bos_token_id", 260u).refusal() ==
        "tokenizer.ggml.bos_token_id is 260, which isn't a control token (3)");
  std::vector<float> scores(264);
  scores[5] = std::numeric_limits<float>::quiet_NaN();
  CHECK(llama().set("scores", scores).refusal() == "piece 5: the score isn't finite");
  auto tokens = texts(264, "x");
  tokens[1] = tokens[2] = "y";
  CHECK(llama().set("tokens", tokens).refusal().starts_with("not a usable SentencePiece model: "));
  tokens[4] = std::string(1, '\0') + "x";  // found by fuzzing: the library's trie would see an empty key
  CHECK(llama().set("tokens", tokens).refusal() == "piece 4: contains a NUL character");
}
#endif
