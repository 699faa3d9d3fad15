#pragma once
// Trained translators that give single items their words.
#include <filesystem>
#include <functional>
#include <span>
#include <vector>

#include "mql4grec/pipeline/place_sequence.hpp"

namespace mql4grec::program {

/// A translator, for items of one modality that are inserted one at a time. On a CPU, in fp32, whatever the model's
/// backend is: the codes of an item must not depend on it.
struct item_placer {
  language::modality kind;
  index_t width;  ///< of the features
  /// See pipeline::place_sequence. One call at a time.
  std::function<std::vector<token_t>(std::span<float const> features, pipeline::placement const& where)> place;
};

/// Reads a translator's directory. Throws file_error if a file is missing or damaged.
item_placer load_placer(std::filesystem::path const& translator);

}  // namespace mql4grec::program
