#pragma once
// The one place where a JSON text is parsed. nlohmann's parser is compiled anew for each kind of value and each kind of
// listener, so there is one of both.
#include <nlohmann/json.hpp>
#include <string>

#include "mql4grec/core/json_fwd.hpp"
#include "mql4grec/core/macros.hpp"

namespace mql4grec::detail {

/// What is told event by event, by virtual functions; what one of them throws ends the parsing.
using json_listener = nlohmann::json_sax<json>;

void parse_json_events(std::string const& text, json_listener& listener);

}  // namespace mql4grec::detail

#if !MQL4GREC_COMPILED
#include "mql4grec/core/detail/json_events.inl.hpp"
#endif
