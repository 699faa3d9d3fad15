#pragma once
// The definitions of embed/tokenizer/detail/unicode.hpp.
#if !__has_include(<utf8proc.h>)
#error "mql4grec's tokenizers need utf8proc: install it (Debian: libutf8proc-dev)"
#endif
#include <utf8proc.h>

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "mql4grec/embed/tokenizer/detail/unicode.hpp"

namespace mql4grec::embed::detail {

/// One code point, or U+FFFD and how many bytes it replaces.
struct decoded {
  char32_t c = 0xFFFD;
  std::size_t bytes = 1;
  bool valid = false;
};

/// The code point at the beginning of a text that isn't empty.
MQL4GREC_DEFINITION decoded decode_one(std::string_view text) {
  auto const byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  unsigned char const lead = byte(0);
  if (lead < 0x80) return {lead, 1, true};
  if (lead < 0xC2 || lead > 0xF4) return {};
  std::size_t const length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  // the second byte's range excludes overlong forms, surrogates and what is beyond U+10FFFF
  unsigned char const low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  unsigned char const high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  char32_t c = lead & (0x7Fu >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if (i >= text.size() || byte(i) < (i == 1 ? low : 0x80) || byte(i) > (i == 1 ? high : 0xBF))
      return {0xFFFD, i, false};
    c = (c << 6) | (byte(i) & 0x3Fu);
  }
  return {c, length, true};
}

MQL4GREC_DEFINITION std::u32string decode_utf8(std::string_view text) {
  std::u32string all;
  all.reserve(text.size());
  while (!text.empty()) {
    auto const next = decode_one(text);
    all.push_back(next.c);
    text.remove_prefix(next.bytes);
  }
  return all;
}

MQL4GREC_DEFINITION bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    auto const next = decode_one(text);
    if (!next.valid) return false;
    text.remove_prefix(next.bytes);
  }
  return true;
}

MQL4GREC_DEFINITION void append_utf8(std::string& text, char32_t c) {
  auto const tail = [&](int shift) { text.push_back(static_cast<char>(0x80u | ((c >> shift) & 0x3Fu))); };
  if (c < 0x80) {
    text.push_back(static_cast<char>(c));
  } else if (c < 0x800) {
    text.push_back(static_cast<char>(0xC0u | (c >> 6)));
    tail(0);
  } else if (c < 0x10000) {
    text.push_back(static_cast<char>(0xE0u | (c >> 12)));
    tail(6);
    tail(0);
  } else {
    text.push_back(static_cast<char>(0xF0u | (c >> 18)));
    tail(12);
    tail(6);
    tail(0);
  }
}

MQL4GREC_DEFINITION std::string encode_utf8(std::u32string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (char32_t const c : text) append_utf8(bytes, c);
  return bytes;
}

MQL4GREC_DEFINITION utf8proc_category_t category_of(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

MQL4GREC_DEFINITION bool is_letter(char32_t c) {
  auto const category = category_of(c);
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

MQL4GREC_DEFINITION bool is_number(char32_t c) {
  auto const category = category_of(c);
  return category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO;
}

MQL4GREC_DEFINITION bool is_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= '\t' && c <= '\r');
  auto const category = category_of(c);
  return c == 0x85 || (category >= UTF8PROC_CATEGORY_ZS && category <= UTF8PROC_CATEGORY_ZP);
}

MQL4GREC_DEFINITION bool is_control(char32_t c) {
  auto const category = category_of(c);
  return category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CF || category == UTF8PROC_CATEGORY_CO;
}

MQL4GREC_DEFINITION bool is_punctuation(char32_t c) {
  if (c < 0x80) return (c > 0x20 && c < '0') || (c > '9' && c < 'A') || (c > 'Z' && c < 'a') || (c > 'z' && c < 0x7F);
  auto const category = category_of(c);
  return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

MQL4GREC_DEFINITION bool is_nonspacing_mark(char32_t c) { return category_of(c) == UTF8PROC_CATEGORY_MN; }

MQL4GREC_DEFINITION void append_lower(std::u32string& text, char32_t c) {
  if (c == 0x130) {  // the one lower-case form of two code points, which utf8proc shortens to 'i'
    text += U"i\u0307";
    return;
  }
  text.push_back(static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
}

/// Sorts each run of combining marks by combining class, stably. utf8proc's own insertion sort is quadratic.
MQL4GREC_DEFINITION void order_marks(std::u32string& text) {
  auto const combining_class = [](char32_t c) {
    return utf8proc_get_property(static_cast<utf8proc_int32_t>(c))->combining_class;
  };
  auto const starter = [&](char32_t c) { return combining_class(c) == 0; };
  for (auto begin = text.begin(); begin != text.end();) {
    begin = std::find_if_not(begin, text.end(), starter);
    auto const end = std::find_if(begin, text.end(), starter);
    std::stable_sort(begin, end, [&](char32_t a, char32_t b) { return combining_class(a) < combining_class(b); });
    begin = end;
  }
}

MQL4GREC_DEFINITION std::u32string decomposed(std::u32string_view text) {
  std::u32string result;
  result.reserve(text.size());
  utf8proc_int32_t parts[8];  // canonical decompositions have four code points at most
  for (char32_t const c : text) {
    int boundary = 0;
    auto const count =
        utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), parts, 8, UTF8PROC_DECOMPOSE, &boundary);
    if (count < 1 || count > 8) {
      result.push_back(c);
      continue;
    }
    for (auto const part : std::span(parts, static_cast<std::size_t>(count)))
      result.push_back(static_cast<char32_t>(part));
  }
  order_marks(result);
  return result;
}

MQL4GREC_DEFINITION std::u32string composed(std::u32string_view text) {
  auto const parts = decomposed(text);
  std::vector<utf8proc_int32_t> buffer(parts.begin(), parts.end());
  auto const length = utf8proc_normalize_utf32(buffer.data(), static_cast<utf8proc_ssize_t>(buffer.size()),
                                               static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
  if (length < 0) return parts;  // never: that function fails for no valid code point
  return {buffer.begin(), buffer.begin() + length};
}

}  // namespace mql4grec::embed::detail
