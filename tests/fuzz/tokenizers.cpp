// libFuzzer target: tokenizer files and texts from outside. MQL4GREC_FUZZ_KIND names what the bytes are: text, json
// (tokenizer.json), vocab (vocab.txt), gguf, bpe (a vocabulary as lines) or sentencepiece (tokenizer.model).
//   clang++ -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -Iinclude tests/fuzz/tokenizers.cpp -lutf8proc
//   -lsentencepiece
//   MQL4GREC_FUZZ_KIND=json MQL4GREC_TEST_GOLDEN_DIR=tests/golden ./a.out -runs=1000000 CORPUS
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "check.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/embed/tokenizer/detail/unicode.hpp"
#include "mql4grec/embed/tokenizer/gguf_tokenizer.hpp"
#include "mql4grec/embed/tokenizer/read_tokenizer.hpp"
#include "mql4grec/embed/tokenizer/tokenizer_json.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {

/// Texts go to all golden tokenizers.
std::vector<embed::any_tokenizer> const& tokenizers() {
  static auto const all = [] {
    auto const* folder = std::getenv("MQL4GREC_TEST_GOLDEN_DIR");
    auto const golden = std::filesystem::path(folder ? folder : "tests/golden") / "tokenizers";
    std::vector<embed::any_tokenizer> found;
    for (auto const& entry : std::filesystem::directory_iterator(golden))
      if (entry.is_directory()) found.push_back(embed::read_tokenizer(entry.path()));
    return found;
  }();
  return all;
}

void try_text(std::string_view text) {
  for (auto const& tokenizer : tokenizers()) {
    auto const ids = tokenizer.encode(text);
    for (auto const id : ids) require(index(id) >= 0 && index(id) < tokenizer.vocab_size());
    auto const cut = tokenizer.encode(text, {.max_tokens = 4, .specials = embed::special_tokens::omit});
    auto const bare = tokenizer.encode(text, {.specials = embed::special_tokens::omit});
    require(
        std::equal(cut.begin(), cut.end(), bare.begin(), bare.begin() + std::min<std::ptrdiff_t>(4, std::ssize(bare))));
  }
  auto const mended = embed::detail::encode_utf8(embed::detail::decode_utf8(text));
  require(embed::detail::is_utf8(mended) && (mended == text) == embed::detail::is_utf8(text));
}

void try_json(std::string_view bytes) {
  std::visit([](auto const& tokenizer) { (void)tokenizer.encode("It's 12 d\xc3\xa9j\xc3\xa0 vu  [CLS]\n\xff"); },
             embed::parse_tokenizer_json(parse_json(bytes, "fuzz"), "fuzz"));
}

void try_vocabulary(std::string_view bytes) {
  (void)embed::parse_wordpiece_vocabulary(bytes, "fuzz").encode("It's d\xc3\xa9j\xc3\xa0 vu");
}

void try_gguf(std::string_view bytes) {
  gguf const file(std::as_bytes(std::span(bytes)), "fuzz");
  (void)embed::read_gguf_tokenizer(file).encode("It's 12 d\xc3\xa9j\xc3\xa0 vu\n");
}

/// A vocabulary as lines, which changes more easily than the file: the pre-tokenizer, tokens, an empty line, merges.
void try_bpe(std::string_view bytes) {
  embed::gguf_bpe_vocabulary vocabulary;
  bool in_merges = false;
  for (std::size_t number = 0; !bytes.empty(); ++number) {
    auto const line = std::string(bytes.substr(0, bytes.find('\n')));
    bytes.remove_prefix(std::min(bytes.size(), line.size() + 1));
    if (number == 0)
      vocabulary.pre = line;
    else if (line.empty())
      in_merges = true;
    else
      (in_merges ? vocabulary.merges : vocabulary.tokens).push_back(line);
  }
  (void)embed::make_byte_level_bpe(vocabulary).encode("ab abc  12\n");
}

void try_sentencepiece([[maybe_unused]] std::string_view bytes) {
#if MQL4GREC_HAS_SENTENCEPIECE
  (void)embed::sentencepiece(bytes, "fuzz").encode("It's d\xc3\xa9j\xc3\xa0 vu\n");
#endif
}

struct input_kind {
  std::string_view name;
  void (*run)(std::string_view);
};
constexpr std::array<input_kind, 6> kinds{{{"text", try_text},
                                           {"json", try_json},
                                           {"vocab", try_vocabulary},
                                           {"gguf", try_gguf},
                                           {"bpe", try_bpe},
                                           {"sentencepiece", try_sentencepiece}}};

/// The kind that MQL4GREC_FUZZ_KIND names.
input_kind const& chosen() {
  static input_kind const& kind = []() -> input_kind const& {
    auto const* const name = std::getenv("MQL4GREC_FUZZ_KIND");
    auto const* const found = std::find_if(kinds.begin(), kinds.end(),
                                           [&](auto const& each) { return name != nullptr && each.name == name; });
    if (found != kinds.end()) return *found;
    std::fputs("MQL4GREC_FUZZ_KIND: expected text, json, vocab, gguf, bpe or sentencepiece\n", stderr);
    std::exit(2);
  }();
  return kind;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  expect_one_line<error>([&] { chosen().run({reinterpret_cast<char const*>(data), size}); });
  return 0;
}
