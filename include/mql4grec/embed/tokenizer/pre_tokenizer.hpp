#pragma once
// How byte-level BPE splits a text before merging: explicit scanners that equal the regular expressions of the models.
// Each looks at a character a bounded number of times, so no text makes them slow.
#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

#include "mql4grec/core/macros.hpp"

namespace mql4grec::embed {

/// The rule by which a text is split. `\s`, `\p{L}` and `\p{N}` are Unicode's white space, letters and numbers; the
/// first alternative that matches wins.
enum class pre_tokenizer {
  /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
  gpt2,
  /// Each `\p{N}` alone, and gpt2 on what lies between.
  smollm,
  /// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|
  /// ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
  llama3,
  /// llama3 with `\p{N}` instead of `\p{N}{1,3}`.
  qwen2
};

/// The regular expression of a rule as `tokenizer.json` spells it, or nothing for an unknown one.
[[nodiscard]] std::optional<pre_tokenizer> pre_tokenizer_of_regex(std::string_view regex);

/// The rule that GGUF calls `name` in `tokenizer.ggml.pre`, or nothing for an unknown one.
[[nodiscard]] std::optional<pre_tokenizer> pre_tokenizer_of_gguf(std::string_view name);

/// Code points begin … end − 1 of a text.
struct text_range {
  std::size_t begin = 0;  ///< the first
  std::size_t end = 0;    ///< one past the last

  bool operator==(text_range const&) const = default;
};

/// Splits a text. The ranges are in order and cover it.
[[nodiscard]] std::vector<text_range> split(pre_tokenizer rule, std::u32string_view text);

}  // namespace mql4grec::embed

#if !MQL4GREC_COMPILED
#include "mql4grec/embed/tokenizer/pre_tokenizer.inl.hpp"
#endif
