#pragma once
// One member of a large JSON object at a time. Building the whole ordered object would cost time quadratic in its
// members (nlohmann's ordered_map looks keys up one by one), and 42,000 users would already take seconds.
#include <filesystem>
#include <string>

#include "mql4grec/core/json.hpp"

namespace mql4grec::detail {

/// Calls visit(key, value) for each member in the order of the file. The file must hold one object.
template <class Visit>
void for_each_member(std::string text, std::filesystem::path const& path, std::string const& expected, Visit visit) {
  using event = nlohmann::json::parse_event_t;
  std::string key;
  parse_json_events<nlohmann::json>(std::move(text), path, expected, [&](int depth, event what, nlohmann::json& value) {
    if (depth == 0) expects_file(what == event::object_start || what == event::object_end, path, "expected ", expected);
    if (depth != 1) return true;
    if (what == event::key) key = value.template get<std::string>();
    if (what != event::value && what != event::array_end && what != event::object_end) return true;
    visit(key, value);
    return false;  // it has been seen, so it need not be kept
  });
}

}  // namespace mql4grec::detail
