#pragma once
// The tokenizer of a checkpoint, whichever kind it is. `tokenizer.model` is read before `tokenizer.json`: for LLaMA 1
// and 2 both exist, and the second repeats the first in a form that this library doesn't read.
#include <filesystem>

#include "mql4grec/core/macros.hpp"
#include "mql4grec/embed/tokenizer/any_tokenizer.hpp"

namespace mql4grec::embed {

/// Reads the tokenizer of a checkpoint: of a directory, `tokenizer.model`, `tokenizer.json` or `vocab.txt`, the first
/// that exists; of a file, a GGUF file, its vocabulary (read_gguf_tokenizer). For `tokenizer.model` and `vocab.txt`,
/// `tokenizer_config.json` states the special tokens and how a text is cleaned. Throws file_error.
[[nodiscard]] any_tokenizer read_tokenizer(std::filesystem::path const& checkpoint);

}  // namespace mql4grec::embed

#if !MQL4GREC_COMPILED
#include "mql4grec/embed/tokenizer/read_tokenizer.inl.hpp"
#endif
