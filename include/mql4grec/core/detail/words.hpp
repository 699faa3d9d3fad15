#pragma once
// Names from files, formatted for one line of an error message.
#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "mql4grec/core/scalar.hpp"

namespace mql4grec {
inline namespace core {
namespace detail {

/// A name from a file or a caller, shortened to 120 bytes of whole UTF-8 characters and without control characters.
inline std::string printable(std::string_view name) {
  std::size_t end = std::min<std::size_t>(name.size(), 120);
  if (end < name.size())  // a character has at most three bytes more
    for (int i = 0; i < 3 && (static_cast<unsigned char>(name[end]) & 0xc0) == 0x80; ++i) --end;
  std::string text(name.substr(0, end));
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 32 || c == 127) c = '?';
  return text;
}

/// "[3, 4]"
inline std::string shape_text(std::vector<index_t> const& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < std::min<std::size_t>(shape.size(), 16); ++i)
    text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
  return text + (shape.size() > 16 ? ", …]" : "]");
}

/// The parts of a text between its commas. "a," has an empty second part; an empty text has no part.
inline std::vector<std::string> split_at_commas(std::string const& text) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin < text.size();) {
    auto const end = std::min(text.find(',', begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
    if (end + 1 == text.size()) parts.emplace_back();
  }
  return parts;
}

}  // namespace detail
}  // namespace core
}  // namespace mql4grec
