#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "mql4grec/catalog/dataset_paths.hpp"
#include "mql4grec/catalog/items.hpp"
#include "mql4grec/catalog/read.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/language/read.hpp"
#include "mql4grec/tasks/dataset.hpp"

namespace mql4grec {

/// Every item of the catalog, by number.
std::vector<item_id> catalog_of(dataset const& from);

/// Those that have a sequence in no modality: a history may hold them, but nobody is recommended them.
std::vector<item_id> items_without_tokens(dataset const& from);

/// The two modalities that a dataset directory holds, and where.
std::filesystem::path index_path(dataset_paths const& paths, modality kind);

/// The words of a new model that is to learn these datasets. A modality whose sequences fit the paper's 4 levels of 256
/// codes, or that has none, gets those words, so that a growing catalog keeps its words; any other gets as many
/// levels, and at each as many codes, as its largest code asks for. The modalities may differ. Throws file_error when
/// items of a modality have different numbers of tokens.
vocabulary vocabulary_of(std::vector<std::filesystem::path> const& directories);

/// One of the two indices may be absent, or its modality from `words`: no item has a sequence there then. Throws
/// file_error when another file is missing or one is damaged or speaks other words than `words`.
dataset read_dataset(std::filesystem::path const& directory, vocabulary const& vocab);

}  // namespace mql4grec

#if !MQL4GREC_COMPILED
#include "mql4grec/pipeline/dataset.inl.hpp"
#endif
