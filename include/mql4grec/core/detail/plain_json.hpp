#pragma once
// Reads the simplest kind of JSON, which interactions and token indices usually consist of, several times as fast as
// the general parser: one object of lists of numbers or of strings. It never reports an error. For any other text,
// valid or not, it returns false, and the caller reads the text with the general parser, which decides.
#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "mql4grec/core/scalar.hpp"

namespace mql4grec {
inline namespace core {
namespace detail {

/// A position in a JSON text that moves over one value after another. The text must outlive it and its strings.
class plain_json {
 public:
  explicit plain_json(std::string_view text) : next_(text.data()), end_(text.data() + text.size()) {}

  /// Whether the rest of the text is an object and nothing else. Calls member(key) after each key; it moves over the
  /// value and returns whether it could. Keys may repeat.
  template <class Member>
  bool object(Member const& member) {
    bool const whole = enclosed('{', '}', [&] {
      auto const key = string();
      return key && skip(':') && member(*key);
    });
    return whole && next() == end_;
  }
  /// Whether a list is next. Calls entry(); it moves over an entry and returns whether it could.
  template <class Entry>
  bool list(Entry const& entry) {
    return enclosed('[', ']', entry);
  }
  /// The string that is next, of printable ASCII without escapes.
  std::optional<std::string_view> string() {
    if (!skip('"')) return std::nullopt;
    char const* const begin = next_;
    while (next_ != end_ && *next_ != '"') {
      if (*next_ < ' ' || *next_ > '~' || *next_ == '\\') return std::nullopt;
      ++next_;
    }
    if (next_ == end_) return std::nullopt;
    return std::string_view(begin, static_cast<std::size_t>(next_++ - begin));
  }
  /// The number that is next, an integer from 0 to limit − 1.
  std::optional<index_t> number(index_t limit) {
    char const* const begin = next();
    std::uint64_t value = 0;
    auto const [end, failure] = std::from_chars(begin, end_, value);
    bool const plain = failure == std::errc{} && (*begin != '0' || end == begin + 1);
    next_ = end;
    return plain && std::cmp_less(value, limit) ? std::optional(static_cast<index_t>(value)) : std::nullopt;
  }

 private:
  template <class Entry>
  bool enclosed(char open, char close, Entry const& entry) {
    if (!skip(open)) return false;
    if (skip(close)) return true;
    do {
      if (!entry()) return false;
    } while (skip(','));
    return skip(close);
  }
  /// Moves over whitespace.
  char const* next() {
    while (next_ != end_ && (*next_ == ' ' || *next_ == '\n' || *next_ == '\r' || *next_ == '\t')) ++next_;
    return next_;
  }
  /// Moves over `character` if it is next.
  bool skip(char character) {
    if (next() == end_ || *next_ != character) return false;
    ++next_;
    return true;
  }

  char const* next_;
  char const* end_;
};

}  // namespace detail
}  // namespace core
}  // namespace mql4grec
