#pragma once
// Small encoders with random weights, as checkpoint directories. They need no download and are read like any other
// encoder. Their features aren't those of a trained encoder, but items that share words or colors get similar rows: a
// random network is a random projection. For demonstrations and tests.
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "mql4grec/core/macros.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::embed {

/// The size of a random encoder.
struct random_encoder_options {
  index_t width = 64;       ///< columns of the hidden state, and of the features
  index_t layers = 2;       ///< transformer layers
  index_t heads = 4;        ///< a divisor of the width
  index_t image_size = 32;  ///< CLIP: height and width of a picture, in pixels
  index_t patch = 8;        ///< CLIP: height and width of a patch, in pixels
  std::uint64_t seed = 42;  ///< of all weights
};

/// Writes a BERT whose vocabulary is the words of `texts`, in lower case, in a directory that is created:
/// config.json, model.safetensors, vocab.txt and tokenizer_config.json. Equal arguments give equal bytes. Throws error
/// for options out of range, file_error if a file can't be written.
void write_random_bert(std::filesystem::path const& directory, std::span<std::string const> texts,
                       random_encoder_options const& options = {});

/// Writes the vision part of a CLIP in a directory that is created: config.json, model.safetensors and
/// preprocessor_config.json. Throws as write_random_bert().
void write_random_clip(std::filesystem::path const& directory, random_encoder_options const& options = {});

}  // namespace mql4grec::embed

#if !MQL4GREC_COMPILED
#include "mql4grec/embed/encoder/random_checkpoint.inl.hpp"
#endif
