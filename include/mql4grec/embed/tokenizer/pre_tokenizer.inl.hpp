#pragma once
// The definitions of embed/tokenizer/pre_tokenizer.hpp.
#include <algorithm>
#include <array>
#include <cstdint>

#include "mql4grec/embed/tokenizer/detail/unicode.hpp"
#include "mql4grec/embed/tokenizer/pre_tokenizer.hpp"

namespace mql4grec::embed {

namespace detail {

/// What the expressions distinguish. `newline` is `[\r\n]`, which is white space too.
enum class char_class : std::uint8_t { letter, number, space, newline, other };

MQL4GREC_DEFINITION char_class class_of(char32_t c) {
  if (c == '\r' || c == '\n') return char_class::newline;
  if (is_space(c)) return char_class::space;
  if (is_letter(c)) return char_class::letter;
  return is_number(c) ? char_class::number : char_class::other;
}

/// A text with the classes of its code points. Every function returns where a match that begins at i ends, or i when
/// there is none.
class scanner {
 public:
  explicit scanner(std::u32string_view text) : text_(text), classes_(text.size()) {
    std::transform(text.begin(), text.end(), classes_.begin(), class_of);
  }

  std::size_t size() const { return text_.size(); }
  char32_t at(std::size_t i) const { return i < size() ? text_[i] : 0; }
  bool is(std::size_t i, char_class wanted) const { return i < size() && classes_[i] == wanted; }
  bool is_white(std::size_t i) const { return is(i, char_class::space) || is(i, char_class::newline); }

  /// `X*` of one class.
  std::size_t run(std::size_t i, char_class wanted) const {
    while (is(i, wanted)) ++i;
    return i;
  }
  /// `\s*`
  std::size_t white_run(std::size_t i) const {
    while (is_white(i)) ++i;
    return i;
  }
  /// `'s|'t|'re|'ve|'m|'ll|'d`; where case is folded, U+017F is an s too.
  template <class Fold>
  std::size_t contraction(std::size_t i, Fold fold) const {
    if (at(i) != '\'') return i;
    char32_t const first = fold(at(i + 1)), second = fold(at(i + 2));
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return i + 2;
    bool const two = ((first == 'r' || first == 'v') && second == 'e') || (first == 'l' && second == 'l');
    return two ? i + 3 : i;
  }
  /// ` ?X+`
  std::size_t spaced_run(std::size_t i, char_class wanted) const {
    std::size_t const begin = at(i) == ' ' ? i + 1 : i;
    return is(begin, wanted) ? run(begin, wanted) : i;
  }
  /// `\s+(?!\S)|\s+`: the last character of a run stays with what follows it.
  std::size_t white(std::size_t i) const {
    std::size_t const end = white_run(i);
    return end == size() || end <= i + 1 ? end : end - 1;
  }

 private:
  std::u32string_view text_;
  std::vector<char_class> classes_;
};

MQL4GREC_DEFINITION std::size_t match_gpt2(scanner const& text, std::size_t i) {
  auto const same = [](char32_t c) { return c; };
  if (auto const end = text.contraction(i, same); end > i) return end;
  for (auto const wanted : {char_class::letter, char_class::number, char_class::other})
    if (auto const end = text.spaced_run(i, wanted); end > i) return end;
  return text.white(i);
}

/// `[^\r\n\p{L}\p{N}]?\p{L}+`
MQL4GREC_DEFINITION std::size_t match_led_word(scanner const& text, std::size_t i) {
  bool const lead = text.is(i, char_class::space) || text.is(i, char_class::other);
  std::size_t const begin = lead ? i + 1 : i;
  return text.is(begin, char_class::letter) ? text.run(begin, char_class::letter) : i;
}

/// `\s*[\r\n]+`: up to the last line break of a run of white space.
MQL4GREC_DEFINITION std::size_t match_line_breaks(scanner const& text, std::size_t i) {
  std::size_t end = text.white_run(i);
  while (end > i && !text.is(end - 1, char_class::newline)) --end;
  return end;
}

MQL4GREC_DEFINITION std::size_t match_llama3(scanner const& text, std::size_t i, std::size_t digits) {
  auto const folded = [](char32_t c) { return c == 0x17F ? U's' : c >= 'A' && c <= 'Z' ? c + 32 : c; };
  if (auto const end = text.contraction(i, folded); end > i) return end;
  if (auto const end = match_led_word(text, i); end > i) return end;
  std::size_t number = i;
  while (number < i + digits && text.is(number, char_class::number)) ++number;
  if (number > i) return number;
  if (auto const end = text.spaced_run(i, char_class::other); end > i) return text.run(end, char_class::newline);
  if (auto const end = match_line_breaks(text, i); end > i) return end;
  return text.white(i);
}

/// Calls match(scanner, i) until the text is covered. `offset` is added to all ranges.
template <class Match>
void split_by(std::u32string_view text, std::size_t offset, std::vector<text_range>& ranges, Match match) {
  scanner const scanned(text);
  for (std::size_t begin = 0; begin < text.size();) {
    std::size_t const end = std::max(match(scanned, begin), begin + 1);
    ranges.push_back({offset + begin, offset + end});
    begin = end;
  }
}

MQL4GREC_DEFINITION std::vector<text_range> split_smollm(std::u32string_view text) {
  std::vector<text_range> ranges;
  for (std::size_t begin = 0; begin < text.size();) {
    auto const rest = text.substr(begin);
    auto const length = static_cast<std::size_t>(std::find_if(rest.begin(), rest.end(), is_number) - rest.begin());
    split_by(rest.substr(0, length), begin, ranges, match_gpt2);
    begin += length;
    if (begin < text.size()) {
      ranges.push_back({begin, begin + 1});
      ++begin;
    }
  }
  return ranges;
}

/// A regular expression and the names that GGUF has for it.
struct named_rule {
  pre_tokenizer rule;
  std::string_view regex;
  std::array<std::string_view, 3> gguf;
};

inline constexpr std::array<named_rule, 4> named_rules{{
    {pre_tokenizer::gpt2,
     R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
     {"gpt-2", "gpt2", "phi-2"}},
    {pre_tokenizer::smollm, "", {"smollm", "", ""}},
    {pre_tokenizer::llama3,
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     {"llama-bpe", "llama3", "llama-v3"}},
    {pre_tokenizer::qwen2,
     R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     {"qwen2", "", ""}},
}};

}  // namespace detail

MQL4GREC_DEFINITION std::optional<pre_tokenizer> pre_tokenizer_of_regex(std::string_view regex) {
  for (auto const& known : detail::named_rules)
    if (!regex.empty() && known.regex == regex) return known.rule;
  return std::nullopt;
}

MQL4GREC_DEFINITION std::optional<pre_tokenizer> pre_tokenizer_of_gguf(std::string_view name) {
  for (auto const& known : detail::named_rules)
    if (!name.empty() && std::find(known.gguf.begin(), known.gguf.end(), name) != known.gguf.end()) return known.rule;
  return std::nullopt;
}

MQL4GREC_DEFINITION std::vector<text_range> split(pre_tokenizer rule, std::u32string_view text) {
  if (rule == pre_tokenizer::smollm) return detail::split_smollm(text);
  std::vector<text_range> ranges;
  if (rule == pre_tokenizer::gpt2) {
    detail::split_by(text, 0, ranges, detail::match_gpt2);
  } else {
    std::size_t const digits = rule == pre_tokenizer::llama3 ? 3 : 1;
    detail::split_by(text, 0, ranges,
                     [digits](auto const& scanned, std::size_t i) { return detail::match_llama3(scanned, i, digits); });
  }
  return ranges;
}

}  // namespace mql4grec::embed
