#pragma once
// Declares `json` for headers that only name it: including nlohmann/json takes longer to compile than everything else.
// For its definition include core/json.hpp.
#if !__has_include(<nlohmann/json_fwd.hpp>)
#error \
    "mql4grec reads JSON with nlohmann/json: install it (Debian: nlohmann-json3-dev), or include only headers that need no files"
#endif
#include <nlohmann/json_fwd.hpp>

namespace mql4grec {
inline namespace core {

/// A JSON value that keeps the order of keys, so that files are written with their keys in the original order.
using json = nlohmann::ordered_json;

}  // namespace core
}  // namespace mql4grec
