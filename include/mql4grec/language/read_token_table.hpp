#pragma once
// Reads and writes token indices. A token is accepted only when it is in the vocabulary and at its own level of the
// right modality: a text index that is read as an image index would otherwise train without an error.
#include <filesystem>
#include <optional>

#include "mql4grec/core/macros.hpp"
#include "mql4grec/language/token_table.hpp"
#include "mql4grec/language/vocabulary.hpp"

namespace mql4grec::language {

/// Reads `D.index_*.json`, `{"item": ["<a_12>", "<b_7>", …]}`. Items that the file doesn't contain have no sequence.
/// Two items may share a sequence; duplicate_items() counts these. The number of items of the table is item_count, or
/// one more than the largest item of the file by default. Throws file_error for tokens that aren't accepted, sequences
/// of another length, items ≥ item_count, and an item that occurs twice.
[[nodiscard]] token_table read_token_table(std::filesystem::path const& path, vocabulary const& vocab, modality kind,
                                           std::optional<index_t> item_count = std::nullopt);

/// Writes the format that read_token_table() reads, one item per line. Items without a sequence are omitted. Throws
/// file_error.
void write_token_table(std::filesystem::path const& path, token_table const& table, vocabulary const& vocab);

}  // namespace mql4grec::language

#if !MQL4GREC_COMPILED
#include "mql4grec/language/read_token_table.inl.hpp"
#endif
