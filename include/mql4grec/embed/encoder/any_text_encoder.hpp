#pragma once
// A text encoder whose architecture the files decide.
#include <utility>
#include <variant>

#include "mql4grec/embed/encoder/checkpoint.hpp"

namespace mql4grec::embed {

/// A BERT or a LLaMA on a backend.
template <Backend B, class T>
class any_text_encoder {
 public:
  /// What encode() reads.
  using input = token_batch;
  using kinds = std::variant<bert<B, T>, llama<B, T>>;  ///< what it may be

  /// Holds one of the kinds.
  explicit any_text_encoder(kinds encoder) : encoder_(std::move(encoder)) {}

  /// The columns of the features.
  index_t features() const {
    return std::visit([](auto const& encoder) { return encoder.features(); }, encoder_);
  }
  /// The most tokens of a text.
  index_t positions() const {
    return std::visit([](auto const& encoder) { return encoder.config().positions; }, encoder_);
  }
  /// The number of rows of the token embedding.
  index_t vocabulary() const {
    return std::visit([](auto const& encoder) { return encoder.config().vocabulary; }, encoder_);
  }
  /// All parameters as one vector.
  view<T const, typename B::memory_space, 1> parameters() const {
    return std::visit([](auto const& encoder) { return encoder.parameters(); }, encoder_);
  }
  /// Writes the features (texts, d), as the encoder that this object holds.
  void encode(B& worker, token_batch const& batch, out_matrix<B, T> out) const {
    std::visit([&](auto const& encoder) { encoder.encode(worker, batch, out); }, encoder_);
  }
  /// The encoder itself.
  kinds const& kind() const { return encoder_; }

 private:
  kinds encoder_;
};

/// Reads a BERT or a LLaMA, as `model_type` in config.json says, or a LLaMA from a GGUF file. Throws file_error as
/// read_bert(), and for another `model_type`.
template <Real T, Backend B>
[[nodiscard]] any_text_encoder<B, T> read_text_encoder(B& backend, std::filesystem::path const& path) {
  if (detail::is_llama(path)) return any_text_encoder<B, T>(read_llama<T>(backend, path));
  return any_text_encoder<B, T>(read_bert<T>(backend, path));
}

}  // namespace mql4grec::embed
