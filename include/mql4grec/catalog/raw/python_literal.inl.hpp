#pragma once
// The definition of catalog/raw/python_literal.hpp.
#include <algorithm>
#include <charconv>
#include <cstdint>
#include <utility>

#include "mql4grec/catalog/raw/python_literal.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::catalog {

namespace detail {

/// A recursive-descent parser that writes JSON while it reads.
class python_literal_parser {
 public:
  explicit python_literal_parser(std::string_view text) : text_(text) {}

  std::string run() {
    value(0);
    space();
    if (at_ < text_.size()) fail("the end of the line");
    return std::move(json_);
  }

 private:
  [[noreturn]] void fail(char const* expected) const { raise("byte ", at_, ": expected ", expected); }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool accept(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
  }

  void value(int depth) {
    if (depth > 64) fail("at most 64 levels of nesting");
    space();
    char const c = peek();
    if (accept('{')) return dictionary(depth);
    if (accept('[')) return list(']', depth);
    if (accept('(')) return list(')', depth);
    if (begins_string()) return string();
    if (c == '-' || c == '+' || c == '.' || (c >= '0' && c <= '9')) return number();
    name();
  }

  void dictionary(int depth) {
    json_ += '{';
    for (bool first = true;; first = false) {
      space();
      if (accept('}')) break;
      if (!first) json_ += ',';
      if (!begins_string()) fail("a key in quotation marks, or }");
      string();
      space();
      if (!accept(':')) fail(":");
      json_ += ':';
      value(depth + 1);
      space();
      if (accept('}')) break;
      if (!accept(',')) fail(", or }");
    }
    json_ += '}';
  }

  void list(char end, int depth) {
    json_ += '[';
    for (bool first = true;; first = false) {
      space();
      if (accept(end)) break;
      if (!first) json_ += ',';
      value(depth + 1);
      space();
      if (accept(end)) break;
      if (!accept(',')) fail(end == ']' ? ", or ]" : ", or )");
    }
    json_ += ']';
  }

  bool begins_string() const {
    auto rest = text_.substr(at_);
    for (int i = 0; i < 2 && !rest.empty() && std::string_view("uUbBrR").find(rest[0]) != rest.npos; ++i)
      rest.remove_prefix(1);
    return !rest.empty() && (rest[0] == '\'' || rest[0] == '"');
  }

  void string() {
    json_ += '"';
    do {
      bool raw = false;
      for (; peek() != '\'' && peek() != '"'; ++at_) raw = raw || peek() == 'r' || peek() == 'R';
      char const mark = text_[at_++];
      while (!accept(mark)) {
        if (at_ >= text_.size()) fail("a closing quotation mark");
        if (!raw && accept('\\'))
          escape();
        else
          put(static_cast<unsigned char>(text_[at_++]));
      }
      space();
    } while (begins_string());
    json_ += '"';
  }

  /// A byte of UTF-8 inside a string.
  void put(unsigned byte) {
    if (byte == '"' || byte == '\\') json_ += '\\';
    if (byte >= 32)
      json_ += static_cast<char>(byte);
    else
      put_unit(byte);
  }
  void put_unit(unsigned unit) {
    json_ += "\\u";
    for (unsigned shift = 16; shift > 0; shift -= 4) json_ += "0123456789abcdef"[unit >> (shift - 4) & 15];
  }
  void put_code_point(std::uint32_t code) {
    if (code > 0x10ffff) fail("a character up to U+10FFFF");
    if (code < 0x10000) return put_unit(code);
    put_unit(0xd800 + ((code - 0x10000) >> 10));
    put_unit(0xdc00 + ((code - 0x10000) & 0x3ff));
  }

  std::uint32_t digits(std::size_t count, int base) {
    std::uint32_t code = 0;
    char const *const begin = text_.data() + at_, *const end = begin + std::min(count, text_.size() - at_);
    auto const [last, failure] = std::from_chars(begin, end, code, base);
    if (failure != std::errc{} || (base == 16 && last != begin + count)) fail("digits of an escape");
    at_ += static_cast<std::size_t>(last - begin);
    return code;
  }

  void escape() {
    char const c = peek();
    constexpr std::string_view letters = "abfnrtv", codes = "\a\b\f\n\r\t\v";
    if (auto const i = letters.find(c); i != letters.npos && c != '\0') {
      ++at_;
      return put(static_cast<unsigned char>(codes[i]));
    }
    if (c >= '0' && c <= '7') return put_code_point(digits(3, 8));
    if (accept('x')) return put_code_point(digits(2, 16));
    if (accept('u')) return put_code_point(digits(4, 16));
    if (accept('U')) return put_code_point(digits(8, 16));
    json_ += c == '\'' ? "" : c == '"' ? "\\" : "\\\\";  // Python keeps the backslash of an unknown escape
    if (c != '\'' && c != '"' && c != '\\') return;
    if (c != '\\') json_ += c;
    ++at_;
  }

  /// Any number of Python, written as JSON would: no sign +, no leading zeros, digits on both sides of the point.
  void number() {
    bool const negative = peek() == '-';
    if (peek() == '-' || peek() == '+') ++at_;
    char const *const begin = text_.data() + at_, *const end = text_.data() + text_.size();
    if (at_ == text_.size() || (peek() != '.' && (peek() < '0' || peek() > '9'))) {
      if (peek() == 'i' || peek() == 'n' || peek() == 'I' || peek() == 'N') return name();
      fail("digits");
    }
    double value = 0;
    auto const [last, failure] = std::from_chars(begin, end, value);
    if (failure == std::errc::invalid_argument) fail("a number");
    std::int64_t whole = 0;
    auto const [whole_last, no_whole] = std::from_chars(begin, end, whole);
    at_ += static_cast<std::size_t>(last - begin);
    accept('L');  // long integers of Python 2
    if (failure == std::errc::result_out_of_range) return void(json_ += "null");
    if (negative) json_ += '-';
    if (no_whole == std::errc{} && whole_last == last) return void(json_ += std::to_string(whole));
    char buffer[32];
    std::string_view const text(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
    json_ += text;
    if (text.find_first_of(".e") == text.npos) json_ += ".0";  // simdjson refuses integers of more than 64 bits
  }

  void name() {
    auto const begin = at_;
    auto const is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
    while (at_ < text_.size() && is_letter(text_[at_])) ++at_;
    auto const word = text_.substr(begin, at_ - begin);
    constexpr std::pair<std::string_view, char const*> known[] = {
        {"None", "null"},   {"True", "true"}, {"False", "false"}, {"null", "null"},     {"true", "true"},
        {"false", "false"}, {"nan", "null"},  {"NaN", "null"},    {"Infinity", "null"}, {"inf", "null"}};
    for (auto const& [python, json] : known)
      if (word == python) return void(json_ += json);
    at_ = begin;
    fail("a value");
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::string json_;
};

}  // namespace detail

MQL4GREC_DEFINITION std::string python_literal_to_json(std::string_view text) {
  return detail::python_literal_parser(text).run();
}

}  // namespace mql4grec::catalog
