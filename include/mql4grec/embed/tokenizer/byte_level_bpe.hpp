#pragma once
// Byte-level byte-pair encoding, as GPT-2, LLaMA 3 and SmolLM use it. Equals Hugging Face's `tokenizers` with
// `encode_special_tokens = True`. A text of n bytes takes O(n log n).
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mql4grec/embed/tokenizer/detail/merge_table.hpp"
#include "mql4grec/embed/tokenizer/pre_tokenizer.hpp"
#include "mql4grec/embed/tokenizer/tokenizer.hpp"
#include "mql4grec/embed/tokenizer/wordpiece.hpp"

namespace mql4grec::embed {

/// Whether a text is composed (NFC) before it is split.
enum class bpe_normalizer { none, nfc };

/// What a byte-level BPE consists of. Tokens are spelled in GPT-2's alphabet of 256 printable characters, one a byte
/// (a space is `Ġ`), as in `tokenizer.json` and in GGUF.
struct bpe_model {
  detail::token_map vocab;                                  ///< tokens with their ids
  std::vector<std::pair<std::string, std::string>> merges;  ///< the first is applied first
  pre_tokenizer rule = pre_tokenizer::gpt2;                 ///< how a text is split
  bpe_normalizer normalizer = bpe_normalizer::none;         ///< before the split
  bool prefix_space = false;                                ///< a text that doesn't begin with a space gets one
  bool ignore_merges = false;                               ///< a split part that is a token needs no merges
  std::optional<token_t> unknown;                           ///< of bytes without a token; unset: they are left out
  bool fuse_unknown = false;                                ///< one unknown token for several such bytes in a row
  detail::token_frame frame;                                ///< special tokens around a text
};

/// The byte-level BPE tokenizer.
class byte_level_bpe {
 public:
  /// Throws error when a merge has a part or a result without a token, naming it.
  explicit byte_level_bpe(bpe_model model);

  /// Ids of a text. Throws error when `max_tokens` has no room for the special tokens.
  [[nodiscard]] std::vector<token_t> encode(std::string_view text, encode_options const& options = {}) const;
  /// The largest id + 1.
  [[nodiscard]] index_t vocab_size() const { return vocab_size_; }

 private:
  struct scratch;

  void append_part(std::string_view bytes, scratch& work, std::vector<token_t>& ids) const;
  void append_merged(std::string_view bytes, scratch& work, std::vector<token_t>& ids) const;
  void apply_merges(scratch& work) const;
  void find_whole_parts(detail::token_map const& vocab);

  detail::token_map whole_parts_;  // by their bytes: the parts of a text that become a single token
  std::array<token_t, 256> byte_ids_{};
  detail::merge_table merges_;
  bpe_model settings_;  // without vocabulary and merges
  index_t vocab_size_ = 0;
};
static_assert(Tokenizer<byte_level_bpe>);

/// The vocabulary of a GGUF file whose `tokenizer.ggml.model` is `gpt2`.
struct gguf_bpe_vocabulary {
  std::vector<std::string> tokens = {};  ///< `tokenizer.ggml.tokens`
  std::vector<std::string> merges = {};  ///< `tokenizer.ggml.merges`, two tokens with a space between
  std::string pre = {};                  ///< `tokenizer.ggml.pre`
  std::optional<std::int32_t> bos = {};  ///< `tokenizer.ggml.bos_token_id`, set when `add_bos_token` is true
  std::optional<std::int32_t> eos = {};  ///< `tokenizer.ggml.eos_token_id`, set when `add_eos_token` is true
  bool space_prefix = false;             ///< `tokenizer.ggml.add_space_prefix`
};

/// A tokenizer from the vocabulary of a GGUF file. Throws error naming the token or merge that is wrong.
[[nodiscard]] byte_level_bpe make_byte_level_bpe(gguf_bpe_vocabulary const& vocabulary);

namespace detail {

/// The two tokens of "a b". Throws error unless there is exactly one space, between them.
[[nodiscard]] std::pair<std::string, std::string> split_merge(std::string_view merge);

}  // namespace detail

}  // namespace mql4grec::embed

#if !MQL4GREC_COMPILED
#include "mql4grec/embed/tokenizer/byte_level_bpe.inl.hpp"
#endif
