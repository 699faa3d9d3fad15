#pragma once
// The number of levels and codes that the sequences of a token index use. They are needed to construct the vocabulary
// that the token index is then read with.
#include <filesystem>
#include <string>
#include <vector>

#include "mql4grec/core/macros.hpp"
#include "mql4grec/language/vocabulary.hpp"

namespace mql4grec::language {

/// The shape of the sequences in a token index.
struct index_shape {
  std::vector<index_t> codes;  ///< (levels): largest code + 1 of each level; empty when no item has a sequence
  std::string item;            ///< the first item with a sequence, for error messages

  bool operator==(index_shape const&) const = default;
};

/// Reads the shape of `D.index_*.json` for the modality with the prefix of `family`; the levels and codes of `family`
/// are ignored. Throws file_error when an item's tokens don't belong to the modality, when a token is at the wrong
/// level, and when two items have different numbers of tokens.
[[nodiscard]] index_shape read_index_shape(std::filesystem::path const& path, modality_tokens const& family);

}  // namespace mql4grec::language

#if !MQL4GREC_COMPILED
#include "mql4grec/language/index_shape.inl.hpp"
#endif
