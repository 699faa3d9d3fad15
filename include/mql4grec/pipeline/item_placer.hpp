#pragma once
// Trained translators that give single items their codes.
#include <filesystem>
#include <functional>
#include <span>
#include <vector>

#include "mql4grec/pipeline/place_sequence.hpp"

namespace mql4grec::pipeline {

/// A translator, for items of one modality that are inserted one at a time. On a CPU, in fp32, whatever the model's
/// backend is: the codes of an item must not depend on it.
struct item_placer {
  language::modality kind;  ///< the modality of the features
  index_t width;            ///< of the features
  /// See place_sequence. One call at a time.
  std::function<std::vector<token_t>(std::span<float const> features, placement const& where)> place;
};

/// Reads a translator's directory; see read_quantizer_description. Throws file_error if a file is missing or damaged.
[[nodiscard]] item_placer read_item_placer(std::filesystem::path const& translator);

}  // namespace mql4grec::pipeline

#if !MQL4GREC_COMPILED
#include "mql4grec/pipeline/item_placer.inl.hpp"
#endif
