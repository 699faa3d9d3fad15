#pragma once
// Readers and writers for the files of a dataset directory that describe users and items. All input is validated: every
// error message contains the file, the user or item, and what was expected.
#include <filesystem>
#include <span>
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

/// Reads `D.times.json`, `{"user": [time, time, …]}`: the times of the interactions in `D.inter.json`, in any unit. The
/// users may have another order than there. Returns one time for each of data.items. Throws file_error when the file
/// can't be read or has another form, when its users or their numbers of items aren't those of `data`, and when the
/// times of a user don't rise.
[[nodiscard]] std::vector<double> read_times(std::filesystem::path const& path, interactions const& data);

/// A time as the shortest decimal number that reads as the same value, without an exponent.
[[nodiscard]] std::string time_text(double time);

/// Writes the format that read_times() reads, one user per line; `times` has one entry for each of data.items. Throws
/// error for a time that isn't finite, and file_error.
void write_times(std::filesystem::path const& path, interactions const& data, std::span<double const> times);

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
