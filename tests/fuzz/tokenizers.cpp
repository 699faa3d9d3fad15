// libFuzzer target: tokenizer files and texts from outside. The first byte chooses; the rest is a file or a text.
//   clang++ -std=c++20 -g -O1 -fsanitize=fuzzer,address,undefined -Iinclude tests/fuzz/tokenizers.cpp -lutf8proc
//   -lsentencepiece MQL4GREC_TEST_GOLDEN_DIR=tests/golden ./a.out -runs=1000000 -max_len=4096
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "mql4grec/core/files.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/embed/tokenizer/detail/unicode.hpp"
#include "mql4grec/embed/tokenizer/read_tokenizer.hpp"
#include "mql4grec/embed/tokenizer/tokenizer_json.hpp"

using namespace mql4grec;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

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
  static auto const file = std::filesystem::temp_directory_path() / ("fuzz_vocab." + std::to_string(::getpid()));
  { std::ofstream(file, std::ios::binary) << bytes; }
  (void)embed::read_wordpiece_vocabulary(file).encode("It's d\xc3\xa9j\xc3\xa0 vu");
}

/// A line each: the pre-tokenizer, tokens, an empty line, merges.
void try_gguf(std::string_view bytes) {
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

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  if (size == 0) return 0;
  std::string_view const rest(reinterpret_cast<char const*>(data) + 1, size - 1);
  try {
    switch (data[0] % 5) {
      case 0: try_text(rest); break;
      case 1: try_json(rest); break;
      case 2: try_vocabulary(rest); break;
      case 3: try_gguf(rest); break;
#if MQL4GREC_HAS_SENTENCEPIECE
      default: (void)embed::sentencepiece(rest, "fuzz").encode("It's d\xc3\xa9j\xc3\xa0 vu\n"); break;
#else
      default: break;
#endif
    }
  } catch (error const& e) {
    require(std::string_view(e.what()).find('\n') == std::string_view::npos);
  }
  return 0;
}
