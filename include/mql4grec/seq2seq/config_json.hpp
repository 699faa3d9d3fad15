#pragma once
// t5_config as the config.json of transformers' T5ForConditionalGeneration, read and written. A checkpoint that loads
// means the same here and there: every key must be known, as one that is read or one that changes nothing of what is
// computed here; any other is refused rather than ignored.
#include <filesystem>

#include "mql4grec/core/json_fwd.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/seq2seq/config.hpp"

namespace mql4grec {

/// config.json with every field that transformers 4.45 reads, in the order in which it writes them.
json to_config_json(t5_config const& c);

/// The configuration in a parsed config.json; members that aren't there have transformers' defaults. Throws file_error,
/// naming `path` and the key, for a size out of range, a variant of T5 that isn't supported, and a key that isn't
/// known. Transformers 5 writes untied models as tied ones whose outputs aren't scaled, with a head of their own.
t5_config from_config_json(json const& object, std::filesystem::path const& path);

t5_config read_t5_config(std::filesystem::path const& path);

}  // namespace mql4grec

#if !MQL4GREC_COMPILED
#include "mql4grec/seq2seq/config_json.inl.hpp"
#endif
