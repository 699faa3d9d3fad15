#pragma once
#include <charconv>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "mql4grec/core/files.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::detail {

/// Keys in sorted order and found in logarithmic time; core's ordered json would be quadratic in the items.
inline nlohmann::json parse_object(std::filesystem::path const& path, std::string const& expected) {
  auto value = parse_json_events<nlohmann::json>(read_file(path), path, expected, [](auto const&...) { return true; });
  expects_file(value.is_object(), path, "expected ", expected, ", found a ", value.type_name());
  return value;
}

inline std::optional<index_t> parse_number(std::string_view text) {
  index_t number = -1;
  auto const [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  bool const whole = failure == std::errc{} && end == text.data() + text.size() && number >= 0;
  return whole ? std::optional(number) : std::nullopt;
}

}  // namespace mql4grec::detail
