#pragma once
// The name `json`, for what only declares something with it: nlohmann/json itself takes longer to compile than all
// else. core/json.hpp has the rest.
#if !__has_include(<nlohmann/json_fwd.hpp>)
#error \
    "mql4grec reads JSON with nlohmann/json: install it (Debian: nlohmann-json3-dev), or include only headers that need no files"
#endif
#include <nlohmann/json_fwd.hpp>

namespace mql4grec {

using json = nlohmann::ordered_json;  // files are written back with their keys in the order they came

}  // namespace mql4grec
