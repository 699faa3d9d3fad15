#pragma once
// The header of a .npy file (NumPy, "A simple file format for NumPy arrays", NEP 1): "\x93NUMPY", a version, the
// header's length, and the header, which is the text of a Python dict. Files may be malicious: nothing is evaluated,
// and everything is checked against the file before memory is allocated for it.
#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mql4grec/core/detail/input_file.hpp"
#include "mql4grec/core/detail/words.hpp"
#include "mql4grec/core/dtype.hpp"

namespace mql4grec {
inline namespace core {
namespace detail {

struct npy_header {
  dtype type{};
  index_t rows = 0, columns = 0;
  index_t begin = 0;  ///< the byte at which the entries begin
};

inline constexpr std::string_view npy_magic = "\x93NUMPY";
inline constexpr index_t most_npy_header_bytes = 10'000;  // numpy's own limit for untrusted files
inline constexpr index_t most_npy_columns = index_t{1}
                                            << 24;  // without rows, the file's size doesn't limit the columns
inline constexpr std::string_view expected_npy_types =
    "expected '<f4', '<f2' or '<f8'; numpy's array.astype('<f4') makes the first";

/// Parses the dict of a header: three keys in any order, strings without escapes, True and False, a tuple of numbers,
/// and spaces anywhere. Nothing else of Python is accepted.
class npy_dict {
 public:
  std::optional<std::string> descr;
  std::optional<bool> fortran_order;
  std::optional<std::vector<index_t>> shape;

  /// `first_byte`: the position of the text in the file, for errors.
  npy_dict(std::filesystem::path const& path, std::string_view text, index_t first_byte)
      : path_(path), text_(text), first_byte_(first_byte) {
    take('{', "'{'");
    while (!next_is('}')) {
      member();
      if (!next_is(',')) break;
      ++at_;
    }
    take('}', "',' or '}'");
    skip_spaces();
    if (at_ < text_.size()) refuse("nothing but spaces after the dict");
    expects_file(descr.has_value(), path_, "header: key 'descr' is missing");
    expects_file(fortran_order.has_value(), path_, "header: key 'fortran_order' is missing");
    expects_file(shape.has_value(), path_, "header: key 'shape' is missing");
  }

 private:
  void member() {
    std::string const key = string("a key in quotes");
    take(':', "':'");
    if (key == "descr") {
      expects_file(!next_is('['), path_, "header: descr is a structured type, ", expected_npy_types);
      set(descr, key, string("a string"));
    } else if (key == "fortran_order") {
      set(fortran_order, key, boolean());
    } else if (key == "shape") {
      set(shape, key, tuple());
    } else {
      raise<file_error>(path_.string(), ": header: unknown key '", printable(key),
                        "', expected descr, fortran_order and shape");
    }
  }
  template <class T>
  void set(std::optional<T>& place, std::string const& key, T value) const {
    expects_file(!place.has_value(), path_, "header: key '", key, "' appears twice");
    place = std::move(value);
  }

  std::string string(char const* expected) {
    if (!next_is('\'') && !next_is('"')) refuse(expected);
    char const quote = text_[at_++];
    std::size_t const begin = at_;
    while (at_ < text_.size() && text_[at_] != quote) {
      if (text_[at_] == '\\' || text_[at_] == '\n') refuse("a string without escapes, in one line");
      ++at_;
    }
    if (at_ == text_.size()) refuse("the end of a string");
    return std::string(text_.substr(begin, at_++ - begin));
  }
  bool boolean() {
    skip_spaces();
    for (bool const value : {false, true}) {
      std::string_view const word = value ? "True" : "False";
      if (!text_.substr(at_).starts_with(word)) continue;
      at_ += word.size();
      return value;
    }
    refuse("True or False");
  }
  std::vector<index_t> tuple() {
    std::vector<index_t> numbers;
    take('(', "a tuple of numbers");
    while (!next_is(')')) {
      numbers.push_back(number());
      if (!next_is(',')) break;
      ++at_;
    }
    take(')', "',' or ')'");
    return numbers;
  }
  index_t number() {
    skip_spaces();
    auto const* const begin = text_.data() + at_;
    auto const* const end = text_.data() + text_.size();
    bool const digit = begin != end && *begin >= '0' && *begin <= '9';  // no sign
    index_t value = 0;
    auto const [stop, code] = std::from_chars(begin, end, value);
    if (!digit || code != std::errc{} || (*begin == '0' && stop - begin > 1)) refuse("an integer from 0 to 2^63 − 1");
    at_ += to_size(stop - begin);
    return value;
  }

  void skip_spaces() { at_ = std::min(text_.find_first_not_of(" \t\r\n", at_), text_.size()); }
  bool next_is(char c) {
    skip_spaces();
    return at_ < text_.size() && text_[at_] == c;
  }
  void take(char c, char const* expected) {
    if (!next_is(c)) refuse(expected);
    ++at_;
  }
  [[noreturn]] void refuse(char const* expected) const {
    std::string const found = at_ < text_.size() ? "'" + printable(text_.substr(at_, 12)) + "'" : "the end";
    raise<file_error>(path_.string(), ": header: byte ", first_byte_ + static_cast<index_t>(at_), ": found ", found,
                      ", expected ", expected);
  }

 private:
  std::filesystem::path const& path_;
  std::string_view text_;
  index_t first_byte_;
  std::size_t at_ = 0;
};

/// The type of entries. Throws file_error, with the actual type, when it isn't supported.
inline dtype npy_type(std::filesystem::path const& path, std::string_view descr) {
  if (descr == "<f4") return dtype::f32;
  if (descr == "<f2") return dtype::f16;
  if (descr == "<f8") return dtype::f64;
  auto const kind = [&]() -> char const* {
    if (descr.starts_with('>')) return " (big-endian)";
    switch (descr.size() > 1 ? descr[1] : '\0') {
      case 'O': return " (Python objects)";
      case 'i':
      case 'u': return " (integers)";
      case 'b': return " (booleans)";
      case 'c': return " (complex numbers)";
      case 'S':
      case 'U': return " (text)";
      case 'V': return " (a structured or raw type)";
      default: return "";
    }
  };
  raise<file_error>(path.string(), ": header: descr is '", printable(descr), "'", kind(), ", ", expected_npy_types);
}

/// The text of the dict, and its begin and end in the file.
struct npy_preamble {
  std::string text;
  index_t begin = 0, end = 0;
};
inline npy_preamble read_npy_preamble(input_file const& file) {
  auto const& path = file.path();
  std::array<unsigned char, 12> head{};
  file.read(0, head.data(), std::min<index_t>(file.size(), std::ssize(head)));
  expects_file(std::memcmp(head.data(), npy_magic.data(), npy_magic.size()) == 0, path,
               "doesn't begin with the bytes \\x93NUMPY, expected a .npy file as numpy.save writes it");
  int const major = head[6], minor = head[7];
  index_t const begin = major == 1 ? 10 : 12;
  expects_file(file.size() >= begin, path, "ends at byte ", file.size(),
               ", expected a header's version and length up to byte ", begin);
  expects_file(major >= 1 && major <= 3 && minor == 0, path, "byte 6: version ", major, ".", minor,
               ", expected 1.0, 2.0 or 3.0");
  index_t length = head[8] | index_t{head[9]} << 8;
  if (major > 1) length |= index_t{head[10]} << 16 | index_t{head[11]} << 24;
  expects_file(length <= most_npy_header_bytes, path, "byte 8: a header of ", length, " bytes, expected at most ",
               most_npy_header_bytes);
  expects_file(length <= file.size() - begin, path, "byte 8: a header of ", length, " bytes, but only ",
               file.size() - begin, " follow");
  npy_preamble preamble{std::string(to_size(length), '\0'), begin, begin + length};
  file.read(begin, preamble.text.data(), length);
  return preamble;
}

inline npy_header read_npy_header(input_file const& file) {
  auto const& path = file.path();
  auto const preamble = read_npy_preamble(file);
  npy_dict const dict(path, preamble.text, preamble.begin);
  auto const& shape = *dict.shape;
  dtype const type = npy_type(path, *dict.descr);
  expects_file(!*dict.fortran_order, path,
               "header: fortran_order is True, expected rows one after another; "
               "numpy.save(path, numpy.ascontiguousarray(array)) writes them so");
  expects_file(shape.size() == 2, path, "header: shape ", shape_text(shape), ", expected [rows, columns]");
  index_t const rows = shape[0], columns = shape[1];
  expects_file(columns >= 1 && columns <= most_npy_columns, path, "header: shape ", shape_text(shape),
               ", expected 1 to ", most_npy_columns, " columns");
  index_t bytes = 0;
  bool const fits = !__builtin_mul_overflow(rows, columns * entry_bytes(type), &bytes);
  expects_file(fits, path, "header: shape ", shape_text(shape), " is too large");
  index_t const found = file.size() - preamble.end;
  expects_file(found == bytes, path, found, " bytes after the header, expected ", bytes, " for '", *dict.descr, "' ",
               shape_text(shape), found < bytes ? ": the file is cut short" : ": something follows the entries");
  return {.type = type, .rows = rows, .columns = columns, .begin = preamble.end};
}

/// The bytes before float32 entries, identical to numpy's: format 1.0, space for a number of rows with 21 digits, and 1
/// to 64 spaces that pad to a multiple of 64 bytes.
inline std::string npy_prefix(index_t rows, index_t columns) {
  std::string const number = std::to_string(rows);
  std::string text =
      "{'descr': '<f4', 'fortran_order': False, 'shape': (" + number + ", " + std::to_string(columns) + "), }";
  text.append(21 - number.size(), ' ');
  std::size_t const fixed = npy_magic.size() + 4, unpadded = fixed + text.size() + 1;
  text.append(64 - unpadded % 64, ' ');
  text += '\n';
  std::string prefix(npy_magic);
  for (std::size_t const byte : {std::size_t{1}, std::size_t{0}, text.size() & 255, text.size() >> 8})
    prefix += static_cast<char>(byte);
  return prefix + text;
}

}  // namespace detail
}  // namespace core
}  // namespace mql4grec
