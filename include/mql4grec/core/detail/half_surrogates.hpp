#pragma once
// Programs that cut a text after a number of UTF-16 units leave half of an emoji behind, \ud83d without its \ude00. No
// UTF-8 can hold it.
#include <charconv>
#include <string>
#include <string_view>

namespace mql4grec::detail {

/// The UTF-16 unit of a JSON escape \uXXXX that stands at a place of a text, or −1.
inline int escaped_unit(std::string_view text, std::size_t at) {
  if (at + 6 > text.size() || text[at] != '\\' || text[at + 1] != 'u') return -1;
  int unit = -1;
  char const* const end = text.data() + at + 6;
  auto const [last, failure] = std::from_chars(text.data() + at + 2, end, unit, 16);
  return failure == std::errc{} && last == end && unit >= 0 ? unit : -1;
}

/// Turns every escape in a JSON text that is half of a surrogate pair into \ufffd, the replacement character. The text
/// keeps its length, so that places in it stay what they are.
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

}  // namespace mql4grec::detail
