#pragma once
// Reads JSON with nlohmann/json. Every error is one line that names the file and the position in it. nlohmann's parser
// keeps the last of two members with the same key, and rejects an unpaired surrogate; here the first is an error, and
// the second is replaced. Lists and objects nested more than 100 deep are an error, since the library copies, compares
// and writes values by recursion.
#include <concepts>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

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

/// Refuses values that aren't the whole numbers of a T, or of the entries of a T: nlohmann's conversions would cut off
/// fractions and high bits, and make numbers of true and false.
template <class T>
void expect_whole_numbers(json const& value, std::string const& key, std::filesystem::path const& path) {
  if constexpr (std::integral<T> && !std::same_as<T, bool>) {
    if (!value.is_number_integer())
      raise<file_error>(path.string(), ": key '", key, "': found ", shown(value), ", expected a whole number");
    bool const fits = value.is_number_unsigned() ? std::in_range<T>(value.get<std::uint64_t>())
                                                 : std::in_range<T>(value.get<std::int64_t>());
    using limits = std::numeric_limits<T>;
    expects_file(fits, path, "key '", key, "': found ", value, ", expected ", limits::min(), " to ", limits::max());
  } else if constexpr (requires { typename T::mapped_type; }) {
    for (auto const& entry : value) expect_whole_numbers<typename T::mapped_type>(entry, key, path);
  } else if constexpr (requires { requires std::same_as<T, std::vector<typename T::value_type>>; }) {
    for (auto const& entry : value) expect_whole_numbers<typename T::value_type>(entry, key, path);
  }
}

}  // namespace detail

/// Parses a text; `path` appears in errors. Throws file_error when it isn't JSON, when an object has a key twice, or
/// when it is nested too deep.
json parse_json(std::string_view text, std::filesystem::path const& path);

/// Reads and parses a file. Throws file_error when it can't be read or isn't JSON.
json read_json(std::filesystem::path const& path);

/// Writes a value, indented by 2, atomically. Bytes of texts that are not UTF-8, such as those of a path, become
/// U+FFFD. Throws file_error.
void write_json(std::filesystem::path const& path, json const& value);

/// The member `key` of an object, converted to T. Throws file_error when it is missing or has another type, and when a
/// number isn't one of a T that holds whole numbers, or a vector or map of them.
template <class T>
T member(json const& object, std::string const& key, std::filesystem::path const& path) {
  expects_file(object.is_object() && object.contains(key), path, "key '", key, "' is missing");
  try {
    detail::expect_whole_numbers<T>(object.at(key), key, path);
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
