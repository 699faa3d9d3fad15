#pragma once
// Reads the configurations of encoders from Hugging Face's config.json and from GGUF metadata.
#include <filesystem>

#include "mql4grec/core/gguf.hpp"
#include "mql4grec/core/json_fwd.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/embed/encoder/config.hpp"

namespace mql4grec::embed {

/// The configuration of a BERT; `path` appears in errors. Throws file_error for another architecture, for a value that
/// is out of range, and for variants that aren't supported: relative positions, decoders, other activations.
[[nodiscard]] bert_config bert_from_config_json(json const& object, std::filesystem::path const& path);

/// The configuration of a LLaMA. Throws file_error as bert_from_config_json(); rope_scaling may be linear or llama3.
[[nodiscard]] llama_config llama_from_config_json(json const& object, std::filesystem::path const& path);

/// The configuration of the vision part of a CLIP, of a whole CLIP ("clip") or of its vision part alone
/// ("clip_vision_model"). Throws file_error as bert_from_config_json().
[[nodiscard]] clip_vision_config clip_vision_from_config_json(json const& object, std::filesystem::path const& path);

/// The configuration of a LLaMA in a GGUF file, whose general.architecture must be "llama". Throws file_error for
/// another architecture, and for a value that is missing or out of range.
[[nodiscard]] llama_config llama_from_gguf(gguf const& file);

}  // namespace mql4grec::embed

#if !MQL4GREC_COMPILED
#include "mql4grec/embed/encoder/config_json.inl.hpp"
#endif
