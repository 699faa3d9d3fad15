#pragma once
// One member of a large JSON object at a time. Building the whole ordered object would cost time quadratic in its
// members (nlohmann's ordered_map looks keys up one by one), and 42,000 users would already take seconds.
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_set>

#include "mql4grec/core/json.hpp"

namespace mql4grec::detail {

/// Calls visit(key, value) for each member in the order of the file. The file must hold one object whose keys differ.
template <class Visit>
void for_each_member(std::string_view text, std::filesystem::path const& path, std::string const& expected,
                     Visit visit) {
  using event = nlohmann::json::parse_event_t;
  expects_file(!text.empty(), path, "is empty, expected ", expected);
  std::unordered_set<std::string> keys;
  std::string key;
  auto const on_event = [&](int depth, event what, nlohmann::json& value) {
    if (depth == 0) expects_file(what == event::object_start || what == event::object_end, path, "expected ", expected);
    if (depth != 1) return true;
    if (what == event::key) {
      key = value.template get<std::string>();
      expects_file(keys.insert(key).second, path, "key '", key, "' appears twice");
    } else if (what == event::value || what == event::array_end || what == event::object_end) {
      visit(key, value);
      return false;  // it has been seen, so it need not be kept
    }
    return true;
  };
  try {
    [[maybe_unused]] auto const rest = nlohmann::json::parse(text, on_event);
  } catch (nlohmann::json::parse_error const& e) {
    raise<file_error>(path.string(), ": byte ", e.byte, ": not valid JSON, or truncated");
  }
}

}  // namespace mql4grec::detail
