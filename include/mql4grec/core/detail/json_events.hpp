#pragma once
// The only place where JSON text is parsed. nlohmann's parser is a template of the value's and the listener's type, so
// a single instantiation keeps compile times low.
#include <nlohmann/json.hpp>
#include <string>

#include "mql4grec/core/json_fwd.hpp"
#include "mql4grec/core/macros.hpp"

namespace mql4grec {
inline namespace core {
namespace detail {

/// The interface that receives a parser's events through virtual functions. An exception that one of them throws ends
/// the parsing.
using json_listener = nlohmann::json_sax<json>;

void parse_json_events(std::string const& text, json_listener& listener);

}  // namespace detail
}  // namespace core
}  // namespace mql4grec

#if !MQL4GREC_COMPILED
#include "mql4grec/core/detail/json_events.inl.hpp"
#endif
