#pragma once
// Unpaired UTF-16 surrogates in JSON. Programs that truncate a text after a number of UTF-16 units leave half of an
// emoji, \ud83d without its \ude00, which UTF-8 can't represent.
#include <charconv>
#include <string>
#include <string_view>

namespace mql4grec {
inline namespace core {
namespace detail {

/// The UTF-16 unit of the JSON escape \uXXXX at a position of a text, or −1 when there is none.
inline int escaped_unit(std::string_view text, std::size_t at) {
  if (at + 6 > text.size() || text[at] != '\\' || text[at + 1] != 'u') return -1;
  int unit = -1;
  char const* const end = text.data() + at + 6;
  auto const [last, failure] = std::from_chars(text.data() + at + 2, end, unit, 16);
  return failure == std::errc{} && last == end && unit >= 0 ? unit : -1;
}

/// Replaces every unpaired surrogate escape in a JSON text by \ufffd, the replacement character. The text keeps its
/// length, so positions in it stay valid.
inline void mend_half_surrogates(std::string& text) {
  for (auto at = text.find('\\'); at != text.npos; at = text.find('\\', at)) {
    int const unit = escaped_unit(text, at);
    bool const high = unit >= 0xd800 && unit < 0xdc00, low = unit >= 0xdc00 && unit < 0xe000;
    int const next = high ? escaped_unit(text, at + 6) : -1;
    bool const pair = next >= 0xdc00 && next < 0xe000;
    if (low || (high && !pair)) text.replace(at, 6, "\\ufffd");
    at += pair ? 12 : unit >= 0 ? 6 : 2;
  }
}

}  // namespace detail
}  // namespace core
}  // namespace mql4grec
