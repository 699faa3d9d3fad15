#pragma once
// Reads and writes t5_config as the config.json of transformers' T5ForConditionalGeneration. The reader accepts only
// known keys: those that it reads, and those that change nothing of what is computed here. Any other key is an error,
// so a model never computes something else here than in transformers.
#include <filesystem>

#include "mql4grec/core/json_fwd.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/seq2seq/config.hpp"

namespace mql4grec::seq2seq {

/// The content of config.json, with every key that transformers 4.45 reads, in the order in which transformers writes
/// them.
json to_config_json(t5_config const& c);

/// The configuration in a parsed config.json. Missing keys have transformers' defaults. Throws file_error with `path`
/// and the key for a size out of range, for a variant of T5 that isn't supported, and for an unknown key. Transformers
/// 5 writes an untied model with tie_word_embeddings = true and scale_decoder_outputs = false; such a file is read as
/// untied.
[[nodiscard]] t5_config from_config_json(json const& object, std::filesystem::path const& path);

/// Reads a config.json. Throws file_error if it is missing or damaged, and in the cases of from_config_json.
[[nodiscard]] t5_config read_t5_config(std::filesystem::path const& path);

}  // namespace mql4grec::seq2seq

#if !MQL4GREC_COMPILED
#include "mql4grec/seq2seq/config_json.inl.hpp"
#endif
