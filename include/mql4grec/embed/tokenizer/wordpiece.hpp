#pragma once
// WordPiece as BERT uses it. Equals `BertTokenizerFast` of transformers with `split_special_tokens=True`; the range of
// CJK characters is that class's too (U+2B820 … U+2B91F are not in it).
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "mql4grec/embed/tokenizer/tokenizer.hpp"

namespace mql4grec::embed {

namespace detail {

/// Hashes a std::string and a std::string_view alike, so that a lookup copies nothing.
struct text_hash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};

/// Tokens by their text.
using token_map = std::unordered_map<std::string, token_t, text_hash, std::equal_to<>>;

}  // namespace detail

/// How a text is cleaned before it is split into words, and how words become pieces. The defaults are BERT's, uncased.
struct wordpiece_options {
  bool clean = true;                  ///< remove control characters and U+FFFD; all white space becomes a space
  bool space_cjk = true;              ///< each CJK character is a word
  bool lower_case = true;             ///< as Unicode, without regard to neighbours
  std::optional<bool> strip_accents;  ///< remove nonspacing marks after NFD; unset: as lower_case
  std::string continuation = "##";    ///< how the vocabulary marks pieces that don't begin a word
  index_t max_word = 100;             ///< a word of more characters is unknown
  std::string unknown = "[UNK]";      ///< the token of a word without pieces

  bool operator==(wordpiece_options const&) const = default;
};

/// The WordPiece tokenizer.
class wordpiece {
 public:
  /// `vocab`: tokens with their ids. `frame`: special tokens around a text. Throws error without the unknown token.
  wordpiece(detail::token_map vocab, detail::token_frame frame, wordpiece_options options = {});

  /// Ids of a text. Throws error when `max_tokens` has no room for the special tokens.
  [[nodiscard]] std::vector<token_t> encode(std::string_view text, encode_options const& options = {}) const;
  /// The largest id + 1.
  [[nodiscard]] index_t vocab_size() const { return vocab_size_; }
  /// The options of the constructor.
  [[nodiscard]] wordpiece_options const& options() const { return options_; }

 private:
  [[nodiscard]] std::u32string normalized(std::string_view text) const;
  void append_word(std::u32string_view word, std::vector<token_t>& ids) const;

  detail::token_map first_;  // pieces that begin a word
  detail::token_map next_;   // all others, without their mark
  detail::token_frame frame_;
  wordpiece_options options_;
  token_t unknown_{};
  std::size_t longest_ = 0;  // bytes of the longest piece
  index_t vocab_size_ = 0;
};
static_assert(Tokenizer<wordpiece>);

/// Reads `vocab.txt`: a token a line, its id is the number of the line from 0. `[CLS]` and `[SEP]` surround a text.
/// Throws file_error naming the line.
[[nodiscard]] wordpiece read_wordpiece_vocabulary(std::filesystem::path const& file, wordpiece_options options = {});

/// The same from the content of a file; `path` appears in errors.
[[nodiscard]] wordpiece parse_wordpiece_vocabulary(std::string_view content, std::filesystem::path const& path,
                                                   wordpiece_options options = {});

}  // namespace mql4grec::embed

#if !MQL4GREC_COMPILED
#include "mql4grec/embed/tokenizer/wordpiece.inl.hpp"
#endif
