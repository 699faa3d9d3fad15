#pragma once
// One line of a file as a JSON object.
#include <string>
#include <string_view>

#include "mql4grec/catalog/raw/line_reader.hpp"
#include "mql4grec/catalog/raw/python_literal.hpp"
#include "mql4grec/core/detail/half_surrogates.hpp"
#include "mql4grec/core/error.hpp"
#if !__has_include(<simdjson.h>)
#error \
    "mql4grec reads JSON lines with simdjson: install it (Debian: libsimdjson-dev), or include no header of catalog/raw"
#endif
#include <simdjson.h>

namespace mql4grec::catalog::detail {

/// Parses lines that are JSON, or else Python literals. Unpaired surrogates are replaced.
class json_line_parser {
 public:
  /// The object in a line, valid until the next call. Throws file_error with the line when it is none.
  simdjson::dom::object parse(line_reader const& lines, std::string_view line) {
    auto found = parse_json(line);
    if (found.error() != simdjson::SUCCESS) {
      auto const problem = found.error();
      try {
        found = parse_json(python_literal_to_json(line));
      } catch (error const& e) {
        lines.fail(std::string("is neither JSON (") + simdjson::error_message(problem) + ") nor a Python literal (" +
                   e.what() + ")");
      }
    }
    simdjson::dom::object object;
    if (found.error() != simdjson::SUCCESS)
      lines.fail(std::string("is no valid text: ") + simdjson::error_message(found.error()));
    if (found.get(object) != simdjson::SUCCESS) lines.fail("is not an object {…}");
    return object;
  }

 private:
  simdjson::simdjson_result<simdjson::dom::element> parse_json(std::string_view text) {
    text_.assign(text);
    if (text_.find("\\ud") != text_.npos || text_.find("\\uD") != text_.npos) core::detail::mend_half_surrogates(text_);
    text_.reserve(text_.size() + simdjson::SIMDJSON_PADDING);
    return parser_.parse(text_.data(), text_.size(), false);
  }

  simdjson::dom::parser parser_;
  std::string text_;
};

/// A member that is a string, or an empty text.
inline std::string_view text_member(simdjson::dom::object object, std::string_view key) {
  std::string_view text;
  return object[key].get(text) == simdjson::SUCCESS ? text : std::string_view();
}

}  // namespace mql4grec::catalog::detail
