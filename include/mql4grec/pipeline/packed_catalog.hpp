#pragma once
// The packed catalog of a dataset directory, `Name.catalog.packed`: the token indices as a model's tokens, and their
// tries, which a recommender maps instead of reading the indices.
#include <filesystem>
#include <memory>

#include "mql4grec/core/macros.hpp"
#include "mql4grec/language/vocabulary.hpp"
#include "mql4grec/search/packed_catalog.hpp"

namespace mql4grec::pipeline {

/// Packs the token indices of a dataset directory as tokens of a model's vocabulary. An earlier packed catalog is
/// replaced when the new one is complete. Reads the indices into memory; for larger ones there is
/// search::packed_catalog_writer. Throws file_error as read_dataset() does, and if the file can't be written.
search::packed_catalog_summary pack_catalog(std::filesystem::path const& directory, language::vocabulary const& vocab);

/// The packed catalog of a dataset directory; nothing if there is none. Throws file_error if it is damaged, if it is of
/// another vocabulary, and if a token index isn't the one that was packed any more. Indices may have been removed,
/// and have to be if the file doesn't tell what it was packed from (packed_catalog_options::sources).
[[nodiscard]] std::shared_ptr<search::packed_catalog const> find_packed_catalog(
    std::filesystem::path const& directory, language::vocabulary const& vocab,
    search::packed_check check = search::packed_check::header);

}  // namespace mql4grec::pipeline

#if !MQL4GREC_COMPILED
#include "mql4grec/pipeline/packed_catalog.inl.hpp"
#endif
