#pragma once
// The definitions of core/json.hpp.
#include "mql4grec/core/detail/half_surrogates.hpp"
#include "mql4grec/core/detail/json_builder.hpp"
#include "mql4grec/core/detail/words.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/core/json.hpp"

namespace mql4grec {
inline namespace core {

namespace detail {

/// Parses a text after replacing unpaired surrogates.
MQL4GREC_DEFINITION void parse_mended(std::string text, std::filesystem::path const& path, std::string const& expected,
                                      json_builder& builder) {
  expects_file(!text.empty(), path, "is empty, expected ", expected);
  mend_half_surrogates(text);
  parse_json_events(text, builder);
}

MQL4GREC_DEFINITION json parse_expected(std::string text, std::filesystem::path const& path,
                                        std::string const& expected) {
  json_builder builder(path);
  parse_mended(std::move(text), path, expected, builder);
  return std::move(builder).result();
}

MQL4GREC_DEFINITION void for_each_member(std::string text, std::filesystem::path const& path,
                                         std::string const& expected,
                                         std::function<void(std::string const& key, json const& value)> const& visit) {
  json_builder builder(path, expected, visit);
  parse_mended(std::move(text), path, expected, builder);
}

MQL4GREC_DEFINITION std::string shown(json const& value) {
  if (value.is_structured()) return value.is_array() ? "a list" : "an object";
  return printable(value.dump(-1, ' ', false, json::error_handler_t::replace));
}

MQL4GREC_DEFINITION std::string file_text(json const& value) {
  return value.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace detail

MQL4GREC_DEFINITION json parse_json(std::string_view text, std::filesystem::path const& path) {
  return detail::parse_expected(std::string(text), path, "JSON");
}

MQL4GREC_DEFINITION json read_json(std::filesystem::path const& path) { return parse_json(read_file(path), path); }

MQL4GREC_DEFINITION void write_json(std::filesystem::path const& path, json const& value) {
  write_file(path, detail::file_text(value));
}

}  // namespace core
}  // namespace mql4grec
