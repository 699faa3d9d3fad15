#pragma once
// The few fields of SentencePiece's model file (a Protocol Buffers message) that are checked before its library sees
// them, and that are written for vocabularies of GGUF files.
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "mql4grec/core/macros.hpp"

namespace mql4grec::embed::detail {

/// Throws file_error unless the bytes are a well-formed model with pieces, finite scores and no `precompiled_charsmap`:
/// the library follows that table without checking it.
void check_sentencepiece_model(std::string_view model, std::filesystem::path const& path);

/// A piece of a vocabulary. `type`: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 a byte.
struct sentencepiece_piece {
  std::string_view text;
  float score = 0;
  int type = 1;
};

/// What a model needs besides its pieces.
struct sentencepiece_model_options {
  int bos = 1;
  int eos = 2;
  int unknown = 0;
  bool byte_fallback = true;
  bool space_prefix = true;
};

/// A BPE model without rewriting of characters, as LLaMA's.
[[nodiscard]] std::string serialize_sentencepiece_model(std::span<sentencepiece_piece const> pieces,
                                                        sentencepiece_model_options const& options);

}  // namespace mql4grec::embed::detail

#if !MQL4GREC_COMPILED
#include "mql4grec/embed/tokenizer/detail/sentencepiece_model.inl.hpp"
#endif
