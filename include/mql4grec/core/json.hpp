#pragma once
// Reads JSON with nlohmann/json. Every error is one line that names the file and the position in it. nlohmann's parser
// keeps the last of two members with the same key, and rejects an unpaired surrogate; here the first is an error, and
// the second is replaced. Lists and objects nested more than 100 deep are an error, since the library copies, compares
// and writes values by recursion.
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/json_fwd.hpp"
#include "mql4grec/core/macros.hpp"

namespace mql4grec {
inline namespace core {

namespace detail {

/// Parses a text as JSON. `expected` describes what a file should contain, for the error of an empty one.
json parse_expected(std::string text, std::filesystem::path const& path, std::string const& expected);

/// Calls visit(key, value) for each member, in the order of the text, which must contain one object. No member is kept
/// in memory after its visit.
void for_each_member(std::string text, std::filesystem::path const& path, std::string const& expected,
                     std::function<void(std::string const& key, json const& value)> const& visit);

/// A value as errors show it: "a list", "an object", or the text of another value, shortened like printable().
std::string shown(json const& value);

/// What write_json writes.
std::string file_text(json const& value);

}  // namespace detail

/// Parses a text; `path` appears in errors. Throws file_error when it isn't JSON, when an object has a key twice, or
/// when it is nested too deep.
json parse_json(std::string_view text, std::filesystem::path const& path);

/// Reads and parses a file. Throws file_error when it can't be read or isn't JSON.
json read_json(std::filesystem::path const& path);

/// Writes a value, indented by 2, atomically. Bytes of texts that are not UTF-8, such as those of a path, become
/// U+FFFD. Throws file_error.
void write_json(std::filesystem::path const& path, json const& value);

/// The member `key` of an object, converted to T. Throws file_error when it is missing or has another type.
template <class T>
T member(json const& object, std::string const& key, std::filesystem::path const& path) {
  expects_file(object.is_object() && object.contains(key), path, "key '", key, "' is missing");
  try {
    return object.at(key).get<T>();
  } catch (json::exception const&) {
    raise<file_error>(path.string(), ": key '", key, "' is a ", object.at(key).type_name(), " of the wrong kind");
  }
}

/// The same, or `otherwise` when the key is missing or null.
template <class T>
T member_or(json const& object, std::string const& key, T otherwise, std::filesystem::path const& path) {
  if (object.is_object() && object.contains(key) && !object.at(key).is_null()) return member<T>(object, key, path);
  return otherwise;
}

}  // namespace core
}  // namespace mql4grec

#if !MQL4GREC_COMPILED
#include "mql4grec/core/json.inl.hpp"
#endif
