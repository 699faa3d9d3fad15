#pragma once
// UTF-8, and the properties of code points that tokenizers ask for. All run in linear time, or n log n for the order
// of combining marks, on any input. Categories are those of the utf8proc that is linked; characters that Unicode
// assigned after the tables of another implementation were made differ from it.
#include <string>
#include <string_view>

#include "mql4grec/core/macros.hpp"

namespace mql4grec::embed::detail {

/// The code points of a text. Each maximal sequence of bytes that isn't UTF-8 (Unicode 15, table 3-7) is one U+FFFD.
[[nodiscard]] std::u32string decode_utf8(std::string_view text);
/// Whether decode_utf8 replaces nothing.
[[nodiscard]] bool is_utf8(std::string_view text);
/// Appends a code point as UTF-8.
void append_utf8(std::string& text, char32_t c);
/// Code points as UTF-8.
[[nodiscard]] std::string encode_utf8(std::u32string_view text);

/// `\p{L}`.
[[nodiscard]] bool is_letter(char32_t c);
/// `\p{N}`.
[[nodiscard]] bool is_number(char32_t c);
/// The property White_Space, the `\s` of regular expressions.
[[nodiscard]] bool is_space(char32_t c);
/// Categories Cc, Cf and Co.
[[nodiscard]] bool is_control(char32_t c);
/// Category P, or an ASCII symbol.
[[nodiscard]] bool is_punctuation(char32_t c);
/// Category Mn.
[[nodiscard]] bool is_nonspacing_mark(char32_t c);

/// Appends the lower-case form without regard to neighbours: U+0130 becomes two code points, a final sigma isn't final.
void append_lower(std::u32string& text, char32_t c);
/// Canonical decomposition, NFD.
[[nodiscard]] std::u32string decomposed(std::u32string_view text);
/// Canonical composition, NFC.
[[nodiscard]] std::u32string composed(std::u32string_view text);

}  // namespace mql4grec::embed::detail

#if !MQL4GREC_COMPILED
#include "mql4grec/embed/tokenizer/detail/unicode.inl.hpp"
#endif
