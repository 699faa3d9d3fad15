#pragma once
// Reads a vocabulary from a Hugging Face tokenizer directory. Released checkpoints add their tokens after the 32,100 of
// the base tokenizer, in an order of their own, so both the ids and the modalities are read from the file, never
// computed.
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "mql4grec/core/macros.hpp"
#include "mql4grec/language/vocabulary.hpp"

namespace mql4grec::language {

namespace detail {

/// Every code of a level is less, so that a damaged file can't request an arbitrary amount of memory.
inline constexpr index_t code_limit = index_t{1} << 20;
/// Every id is less, for the same reason, and so are the numbers of a vocabulary's codes and prompts.
inline constexpr index_t token_limit = index_t{1} << 24;

/// Ids by token text.
using word_ids = std::unordered_map<std::string, token_t>;

/// The parts of a token's text: <a_12> has the prefix "a" and the number 12.
struct numbered_word {
  std::string prefix;
  index_t number;
};

/// Splits "<a_12>" into {"a", 12}; returns nothing for texts of another form.
[[nodiscard]] std::optional<numbered_word> split_word(std::string_view word);

/// The modalities and prompts of a set of tokens. Text (<a_…>) comes first, then images (<A_…>), then other modalities
/// by their smallest id. K of a level is one more than its largest code. If there are images but no text, the text
/// modality has no levels. T5's own <extra_id_…> are not codes. Throws error when a code or the sum of all K is too
/// large.
[[nodiscard]] vocabulary_options options_from(word_ids const& ids);

}  // namespace detail

/// Reads the vocabulary of a checkpoint directory from `added_tokens.json`, or from `tokenizer.json` when that file is
/// missing. Levels may have gaps: tokenizers of the released code contain only the tokens that a token index uses.
/// Throws file_error when there are no code tokens, when the id of <pad> isn't 0 or that of </s> isn't 1, and when ids
/// or codes are too large: ids are less than 2^24, the codes of a level less than 2^20.
[[nodiscard]] vocabulary read_vocabulary(std::filesystem::path const& directory);

}  // namespace mql4grec::language

#if !MQL4GREC_COMPILED
#include "mql4grec/language/read_vocabulary.inl.hpp"
#endif
