#pragma once
// JSON from outside, read with nlohmann/json; every complaint is one line that names the file and the place in it.
#if !__has_include(<nlohmann/json.hpp>)
#error "mql4grec reads JSON with nlohmann/json: install it (Debian: nlohmann-json3-dev), or include only headers that need no files"
#endif
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/files.hpp"

namespace mql4grec {

using json = nlohmann::ordered_json;  // files are written back with their keys in the order they came

/// Parses a text; `path` is what the error names.
inline json parse_json(std::string_view text, std::filesystem::path const& path) {
  expects_file(!text.empty(), path, "is empty, expected JSON");
  try {
    return json::parse(text);
  } catch (nlohmann::json::parse_error const& e) {
    detail::raise<file_error>(path.string(), ": byte ", e.byte, ": not valid JSON, or truncated");
  }
}

inline json read_json(std::filesystem::path const& path) { return parse_json(read_file(path), path); }

inline void write_json(std::filesystem::path const& path, json const& value) { write_file(path, value.dump(2) + "\n"); }

/// The member `key` of an object as a T, or a file_error that says what stands there instead.
template <class T>
T member(json const& object, std::string const& key, std::filesystem::path const& path) {
  expects_file(object.is_object() && object.contains(key), path, "key '", key, "' is missing");
  try {
    return object.at(key).get<T>();
  } catch (nlohmann::json::exception const&) {
    detail::raise<file_error>(path.string(), ": key '", key, "' is a ", object.at(key).type_name(), " of the wrong kind");
  }
}

/// The same, or `otherwise` when the key is absent or null.
template <class T>
T member_or(json const& object, std::string const& key, T otherwise, std::filesystem::path const& path) {
  if (object.is_object() && object.contains(key) && !object.at(key).is_null()) return member<T>(object, key, path);
  return otherwise;
}

}  // namespace mql4grec
