#pragma once
// The tokenizer of a checkpoint directory, whichever kind it is. `tokenizer.model` is read before `tokenizer.json`: for
// LLaMA 1 and 2 both exist, and the second repeats the first in a form that this library doesn't read.
#include <cstdint>
#include <filesystem>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "mql4grec/core/macros.hpp"
#include "mql4grec/embed/tokenizer/byte_level_bpe.hpp"
#include "mql4grec/embed/tokenizer/wordpiece.hpp"

#if !defined(MQL4GREC_HAS_SENTENCEPIECE)
#if __has_include(<sentencepiece_processor.h>)
#define MQL4GREC_HAS_SENTENCEPIECE 1
#else
#define MQL4GREC_HAS_SENTENCEPIECE 0
#endif
#endif
#if MQL4GREC_HAS_SENTENCEPIECE
#include "mql4grec/embed/tokenizer/sentencepiece.hpp"
#endif

namespace mql4grec::embed {

/// A tokenizer whose kind is known at run time.
class any_tokenizer {
 public:
#if MQL4GREC_HAS_SENTENCEPIECE
  using kinds = std::variant<wordpiece, byte_level_bpe, sentencepiece>;  ///< what it may be
#else
  using kinds = std::variant<wordpiece, byte_level_bpe>;  ///< what it may be
#endif

  /// Holds one of the kinds.
  explicit any_tokenizer(kinds tokenizer) : tokenizer_(std::move(tokenizer)) {}

  /// Ids of a text. Throws error when `max_tokens` has no room for the special tokens.
  [[nodiscard]] std::vector<std::int32_t> encode(std::string_view text, encode_options const& options = {}) const {
    return std::visit([&](auto const& tokenizer) { return tokenizer.encode(text, options); }, tokenizer_);
  }
  /// The largest id + 1.
  [[nodiscard]] index_t vocab_size() const {
    return std::visit([](auto const& tokenizer) { return tokenizer.vocab_size(); }, tokenizer_);
  }
  /// The tokenizer itself.
  [[nodiscard]] kinds const& kind() const { return tokenizer_; }

 private:
  kinds tokenizer_;
};
static_assert(Tokenizer<any_tokenizer>);

/// Reads `tokenizer.model`, `tokenizer.json` or `vocab.txt` of a directory, the first that exists. For the first and
/// the last, `tokenizer_config.json` states the special tokens and how a text is cleaned. Throws file_error.
[[nodiscard]] any_tokenizer read_tokenizer(std::filesystem::path const& directory);

}  // namespace mql4grec::embed

#if !MQL4GREC_COMPILED
#include "mql4grec/embed/tokenizer/read_tokenizer.inl.hpp"
#endif
