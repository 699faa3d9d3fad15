#pragma once
// Reads a dataset directory: interactions, token indices and item descriptions. The number of items is that of the
// union of all files; an item may occur in some of them only.
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "mql4grec/catalog/dataset_paths.hpp"
#include "mql4grec/catalog/items.hpp"
#include "mql4grec/catalog/read.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/language/read.hpp"
#include "mql4grec/tasks/dataset.hpp"

namespace mql4grec::pipeline {

/// All items of the catalog, in ascending order.
[[nodiscard]] std::vector<item_id> catalog_of(tasks::dataset const& from);

/// The items without a token sequence in any modality. A history may contain them, but they are never recommended.
[[nodiscard]] std::vector<item_id> items_without_tokens(tasks::dataset const& from);

/// The token index of a modality in a dataset directory: `Name.index_lemb.json` of text, `Name.index_vitemb.json` of
/// images (names of the released code), `Name.index_modality2.json` of `modality{2}`, and so on.
[[nodiscard]] std::filesystem::path index_path(catalog::dataset_paths const& paths, language::modality kind);

/// The token indices that read_dataset() reads, by modality; not all have to exist.
[[nodiscard]] std::vector<std::filesystem::path> index_paths(catalog::dataset_paths const& paths,
                                                             language::vocabulary const& vocab);

/// The sequences of these token indices with the tokens of `vocab`, by modality; see read_dataset().
[[nodiscard]] std::vector<language::token_table> read_token_tables(catalog::dataset_paths const& paths,
                                                                   language::vocabulary const& vocab);

/// The vocabulary of a new model for these datasets, with the modalities and prompts of `base`. A modality whose
/// sequences fit the levels and codes of `base`, or that has none, gets exactly these, so that a growing catalog keeps
/// its vocabulary. Any other modality gets the number of levels of its sequences and, at each level, as many codes as
/// its largest code requires. Throws file_error if items of a modality have different numbers of tokens.
[[nodiscard]] language::vocabulary vocabulary_of(std::vector<std::filesystem::path> const& directories,
                                                 language::vocabulary_options base = {});

/// Reads a dataset directory with the tokens of `vocab`. The result has a table for text, for images and for every
/// further modality of `vocab`. No item has a sequence in a modality whose token index is missing, or that `vocab`
/// lacks. Throws file_error if all token indices or another file are missing, or if a file is damaged or contains
/// tokens that aren't in `vocab`.
[[nodiscard]] tasks::dataset read_dataset(std::filesystem::path const& directory, language::vocabulary const& vocab);

/// The same with tokens that have been read before, for example those of find_packed_catalog().
[[nodiscard]] tasks::dataset read_dataset(std::filesystem::path const& directory,
                                          std::vector<language::token_table> tokens);

/// Makes the split of a dataset from `directory` one by time, with the times in `Name.times.json`: training and
/// validation read interactions before `until` only, and the test predicts each user's first item from then on. Throws
/// file_error if the file is missing or damaged, or if `until` isn't after the first and at most at the last time.
void split_by_time(tasks::dataset& data, std::filesystem::path const& directory, double until);

namespace detail {
/// A checksum of what a dataset's examples are made of, by which a resumed run and the ranks of a run recognize it.
std::uint64_t checksum_of(tasks::dataset const& data);
}  // namespace detail

}  // namespace mql4grec::pipeline

#if !MQL4GREC_COMPILED
#include "mql4grec/pipeline/dataset.inl.hpp"
#endif
