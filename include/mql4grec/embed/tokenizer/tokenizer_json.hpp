#pragma once
// Hugging Face's `tokenizer.json`: WordPiece, and byte-level BPE with its merges in both forms. A file that asks for
// anything else is refused, naming the key, rather than read approximately.
#include <filesystem>
#include <variant>

#include "mql4grec/core/json_fwd.hpp"
#include "mql4grec/embed/tokenizer/byte_level_bpe.hpp"
#include "mql4grec/embed/tokenizer/wordpiece.hpp"

namespace mql4grec::embed {

/// What a `tokenizer.json` may contain.
using tokenizer_json = std::variant<wordpiece, byte_level_bpe>;

/// Reads a file. Truncation and padding that it states are ignored: encode_options has the length. Throws file_error.
[[nodiscard]] tokenizer_json read_tokenizer_json(std::filesystem::path const& file);

/// The same from a parsed text; `path` appears in errors.
[[nodiscard]] tokenizer_json parse_tokenizer_json(json const& text, std::filesystem::path const& path);

}  // namespace mql4grec::embed

#if !MQL4GREC_COMPILED
#include "mql4grec/embed/tokenizer/tokenizer_json.inl.hpp"
#endif
