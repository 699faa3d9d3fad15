#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "mql4grec/catalog/dataset_paths.hpp"
#include "mql4grec/catalog/items.hpp"
#include "mql4grec/catalog/read.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/language/read.hpp"
#include "mql4grec/tasks/task.hpp"

namespace mql4grec {

/// A dataset directory, read: who took what, and every item's sequence in each modality. Its catalogue is the union of
/// the items that any of its files names: an item that nobody has taken is as good as any other.
struct dataset {
  std::string name;
  domain data;
  item_descriptions items = {};  ///< from D.item.json where there is one, else empty
};

/// Every item of the catalogue, by number.
std::vector<item_id> catalogue_of(dataset const& from);

/// Those that have a sequence in no modality: a history may hold them, but nobody is recommended them.
std::vector<item_id> items_without_tokens(dataset const& from);

/// The two modalities that a dataset directory holds, and where.
std::filesystem::path index_path(dataset_paths const& paths, modality kind);

/// The words of a new model that is to learn these datasets. A modality whose sequences fit the paper's 4 levels of 256
/// codes, or that has none, gets those words, so that a growing catalogue keeps its words; any other gets as many
/// levels, and at each as many codes, as its largest code asks for. The modalities may differ. Throws file_error when
/// items of a modality have different numbers of tokens.
vocabulary vocabulary_of(std::vector<std::filesystem::path> const& directories);

/// One of the two indices may be absent, or its modality from `words`: no item has a sequence there then. Throws
/// file_error when another file is missing or one is damaged or speaks other words than `words`.
dataset read_dataset(std::filesystem::path const& directory, vocabulary const& words);

}  // namespace mql4grec

#if !MQL4GREC_COMPILED
#include "mql4grec/pipeline/dataset.inl.hpp"
#endif
