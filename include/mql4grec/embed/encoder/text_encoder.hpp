#pragma once
// What encoders of texts share: a batch of texts in, the mean of each text's hidden states out. An architecture is its
// configuration, its weights, and a function encode_texts() for them.
#include <iterator>
#include <span>
#include <vector>

#include "mql4grec/embed/encoder/transformer.hpp"

namespace mql4grec::embed {

/// A batch of texts in a backend's memory.
template <class B>
struct packed_texts {
  in_vector<B, token_t> tokens;           ///< of all texts, without gaps
  std::vector<index_t> const& offsets;    ///< of the batch, in host memory
  detail::packed_sequences<B> sequences;  ///< where each text begins
};

/// An encoder of texts on a backend; Model is its encoder_model. Features of a text: the mean over its tokens of the
/// last hidden state.
template <Backend B, class T, class Model>
class text_encoder : public Model {
 public:
  /// What encode() reads.
  using input = token_batch;
  using Model::Model;

  /// The columns of the features.
  index_t features() const { return this->config().width; }

  /// Writes the last hidden state (tokens, d), contiguous. Throws error for tokens outside the vocabulary and for texts
  /// with more tokens than positions.
  void hidden_states(B& worker, token_batch const& batch, out_matrix<B, T> hidden) const {
    scratch_scope<B> const scope(worker.scratch());
    run(worker, take_texts(worker, batch), hidden);
  }

  /// Writes the features (texts, d); zeros for a text without tokens. Throws error as hidden_states().
  void encode(B& worker, token_batch const& batch, out_matrix<B, T> out) const {
    scratch_scope<B> const scope(worker.scratch());
    auto const texts = take_texts(worker, batch);
    auto const hidden = take<T>(worker, texts.sequences.rows, features());
    run(worker, texts, hidden);
    nn::mean_of_sequences<T>(worker, hidden, texts.sequences.offsets, out);
  }

 private:
  void run(B& worker, packed_texts<B> const& texts, out_matrix<B, T> hidden) const {
    if (texts.sequences.rows > 0) encode_texts(worker, this->config(), this->weights(), texts, hidden);
  }

  packed_texts<B> take_texts(B& worker, token_batch const& batch) const {
    expects(!batch.offsets.empty() && batch.offsets.front() == 0 && batch.offsets.back() == std::ssize(batch.tokens),
            "encoder: offsets that don't cover the ", batch.tokens.size(), " tokens");
    index_t const vocabulary = this->config().vocabulary, positions = this->config().positions;
    for (token_t const token : batch.tokens)
      expects(index(token) >= 0 && index(token) < vocabulary, "encoder: token ", index(token),
              ", expected below the vocabulary's ", vocabulary);
    auto const sequences = detail::take_sequences(worker, batch.offsets);
    expects(sequences.longest <= positions, "encoder: a text of ", sequences.longest, " tokens, expected at most ",
            positions);
    return {.tokens = device_copy(worker, view_of(std::span(batch.tokens))).view_all(),
            .offsets = batch.offsets,
            .sequences = sequences};
  }
};

}  // namespace mql4grec::embed
