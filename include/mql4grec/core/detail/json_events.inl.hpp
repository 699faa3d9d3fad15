#pragma once
// The definition of core/detail/json_events.hpp.
#include "mql4grec/core/detail/json_events.hpp"
#include "mql4grec/core/macros.hpp"

namespace mql4grec {
inline namespace core {
namespace detail {

MQL4GREC_DEFINITION void parse_json_events(std::string const& text, json_listener& listener) {
  json::sax_parse(text, &listener);
}

}  // namespace detail
}  // namespace core
}  // namespace mql4grec
