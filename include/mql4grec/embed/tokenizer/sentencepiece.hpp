#pragma once
// SentencePiece by its own library, for LLaMA: pieces, byte fallback and the dummy prefix are what the model file
// states. Equals `LlamaTokenizer` of transformers with `split_special_tokens=True`.
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mql4grec/core/macros.hpp"
#include "mql4grec/embed/tokenizer/tokenizer.hpp"

namespace mql4grec::embed {

/// Which special tokens surround a text. The defaults are LLaMA's.
struct sentencepiece_options {
  bool begin = true;  ///< `<s>`, where the model has one
  bool end = false;   ///< `</s>`, where the model has one
};

/// The vocabulary of a GGUF file whose `tokenizer.ggml.model` is `llama`.
struct gguf_sentencepiece_vocabulary {
  std::vector<std::string> tokens = {};  ///< `tokenizer.ggml.tokens`
  std::vector<float> scores = {};        ///< `tokenizer.ggml.scores`
  std::vector<std::int32_t> types = {};  ///< `tokenizer.ggml.token_type`
  std::int32_t bos = 1;                  ///< `tokenizer.ggml.bos_token_id`
  std::int32_t eos = 2;                  ///< `tokenizer.ggml.eos_token_id`
  bool space_prefix = true;              ///< `tokenizer.ggml.add_space_prefix`
  sentencepiece_options options = {};    ///< `tokenizer.ggml.add_bos_token`, `add_eos_token`
};

/// The SentencePiece tokenizer. Copies share the model.
class sentencepiece {
 public:
  /// A model as `tokenizer.model` has it; `path` appears in errors. Throws file_error when it isn't one, and for models
  /// that rewrite characters (a `precompiled_charsmap`), which LLaMA's don't.
  sentencepiece(std::string_view model, std::filesystem::path const& path, sentencepiece_options options = {});

  /// Ids of a text. Throws error when `max_tokens` has no room for the special tokens.
  [[nodiscard]] std::vector<token_t> encode(std::string_view text, encode_options const& options = {}) const;
  /// The largest id + 1.
  [[nodiscard]] index_t vocab_size() const;

 private:
  struct library;
  std::shared_ptr<library const> library_;
  detail::token_frame frame_;
};
static_assert(Tokenizer<sentencepiece>);

/// Reads `tokenizer.model`. Throws file_error.
[[nodiscard]] sentencepiece read_sentencepiece(std::filesystem::path const& file, sentencepiece_options options = {});

/// A tokenizer from the vocabulary of the GGUF file `path`. Throws file_error.
[[nodiscard]] sentencepiece make_sentencepiece(gguf_sentencepiece_vocabulary const& vocabulary,
                                               std::filesystem::path const& path);

}  // namespace mql4grec::embed

#if !MQL4GREC_COMPILED
#include "mql4grec/embed/tokenizer/sentencepiece.inl.hpp"
#endif
