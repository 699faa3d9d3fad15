#pragma once
// How many levels of how many codes the sequences of an index file have: what must be known before there is a
// vocabulary to read them by.
#include <filesystem>
#include <string>
#include <vector>

#include "mql4grec/core/macros.hpp"
#include "mql4grec/language/vocabulary.hpp"

namespace mql4grec {

/// The levels that sequences have, and one more than the largest code of each.
struct index_shape {
  std::vector<index_t> codes;  ///< (levels); none where no item has a sequence
  std::string item;            ///< the first one with a sequence, for errors

  bool operator==(index_shape const&) const = default;
};

/// Looks through `D.index_*.json` of the modality whose words `family` begins; how many levels and codes that has
/// itself doesn't matter. Throws file_error for an item whose tokens are no sequence of the modality's words, or more
/// or fewer than another item's.
index_shape read_index_shape(std::filesystem::path const& path, modality_tokens const& family);

}  // namespace mql4grec

#if !MQL4GREC_COMPILED
#include "mql4grec/language/index_shape.inl.hpp"
#endif
