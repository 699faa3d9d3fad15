#pragma once
// The texts and pictures of items, read from the files that public data sets are published in. Needs zlib, simdjson and
// gumbo.
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "mql4grec/catalog/items.hpp"
#include "mql4grec/catalog/raw/raw_ratings.hpp"

namespace mql4grec::catalog {

/// How texts of items are read.
struct raw_items_options {
  /// The name of the column of raw ids in a CSV file; empty means the usual ones.
  std::string item_column = {};
  /// Whether an item is needed: the texts of others are neither cleaned nor visited. Everything is needed by default.
  std::function<bool(std::string_view id)> is_needed = {};
  /// Limits and progress.
  read_options reading = {};
};

/// Calls `visit` for each needed item of a file, in the order of the file. The file is recognized by its first line:
/// - JSON lines or Python literals, with the keys of Amazon's metadata of any year: `asin` or `parent_asin`, `title`,
///   `description` (of 2023: `features` where that is empty), `brand` (of 2023: `details.Brand`, or `store`),
///   `category` or `categories`;
/// - MovieLens' `movies.csv` and `movies.dat`, whose genres are the categories;
/// - RecBole's `.item`;
/// - CSV with a header.
///
/// Texts are cleaned by clean_text(); categories are joined by commas, and end at the first that contains mark-up, as
/// the released code of the paper does. A title that contains `getTime` is a script of the shop's page, and is dropped.
/// Throws file_error with the line for a record that isn't an object or lacks an id.
raw_source read_raw_items(std::filesystem::path const& path, raw_items_options const& options,
                          std::function<void(std::string_view id, item_description&& text)> const& visit);

}  // namespace mql4grec::catalog

#if !MQL4GREC_COMPILED
#include "mql4grec/catalog/raw/raw_items.inl.hpp"
#endif
