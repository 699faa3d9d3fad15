#pragma once
// A token from a file is believed only if it is a word of the vocabulary and stands at its own level of the right
// modality: a text index read as the image's would otherwise train without complaint.
#include <filesystem>
#include <optional>

#include "mql4grec/core/macros.hpp"
#include "mql4grec/language/token_table.hpp"
#include "mql4grec/language/vocabulary.hpp"

namespace mql4grec {

/// Reads `D.index_*.json`, `{"item": ["<a_12>", "<b_7>", …]}`. Items the file is silent about have no sequence; two
/// items may share one (duplicate_items counts them). items() is item_count, below which all items must be numbered, or
/// one more than the largest item of the file. Throws file_error.
token_table read_token_table(std::filesystem::path const& path, vocabulary const& words, modality kind,
                             std::optional<index_t> item_count = std::nullopt);

/// Writes what read_token_table reads, one item a line; items without a sequence are left out.
void write_token_table(std::filesystem::path const& path, token_table const& table, vocabulary const& words);

}  // namespace mql4grec

#if !MQL4GREC_COMPILED
#include "mql4grec/language/read_token_table.inl.hpp"
#endif
