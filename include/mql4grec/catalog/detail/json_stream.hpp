#pragma once
// A JSON text that is read piece by piece, in memory of one block of the file: for files larger than the memory.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "mql4grec/core/detail/input_file.hpp"
#include "mql4grec/core/detail/words.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/ids.hpp"
#include "mql4grec/core/json.hpp"

namespace mql4grec::catalog::detail {

/// A position in a JSON file. Each member function moves over what it reads, and whitespace before it. All errors are
/// file_error with the line.
class json_stream {
 public:
  static constexpr std::size_t longest_string = std::size_t{1} << 20;

  explicit json_stream(std::filesystem::path const& path) : file_(path), block_(std::size_t{1} << 20) {
    if (at_end() || peek() != '\xef') return;
    for (char const mark : {'\xef', '\xbb', '\xbf'}) {
      if (at_end() || peek() != mark) fail("begins with a part of a byte order mark, expected UTF-8");
      ++next_;
    }
  }

  std::filesystem::path const& path() const { return file_.path(); }
  /// Bytes of the file, and how many have been read.
  index_t size() const { return file_.size(); }
  index_t position() const { return loaded_ - (end_ - next_); }

  /// Whether only whitespace is left.
  bool finished() {
    skip_space();
    return at_end();
  }
  /// Whether `character` is next; moves over it if so.
  bool skip(char character) {
    skip_space();
    if (at_end() || peek() != character) return false;
    ++next_;
    return true;
  }
  /// Moves over `character`, which must be next. `what` describes it in an error.
  void expect(char character, char const* what) {
    if (!skip(character)) fail(std::string("expected ") + what + ", found " + found());
  }
  bool next_is(char character) {
    skip_space();
    return !at_end() && peek() == character;
  }

  /// A string.
  void string(std::string& text, char const* what) {
    expect('"', what);
    text.clear();
    bool plain = true;
    for (;; ++next_) {
      if (at_end()) fail("the text ends inside a string");
      char const c = peek();
      if (c == '"') break;
      plain = plain && c >= ' ' && c <= '~' && c != '\\';
      if (text.size() >= longest_string) fail("a string of more than " + std::to_string(longest_string) + " bytes");
      text.push_back(c);
      if (c != '\\') continue;
      ++next_;
      if (at_end()) fail("the text ends inside a string");
      text.push_back(peek());
    }
    ++next_;
    if (plain) return;
    try {  // escapes, and UTF-8 to be checked
      text = core::detail::parse_expected("\"" + text + "\"", path(), "a string").get<std::string>();
    } catch (file_error const&) {
      fail("a string that isn't valid JSON: '" + core::detail::printable(valid(text)) + "'");
    }
  }

  /// The characters of a number, or of another word without quotation marks. Valid until the next call.
  std::string_view word() {
    skip_space();
    word_.clear();
    while (!at_end() && word_.size() < 400 &&
           std::string_view(",]}[{:\" \t\r\n").find(peek()) == std::string_view::npos)
      word_.push_back(*next_++);
    return word_;
  }

  /// Throws file_error with the path and the line.
  [[noreturn]] void fail(std::string const& what) const {
    raise<file_error>(path().string(), ": line ", line_, ": ", what);
  }
  /// The character that is next, for errors.
  std::string found() {
    skip_space();
    if (at_end()) return "the end of the text";
    return "'" + core::detail::printable(valid(std::string(1, peek()))) + "'";
  }

 private:
  /// Without bytes that aren't ASCII: an error must be valid UTF-8.
  static std::string valid(std::string text) {
    std::ranges::replace_if(
        text, [](char c) { return c < 0; }, '?');
    return text;
  }
  /// The next character; 0 at the end.
  char peek() { return at_end() ? '\0' : *next_; }
  bool at_end() {
    if (next_ != end_) return false;
    auto const n = std::min(file_.size() - loaded_, std::ssize(block_));
    file_.read(loaded_, block_.data(), n);
    loaded_ += n;
    next_ = block_.data();
    end_ = next_ + n;
    return n == 0;
  }
  void skip_space() {
    while (!at_end() && (*next_ == ' ' || *next_ == '\n' || *next_ == '\r' || *next_ == '\t'))
      if (*next_++ == '\n') ++line_;
  }

  core::detail::input_file file_;
  std::vector<char> block_;
  char const* next_ = nullptr;
  char const* end_ = nullptr;
  index_t loaded_ = 0, line_ = 1;
  std::string word_;
};

/// Whether the characters before the exponent are those of a number of JSON: it has no leading zero, and digits before
/// and after a point.
inline bool is_json_number(std::string_view word) {
  auto const is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (word.starts_with('-')) word.remove_prefix(1);
  if (word.empty() || !is_digit(word[0]) || (word[0] == '0' && word.size() > 1 && is_digit(word[1]))) return false;
  auto const point = word.find('.');
  return point == word.npos || (point + 1 < word.size() && is_digit(word[point + 1]));
}

/// A list of item numbers of a user.
inline void read_items(json_stream& from, std::string const& user, std::vector<item_id>& items) {
  auto const place = [&] {
    return "user '" + core::detail::printable(user) + "', place " + std::to_string(items.size()) + ": ";
  };
  items.clear();
  from.expect('[', ("a list of items of user '" + core::detail::printable(user) + "'").c_str());
  if (from.skip(']')) return;
  do {
    auto const word = from.word();
    index_t number = -1;
    auto const [end, failure] = std::from_chars(word.data(), word.data() + word.size(), number);
    bool const whole =
        failure == std::errc{} && end == word.data() + word.size() && word[0] != '-' && is_json_number(word);
    if (!whole || number >= item_number_limit)
      from.fail(place() + "expected an item number from 0 to " + std::to_string(item_number_limit - 1) + ", found " +
                (word.empty() ? from.found() : core::detail::printable(word)));
    items.push_back(static_cast<item_id>(number));
  } while (from.skip(','));
  from.expect(']', ("',' or ']' in the items of user '" + core::detail::printable(user) + "'").c_str());
}

/// A list of times of a user, one for each item, which rise.
inline void read_times(json_stream& from, std::string const& user, std::vector<double>& times) {
  auto const place = [&] {
    return "user '" + core::detail::printable(user) + "', place " + std::to_string(times.size()) + ": ";
  };
  times.clear();
  from.expect('[', ("a list of times of user '" + core::detail::printable(user) + "'").c_str());
  if (from.skip(']')) return;
  do {
    auto const word = from.word();
    double time = 0;
    auto const [end, failure] = std::from_chars(word.data(), word.data() + word.size(), time);
    bool const whole =
        failure == std::errc{} && end == word.data() + word.size() && is_json_number(word) && std::isfinite(time);
    if (!whole)
      from.fail(place() + "expected a time, found " + (word.empty() ? from.found() : core::detail::printable(word)));
    if (!times.empty() && time < times.back())
      from.fail(place() + core::detail::printable(word) + " is less than the time of the item before it");
    times.push_back(time);
  } while (from.skip(','));
  from.expect(']', ("',' or ']' in the times of user '" + core::detail::printable(user) + "'").c_str());
}

}  // namespace mql4grec::catalog::detail
