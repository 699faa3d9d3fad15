#pragma once
// The files that a service sends as they are. They are part of the program; see serve/page/.
#include <string_view>

namespace mql4grec::program {

/// The page: one HTML document with its style and script.
std::string_view page_document();
/// The OpenAPI description of the end points, as JSON.
std::string_view openapi_document();

}  // namespace mql4grec::program
