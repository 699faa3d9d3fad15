#pragma once
// The tokenizer that a GGUF file contains, in its keys that begin with tokenizer.ggml. Only what these keys state
// exactly is read: a file without a pre-tokenizer, or with one that isn't known, is refused.
#include "mql4grec/core/gguf.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/embed/tokenizer/any_tokenizer.hpp"

namespace mql4grec::embed {

/// Reads a vocabulary: byte-level BPE where `tokenizer.ggml.model` is `gpt2` (`tokens`, `merges`, `pre`), SentencePiece
/// where it is `llama` (`tokens`, `scores`, `token_type`). `add_bos_token` and `add_eos_token` state the special tokens
/// around a text; when they are missing, the defaults are llama.cpp's: a first token for SentencePiece and for the
/// pre-tokenizer `llama-bpe`, otherwise none. Throws file_error naming the key when it is missing, has another type or
/// contradicts another one, and for kinds of vocabularies that aren't supported.
[[nodiscard]] any_tokenizer read_gguf_tokenizer(gguf const& file);

}  // namespace mql4grec::embed

#if !MQL4GREC_COMPILED
#include "mql4grec/embed/tokenizer/gguf_tokenizer.inl.hpp"
#endif
