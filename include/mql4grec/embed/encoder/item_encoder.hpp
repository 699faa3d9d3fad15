#pragma once
// Frozen encoders: what turns an item's tokens or picture into a row of features.
#include <algorithm>
#include <vector>

#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/ids.hpp"

namespace mql4grec::embed {

/// Texts as tokens, packed: text s has the tokens offsets[s] … offsets[s+1]−1. In host memory.
struct token_batch {
  std::vector<token_t> tokens;      ///< of all texts, special tokens included
  std::vector<index_t> offsets{0};  ///< (texts + 1)

  /// The number of texts.
  index_t size() const { return std::ssize(offsets) - 1; }
  /// Appends a text.
  void add(std::vector<token_t> const& text) {
    tokens.insert(tokens.end(), text.begin(), text.end());
    offsets.push_back(std::ssize(tokens));
  }
};

/// Pictures of equal size, normalized, in host memory. The memory is the caller's.
struct image_batch {
  host_matrix_view<float const> pixels;  ///< (images, channels·height·width), the channels of an image one by one

  /// The number of pictures.
  index_t size() const { return pixels.rows(); }
};

/// A frozen encoder on a backend: a batch of inputs gives a row of features each. encode() is const and runs on the
/// worker that is passed to it, so workers may encode different batches at once.
template <class E, class B, class T>
concept ItemEncoder = Backend<B> &&
    requires(E const& encoder, B& worker, typename E::input const& batch, out_matrix<B, T> features) {
  { batch.size() } -> std::convertible_to<index_t>;
  { encoder.features() } -> std::same_as<index_t>;                    // the columns of a row of features
  { encoder.encode(worker, batch, features) } -> std::same_as<void>;  // features: (batch.size(), encoder.features())
};

}  // namespace mql4grec::embed
