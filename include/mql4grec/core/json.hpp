#pragma once
// JSON from outside, read with nlohmann/json; every complaint is one line that names the file and the place in it. The parser itself keeps
// the last of two members with the same key and refuses half of a surrogate pair; here the first is refused and the second mended.
#if !__has_include(<nlohmann/json.hpp>)
#error "mql4grec reads JSON with nlohmann/json: install it (Debian: nlohmann-json3-dev), or include only headers that need no files"
#endif
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "mql4grec/core/detail/half_surrogates.hpp"
#include "mql4grec/core/detail/words.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/files.hpp"

namespace mql4grec {

using json = nlohmann::ordered_json;  // files are written back with their keys in the order they came

namespace detail {

/// Follows a parser's events and refuses an object that has a key twice.
class key_check {
 public:
  explicit key_check(std::filesystem::path const& path) : path_(path) {}

  template <class Json>
  void operator()(nlohmann::json::parse_event_t event, Json const& value) {
    using kind = nlohmann::json::parse_event_t;
    if (event == kind::object_start) objects_.emplace_back();
    if (event == kind::object_end) objects_.pop_back();
    if (event == kind::key) add(value.template get<std::string>());
  }

 private:
  struct object {
    std::unordered_set<std::string> keys;
    std::string last;
  };

  void add(std::string name) {
    auto& here = objects_.back();
    here.last = name;
    std::string const of = objects_.size() > 1 ? " of '" + printable(objects_[objects_.size() - 2].last) + "'" : "";
    bool const fresh = here.keys.insert(std::move(name)).second;
    expects_file(fresh, path_, "key '", printable(here.last), "'", of, " appears twice");
  }

  std::filesystem::path const& path_;
  std::vector<object> objects_;  // that are open, the outermost first
};

/// A text as a Json; visit(depth, event, value) sees every event as nlohmann's parser callbacks do, and what it returns false for isn't kept.
template <class Json, class Visit>
Json parse_json_events(std::string text, std::filesystem::path const& path, std::string const& expected, Visit visit) {
  expects_file(!text.empty(), path, "is empty, expected ", expected);
  mend_half_surrogates(text);
  key_check check(path);
  try {
    return Json::parse(text, [&](int depth, typename Json::parse_event_t event, Json& value) {
      check(event, value);
      return visit(depth, event, value);
    });
  } catch (nlohmann::json::parse_error const& e) {
    raise<file_error>(path.string(), ": byte ", e.byte, ": not valid JSON, or truncated");
  }
}

}  // namespace detail

/// Parses a text; `path` is what the error names. Throws file_error when it isn't JSON or an object has a key twice.
inline json parse_json(std::string_view text, std::filesystem::path const& path) {
  return detail::parse_json_events<json>(std::string(text), path, "JSON", [](auto const&...) { return true; });
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
