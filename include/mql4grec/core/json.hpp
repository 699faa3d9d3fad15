#pragma once
// JSON from outside, read with nlohmann/json; every complaint is one line that names the file and the place in it. The
// parser itself keeps the last of two members with the same key and refuses half of a surrogate pair; here the first is
// refused and the second mended.
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/json_fwd.hpp"
#include "mql4grec/core/macros.hpp"

namespace mql4grec {

namespace detail {

/// Reads a text as JSON; `expected` is what an error says of an empty one.
json parse_expected(std::string text, std::filesystem::path const& path, std::string const& expected);

/// Calls visit(key, value) for each member in the order of the text, which must hold one object; none of them is kept.
void for_each_member(std::string text, std::filesystem::path const& path, std::string const& expected,
                     std::function<void(std::string const& key, json const& value)> const& visit);

}  // namespace detail

/// Parses a text; `path` is what the error names. Throws file_error when it isn't JSON or an object has a key twice.
json parse_json(std::string_view text, std::filesystem::path const& path);

json read_json(std::filesystem::path const& path);

void write_json(std::filesystem::path const& path, json const& value);

/// The member `key` of an object as a T, or a file_error that says what stands there instead.
template <class T>
T member(json const& object, std::string const& key, std::filesystem::path const& path) {
  expects_file(object.is_object() && object.contains(key), path, "key '", key, "' is missing");
  try {
    return object.at(key).get<T>();
  } catch (json::exception const&) {
    detail::raise<file_error>(path.string(), ": key '", key, "' is a ", object.at(key).type_name(),
                              " of the wrong kind");
  }
}

/// The same, or `otherwise` when the key is absent or null.
template <class T>
T member_or(json const& object, std::string const& key, T otherwise, std::filesystem::path const& path) {
  if (object.is_object() && object.contains(key) && !object.at(key).is_null()) return member<T>(object, key, path);
  return otherwise;
}

}  // namespace mql4grec

#if !MQL4GREC_COMPILED
#include "mql4grec/core/json.inl.hpp"
#endif
