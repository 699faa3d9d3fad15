// Files from outside: each mistake is one line that names the file and what is wrong.
#include <doctest/doctest.h>

#include <cstdio>
#include <string>
#include <vector>

#include "core/temporary_directory.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/embed/tokenizer/detail/unicode.hpp"
#include "mql4grec/embed/tokenizer/read_tokenizer.hpp"
#include "mql4grec/embed/tokenizer/tokenizer_json.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {

std::filesystem::path const golden = std::filesystem::path(MQL4GREC_TEST_GOLDEN_DIR) / "tokenizers";

std::vector<token_t> tokens(std::vector<std::int32_t> const& ids) {
  std::vector<token_t> all;
  for (auto const id : ids) all.push_back(token_t{id});
  return all;
}

std::string complaint_of(json const& file) {
  return complaint<file_error>([&] { (void)embed::parse_tokenizer_json(file, "tokenizer.json"); });
}

/// The complaint about a golden file in which one value was replaced.
std::string with(char const* name, char const* pointer, json value) {
  auto file = read_json(golden / name / "tokenizer.json");
  file[json::json_pointer(pointer)] = std::move(value);
  auto const line = complaint_of(file);
  CHECK(line.find('\n') == std::string::npos);
  return line;
}

}  // namespace

TEST_CASE("tokenizer.json: what isn't supported is refused by name") {
  CHECK(complaint_of(json::array()) == "tokenizer.json: expected an object");
  CHECK(complaint_of(json::object()) == "tokenizer.json: key 'model': expected an object");
  CHECK(with("bpe_gpt2", "/model/type", "Unigram") ==
        "tokenizer.json: model: type 'Unigram', expected WordPiece or BPE");
  CHECK(with("bpe_gpt2", "/model/byte_fallback", true) ==
        "tokenizer.json: key 'byte_fallback' of the model isn't supported");
  CHECK(with("bpe_gpt2", "/model/dropout", 0.1) == "tokenizer.json: key 'dropout' of the model isn't supported");
  CHECK(with("bpe_gpt2", "/normalizer", {{"type", "NFKC"}}) ==
        "tokenizer.json: normalizer: type 'NFKC', expected NFC or none");
  CHECK(with("bpe_gpt2", "/pre_tokenizer/use_regex", false) ==
        "tokenizer.json: pre_tokenizer: ByteLevel without a rule to split");
  CHECK(with("bpe_llama3", "/pre_tokenizer/pretokenizers/0/pattern/Regex", "\\w+") ==
        "tokenizer.json: pretokenizers: no scanner for the pattern '\\w+'");
  CHECK(with("wordpiece_cased", "/normalizer/type", "Lowercase") ==
        "tokenizer.json: normalizer: type 'Lowercase', expected BertNormalizer");
  CHECK(with("bpe_gpt2", "/added_tokens/0/special", false) ==
        "tokenizer.json: added token '<|endoftext|>' isn't special: such tokens aren't supported");
}

TEST_CASE("tokenizer.json: values of the wrong kind are refused by name") {
  CHECK(with("bpe_gpt2", "/model/vocab/a", -1) == "tokenizer.json: token 'a': expected an id");
  CHECK(with("bpe_gpt2", "/model/vocab/a", 4294967296u) == "tokenizer.json: token 'a': expected an id");
  CHECK(with("bpe_gpt2", "/model/vocab/a", "1") == "tokenizer.json: token 'a': expected an id");
  CHECK(with("bpe_gpt2", "/model/vocab/a", 1u).find("that of another token") != std::string::npos);
  CHECK(with("bpe_gpt2", "/model/vocab", json::object()) == "tokenizer.json: key 'vocab' is empty");
  CHECK(with("bpe_gpt2", "/model/merges/3", "abc") ==
        "tokenizer.json: merge 'abc': expected two tokens with a space between");
  CHECK(with("bpe_gpt2", "/model/merges/3", "a b c") ==
        "tokenizer.json: merge 'a b c': expected two tokens with a space between");
  CHECK(with("bpe_gpt2", "/model/merges/3", "a zzz") ==
        "tokenizer.json: merge: the part 'zzz' has no token in the vocabulary");
  CHECK(with("bpe_gpt2", "/model/merges/3", "z q") ==
        "tokenizer.json: merge: the result 'zq' has no token in the vocabulary");
  CHECK(with("bpe_gpt2", "/model/merges/3", json::array({"a"})) == "tokenizer.json: merge 3: expected two tokens");
  CHECK(with("wordpiece_cased", "/model/unk_token", "<none>") ==
        "tokenizer.json: token '<none>', the unknown token, isn't in the vocabulary");
  CHECK(with("wordpiece_cased", "/model/max_input_chars_per_word", 10001u) ==
        "tokenizer.json: key 'max_input_chars_per_word': 10001, expected at most 10000");
  CHECK(with("wordpiece_cased", "/post_processor/single", json::array()) ==
        "tokenizer.json: key 'single': the text is missing");
  CHECK(with("wordpiece_cased", "/post_processor/special_tokens", json::object()) ==
        "tokenizer.json: special token '[CLS]': expected a list of ids");
}

TEST_CASE("tokenizer.json: a truncated file is refused with the byte") {
  temporary_directory directory;
  auto const whole = read_file(golden / "bpe_gpt2/tokenizer.json");
  for (std::size_t const size : {std::size_t{0}, std::size_t{1}, whole.size() / 2, whole.size() - 3}) {
    put(directory / "tokenizer.json", whole.substr(0, size));
    auto const line = complaint<file_error>([&] { (void)embed::read_tokenizer(directory.path()); });
    CHECK(line.find("tokenizer.json: ") != std::string::npos);
    CHECK(line.find('\n') == std::string::npos);
  }
}

TEST_CASE("vocab.txt: mistakes are refused with the line") {
  temporary_directory directory;
  auto const file = directory / "vocab.txt";
  auto const of = [&](std::string_view content) {
    put(file, content);
    auto const line = complaint<file_error>([&] { (void)embed::read_tokenizer(directory.path()); });
    return line.starts_with(file.string()) ? line.substr(file.string().size() + 2) : line;
  };
  CHECK(of("") == "is empty, expected a token a line");
  CHECK(of("[UNK]\n[CLS]\n[SEP]\na\nb\na\n") == "line 6: the token of line 4 again");
  CHECK(of("[UNK]\n[CLS]\n[SEP]\n\xff\n") == "line 4: not valid UTF-8");
  CHECK(of("[UNK]\n[CLS]\n") == "has no token '[SEP]'");
  CHECK(of("[CLS]\n[SEP]\n") == "has no token '[UNK]'");
  CHECK(of("[UNK]\r\n[CLS]\r\n\r\n[SEP]\r\na").empty());
  CHECK(embed::read_tokenizer(directory.path()).encode("A b") == tokens({1, 4, 0, 3}));
}

TEST_CASE("tokenizers: one that doesn't fit the weights is refused with both numbers") {
  auto const tokenizer = embed::read_tokenizer(golden / "bpe_gpt2");
  CHECK(tokenizer.vocab_size() == 460);
  CHECK_NOTHROW(embed::check_vocabulary(tokenizer, 512, "model.safetensors"));
  CHECK(complaint<file_error>([&] { embed::check_vocabulary(tokenizer, 459, "model.safetensors"); }) ==
        "model.safetensors: the token embedding has 459 rows, but the tokenizer has ids up to 459");
}

TEST_CASE("tokenizers: a directory without one is refused") {
  temporary_directory directory;
  CHECK(complaint<file_error>([&] { (void)embed::read_tokenizer(directory.path()); }) ==
        directory.path().string() + ": has no tokenizer.model, tokenizer.json or vocab.txt");
}

TEST_CASE("tokenizers: GGUF vocabularies that contradict themselves are refused") {
  auto const of = [](embed::gguf_bpe_vocabulary const& v) {
    return complaint<error>([&] { (void)embed::make_byte_level_bpe(v); });
  };
  CHECK(of({.tokens = {}, .pre = "smollm"}) == "tokenizer.ggml.tokens has 0 tokens");
  CHECK(of({.tokens = {"a", "a"}, .pre = "smollm"}) == "tokenizer.ggml.tokens: token 1 is token 0 again");
  CHECK(of({.tokens = {"a"}, .merges = {"a b"}, .pre = "smollm"}) ==
        "merge: the part 'b' has no token in the vocabulary");
  CHECK(of({.tokens = {"a"}, .pre = "falcon"}) ==
        "tokenizer.ggml.pre is 'falcon', expected gpt-2, smollm, llama-bpe or qwen2");
  CHECK(of({.tokens = {"a"}, .pre = "smollm", .bos = 1}) == "tokenizer.ggml.bos_token_id is 1, but there are 1 tokens");
}

TEST_CASE("utf8: maximal invalid sequences are one replacement each") {
  using embed::detail::decode_utf8;
  CHECK(decode_utf8("a\xe2\x82z") == U"a\ufffdz");
  CHECK(decode_utf8("\xc0\xaf") == U"\ufffd\ufffd");
  CHECK(decode_utf8("\xed\xa0\x80") == U"\ufffd\ufffd\ufffd");
  CHECK(decode_utf8("\xf0\x9f\x8e") == U"\ufffd");
  CHECK(decode_utf8("\xf4\x90\x80\x80") == U"\ufffd\ufffd\ufffd\ufffd");
}

#if MQL4GREC_HAS_SENTENCEPIECE
TEST_CASE("tokenizer.model: truncated and foreign files are refused in one line") {
  temporary_directory directory;
  auto const file = directory / "tokenizer.model";
  auto const whole = read_file(golden / "sentencepiece_bpe/tokenizer.model");
  for (auto const& content :
       {std::string(), std::string("{}"), whole.substr(0, 100), whole.substr(0, whole.size() / 2), "\n" + whole}) {
    put(file, content);
    auto const line = complaint<file_error>([&] { (void)embed::read_tokenizer(directory.path()); });
    CHECK(line.starts_with(file.string() + ": "));
    CHECK(line.find('\n') == std::string::npos);
  }
}

TEST_CASE("tokenizer.model: a vocabulary in GGUF's form is what its model file is") {
  embed::gguf_sentencepiece_vocabulary v{.tokens = {"<unk>", "<s>", "</s>"}, .scores = {0, 0, 0}, .types = {2, 3, 3}};
  for (int byte = 0; byte < 256; ++byte) {
    char name[8];
    std::snprintf(name, sizeof name, "<0x%02X>", static_cast<unsigned>(byte));
    v.tokens.emplace_back(name);
    v.scores.push_back(0);
    v.types.push_back(6);
  }
  for (auto const* piece : {"\u2581a", "ab", "\u2581ab", "\u2581", "a", "b"}) {
    v.tokens.emplace_back(piece);
    v.scores.push_back(-static_cast<float>(v.scores.size()));
    v.types.push_back(1);
  }
  auto const tokenizer = embed::make_sentencepiece(v, "model.gguf");
  CHECK(tokenizer.vocab_size() == 265);
  CHECK(tokenizer.encode("ab") == tokens({1, 261}));
  CHECK(tokenizer.encode("<s>\n").size() == 1 + 1 + 3 + 1);  // <s>, the dummy prefix, '<', 's', '>', the line break
  v.types[0] = 1;
  CHECK(complaint<file_error>([&] { (void)embed::make_sentencepiece(v, "model.gguf"); }) ==
        "model.gguf: tokenizer.ggml.token_type has no unknown token (2)");
  v.scores.pop_back();
  CHECK(complaint<file_error>([&] { (void)embed::make_sentencepiece(v, "model.gguf"); }) ==
        "model.gguf: tokenizer.ggml has 265 tokens, 264 scores and 265 types");
}
#endif
