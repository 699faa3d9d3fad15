#pragma once
// The named sets of items that a dataset directory begins with.
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "mql4grec/core/ids.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/search/item_sets.hpp"
#include "mql4grec/tasks/dataset.hpp"

namespace mql4grec::pipeline {

/// Finds the item with a raw id, if there is one.
using item_finder = std::function<std::optional<item_id>(std::string const& raw_id)>;

/// The sets of a dataset's items, for live_catalog_options::sets: "brand:…" and "category:…" of the descriptions, and
/// those of `Name.sets.json`, each of which replaces one of the same name. The categories are the parts between commas;
/// an item is in at most 32 sets of its description, and of more than 32,768 sets the smallest are left out, of equally
/// large ones the last by name. `find` finds the items that the file names by raw ids; without it they are those of
/// `Name.item2id`. Throws file_error if the file is damaged, names an item that isn't there, or leaves more sets, or
/// more of an item, than a catalog may have.
[[nodiscard]] search::named_sets read_item_sets(std::filesystem::path const& directory, tasks::dataset const& data,
                                                item_finder const& find = nullptr);

}  // namespace mql4grec::pipeline

#if !MQL4GREC_COMPILED
#include "mql4grec/pipeline/item_sets.inl.hpp"
#endif
