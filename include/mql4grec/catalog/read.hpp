#pragma once
// Readers and writers for the files of a dataset directory that describe users and items. All input is validated: every
// error message contains the file, the user or item, and what was expected.
#include <filesystem>
#include <string>
#include <vector>

#include "mql4grec/catalog/interactions.hpp"
#include "mql4grec/catalog/items.hpp"
#include "mql4grec/core/macros.hpp"

namespace mql4grec::catalog {

/// Reads `D.inter.json`, `{"user": [item, item, …]}` with each user's items oldest first. Users are numbered in the
/// order of the file, whatever their keys are; item_count is one more than the largest item. Throws file_error when the
/// file can't be read, has another form, or contains no users or no items.
[[nodiscard]] interactions read_interactions(std::filesystem::path const& path);

/// Writes the format that read_interactions() reads, one user per line. Throws file_error.
void write_interactions(std::filesystem::path const& path, interactions const& data);

/// Reads `D.item.json`, `{"item": {"title", "description", "brand", "categories"}}`, in any order. Each field may be
/// missing, null, a string, or a list of strings, which are joined into one. Other fields are ignored. Throws
/// file_error when the file can't be read, has another form, or contains an item twice.
[[nodiscard]] item_descriptions read_items(std::filesystem::path const& path);

/// Writes the format that read_items() reads, with all four fields of each item as strings. Throws file_error.
void write_items(std::filesystem::path const& path, item_descriptions const& items);

/// Reads `D.item2id` or `D.user2id`, the raw ids by number: lines `raw id<TAB>number` in any order, whose numbers are
/// 0 … n − 1, each exactly once. Throws file_error otherwise.
[[nodiscard]] std::vector<std::string> read_ids(std::filesystem::path const& path);

/// Writes the format that read_ids() reads, in the order of the numbers. Throws file_error.
void write_ids(std::filesystem::path const& path, std::vector<std::string> const& raw_ids);

}  // namespace mql4grec::catalog

#if !MQL4GREC_COMPILED
#include "mql4grec/catalog/read.inl.hpp"
#endif
