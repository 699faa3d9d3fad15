#pragma once
// The files of a dataset directory that describe users and items. Nothing that comes from a file is believed: every
// complaint names the file, the user or item, and what was expected in its place.
#include <filesystem>

#include "mql4grec/catalog/interactions.hpp"
#include "mql4grec/catalog/items.hpp"
#include "mql4grec/core/macros.hpp"

namespace mql4grec {

/// Reads `D.inter.json`, `{"user": [item, item, …]}` with items oldest first. Users are numbered in the order of the
/// file whatever they are called; item_count is one more than the largest item. Throws file_error.
interactions read_interactions(std::filesystem::path const& path);

/// Writes what read_interactions reads, one user a line.
void write_interactions(std::filesystem::path const& path, interactions const& data);

/// Reads `D.item.json`, `{"item": {"title", "description", "brand", "categories"}}`, in any order. Every field may be
/// missing, null, a text or a list of texts, which become one; other fields are passed over. Throws file_error.
item_descriptions read_items(std::filesystem::path const& path);

/// Writes what read_items reads, all four fields of each item as texts.
void write_items(std::filesystem::path const& path, item_descriptions const& items);

/// Reads `D.item2id` or `D.user2id`: lines `key<TAB>id` whose ids are 0 … n − 1, each once, in any order.
outside_ids read_ids(std::filesystem::path const& path);

void write_ids(std::filesystem::path const& path, outside_ids const& keys);

}  // namespace mql4grec

#if !MQL4GREC_COMPILED
#include "mql4grec/catalog/read.inl.hpp"
#endif
