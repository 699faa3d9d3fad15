#pragma once
// A vocabulary from a Hugging Face tokenizer directory. The released checkpoints add their words behind the 32,100 of
// the base tokenizer and in an order of their own, so both the ids and the modalities are read, not computed.
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "mql4grec/core/macros.hpp"
#include "mql4grec/language/vocabulary.hpp"

namespace mql4grec {

namespace detail {

using word_ids = std::unordered_map<std::string, token_t>;

struct numbered_word {
  std::string prefix;
  index_t number;
};

/// "<a_12>" → {"a", 12}; nothing for other words.
std::optional<numbered_word> split_word(std::string_view word);

/// The modalities and prompts that a set of words amounts to: text (<a_…) first, then images (<A_…), then the
/// others by their first id. A level has one code more than its largest; images without text follow a text without
/// levels. T5's own <extra_id_…> are not codes.
vocabulary_options options_from(word_ids const& ids);

}  // namespace detail

/// Reads the words of a checkpoint directory from `added_tokens.json`, or from `tokenizer.json` where that is missing.
/// Levels may have gaps: tokenizers of the released code know the words that an index uses. Throws file_error when
/// there are no code words, or when <pad> isn't 0 or </s> isn't 1.
vocabulary read_vocabulary(std::filesystem::path const& directory);

/// Writes `added_tokens.json`, from which read_vocabulary gives an equal vocabulary.
void write_vocabulary(std::filesystem::path const& directory, vocabulary const& words);

}  // namespace mql4grec

#if !MQL4GREC_COMPILED
#include "mql4grec/language/read_vocabulary.inl.hpp"
#endif
