#pragma once
// Parsing shared by the readers of language/.
#include <filesystem>
#include <map>
#include <string>

#include "mql4grec/core/json_fwd.hpp"
#include "mql4grec/core/macros.hpp"

namespace mql4grec::language::detail {

/// One item of a token index, and the file for error messages.
struct index_entry {
  std::filesystem::path const& path;
  std::string const& item;  ///< the item's key
  json const& tokens;       ///< the item's value, a list of tokens in a valid file
};

/// The members of the object in the text of a JSON file. A sorted map, so that finding a member takes logarithmic time.
/// Throws file_error.
std::map<std::string, json> parse_object(std::string text, std::filesystem::path const& path,
                                         std::string const& expected);

}  // namespace mql4grec::language::detail

#if !MQL4GREC_COMPILED
#include "mql4grec/language/detail/parse.inl.hpp"
#endif
