#pragma once
// Reads the whole numbers of texts: of items, users, tokens and codes.
#include <charconv>
#include <optional>
#include <string_view>
#include <system_error>

#include "mql4grec/core/ids.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec {
inline namespace core {
namespace detail {

/// The number from 0 to limit − 1 that is the whole text, in decimal digits; nothing if it is anything else.
inline std::optional<index_t> whole_number(std::string_view text, index_t limit = item_number_limit) {
  index_t number = -1;
  auto const [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  bool const whole = failure == std::errc{} && end == text.data() + text.size() && text.front() != '-';
  return whole && number < limit ? std::optional(number) : std::nullopt;
}

}  // namespace detail
}  // namespace core
}  // namespace mql4grec
