#pragma once
// What an encoder asks of a tokenizer. A text is never trusted: special tokens that it spells are plain text, and bytes
// that aren't UTF-8 are read as U+FFFD, one for each maximal invalid sequence (as Python's errors="replace").
#include <concepts>
#include <filesystem>
#include <string_view>
#include <vector>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/ids.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::embed {

/// Whether the special tokens of the model (`[CLS]`, `[SEP]`, `<s>`) surround the text.
enum class special_tokens { add, omit };

/// How a text becomes tokens.
struct encode_options {
  index_t max_tokens = 0;                         ///< with special tokens; the first ones are kept. 0: no limit
  special_tokens specials = special_tokens::add;  ///< those of the model, before and after the text
};

/// Maps a text to the ids that rows of an embedding matrix have. Const member functions may be called from several
/// threads at once.
template <class T>
concept Tokenizer = requires(T const& tokenizer, std::string_view text, encode_options const& options) {
  { tokenizer.encode(text, options) } -> std::same_as<std::vector<token_t>>;
  { tokenizer.vocab_size() } -> std::convertible_to<index_t>;  // the largest id + 1
};

/// Throws file_error when an id of the tokenizer has no row in the token embedding, a matrix of `rows` rows read from
/// `weights`. More rows than ids are valid: vocabularies are padded.
template <Tokenizer T>
void check_vocabulary(T const& tokenizer, index_t rows, std::filesystem::path const& weights) {
  expects_file(tokenizer.vocab_size() <= rows, weights, "the token embedding has ", rows,
               " rows, but the tokenizer has ids up to ", tokenizer.vocab_size() - 1);
}

namespace detail {

/// The special tokens before and after each text.
struct token_frame {
  std::vector<token_t> prefix;
  std::vector<token_t> suffix;
};

/// How many tokens of the text itself fit. Throws error when not even the special tokens do.
[[nodiscard]] inline std::size_t text_limit(token_frame const& frame, encode_options const& options) {
  expects(options.max_tokens >= 0, "tokenizer: max_tokens is ", options.max_tokens, ", expected 0 or more");
  if (options.max_tokens == 0) return static_cast<std::size_t>(-1);
  auto const special =
      options.specials == special_tokens::add ? std::ssize(frame.prefix) + std::ssize(frame.suffix) : std::ptrdiff_t{0};
  expects(options.max_tokens >= special, "tokenizer: max_tokens is ", options.max_tokens, ", but there are ", special,
          " special tokens");
  return static_cast<std::size_t>(options.max_tokens - special);
}

/// Cuts the tokens of a text to the limit and adds the special ones.
[[nodiscard]] inline std::vector<token_t> framed(std::vector<token_t> text, token_frame const& frame,
                                                 encode_options const& options) {
  if (auto const limit = text_limit(frame, options); text.size() > limit) text.resize(limit);
  if (options.specials == special_tokens::omit) return text;
  text.insert(text.begin(), frame.prefix.begin(), frame.prefix.end());
  text.insert(text.end(), frame.suffix.begin(), frame.suffix.end());
  return text;
}

}  // namespace detail

}  // namespace mql4grec::embed
