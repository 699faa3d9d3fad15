#pragma once
// A tokenizer whose kind is known at run time, as read_tokenizer returns it.
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "mql4grec/embed/tokenizer/byte_level_bpe.hpp"
#include "mql4grec/embed/tokenizer/wordpiece.hpp"

/// Whether SentencePiece models can be read, which requires its library. CMake sets it with MQL4GREC_SENTENCEPIECE;
/// without CMake, it is set when the header exists.
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

/// A tokenizer of any kind. Copies of large vocabularies are expensive; const members may be called from several
/// threads at once.
///
///     auto const tokenizer = embed::read_tokenizer("all-MiniLM-L6-v2");  // or "SmolLM2-135M.gguf"
///     embed::token_batch batch;
///     for (auto const& title : titles) batch.add(tokenizer.encode(title, 256));
class any_tokenizer {
 public:
#if MQL4GREC_HAS_SENTENCEPIECE
  using kinds = std::variant<wordpiece, byte_level_bpe, sentencepiece>;  ///< what it may be
#else
  using kinds = std::variant<wordpiece, byte_level_bpe>;  ///< what it may be
#endif

  /// Holds one of the kinds.
  explicit any_tokenizer(kinds tokenizer) : tokenizer_(std::move(tokenizer)) {}

  /// Tokens of a text, with the special tokens of the model. Of a text that has more than `max_tokens` with them, the
  /// first are kept, and the special ones: `[CLS]` … `[SEP]`. 0: no limit. Throws error when `max_tokens` has no room
  /// for the special tokens.
  [[nodiscard]] std::vector<token_t> encode(std::string_view text, index_t max_tokens = 0) const {
    return encode(text, encode_options{.max_tokens = max_tokens});
  }
  /// The same with all options.
  [[nodiscard]] std::vector<token_t> encode(std::string_view text, encode_options const& options) const {
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

}  // namespace mql4grec::embed
