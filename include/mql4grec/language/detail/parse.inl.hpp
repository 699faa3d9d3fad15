#pragma once
// The definitions of language/detail/parse.hpp.
#include <utility>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/language/detail/parse.hpp"

namespace mql4grec::language::detail {

MQL4GREC_DEFINITION std::map<std::string, json> parse_object(std::string text, std::filesystem::path const& path,
                                                             std::string const& expected) {
  json value = core::detail::parse_expected(std::move(text), path, expected);
  expects_file(value.is_object(), path, "expected ", expected, ", found a ", value.type_name());
  std::map<std::string, json> members;
  for (auto& [key, member] : value.get_ref<json::object_t&>()) members.emplace(key, std::move(member));
  return members;
}

}  // namespace mql4grec::language::detail
