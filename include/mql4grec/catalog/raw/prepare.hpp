#pragma once
// From raw files to a dataset directory: ratings without duplicates, the k-core, numbers for users and items, clean
// texts, and statistics with the hashes of the files they come from.
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "mql4grec/catalog/interactions.hpp"
#include "mql4grec/catalog/items.hpp"
#include "mql4grec/catalog/raw/rating_table.hpp"
#include "mql4grec/catalog/raw/raw_items.hpp"
#include "mql4grec/catalog/raw/raw_ratings.hpp"
#include "mql4grec/core/json_fwd.hpp"

namespace mql4grec::catalog {

/// What prepare_dataset() reads, and what it keeps.
struct prepare_options {
  std::vector<std::filesystem::path> ratings = {};   ///< at least one; several are read as one, in this order
  std::vector<std::filesystem::path> metadata = {};  ///< texts of items; may be empty
  std::filesystem::path images = {};                 ///< a directory whose pictures are counted; may be empty
  raw_format format = raw_format::automatic;         ///< of the ratings
  column_names columns = {};                         ///< of CSV files
  core_sizes core = {};                              ///< what users and items must have
  read_options reading = {};                         ///< limits and progress of each file
  /// Called before each file is read, and before each further stage: "reading ratings.csv", "5-core", ….
  std::function<void(std::string const& stage)> stage = {};
};

/// The size of a dataset as Table 1 of the paper gives it, and how it came about.
struct dataset_statistics {
  index_t users = 0, items = 0, interactions = 0;         ///< that remain
  index_t raw_users = 0, raw_items = 0, raw_ratings = 0;  ///< in the files
  index_t duplicates = 0;                                 ///< ratings of a user and an item that were rated before
  core_sizes core = {};                                   ///< what users and items had to have
  /// Interactions at the same time as another one of the same user, whose order is that of the file.
  index_t tied_interactions = 0;
  /// Users whose test target depends on the order of the file: their last two interactions are at the same time.
  index_t tied_test_targets = 0;
  /// Items whose text or picture exists.
  index_t items_with_title = 0, items_with_description = 0, items_with_image = 0;
  index_t items_without_metadata = 0;            ///< items that no file of metadata contains, if there are such files
  std::string first_item_without_metadata = {};  ///< the raw id of the first of them by number
  index_t unmatched_images = 0;                  ///< pictures that belong to no item that remains
  std::string first_unmatched_image = {};        ///< the name of the first of them in alphabetical order
  index_t repeated_texts = 0;                    ///< descriptions of an item that had one before; the first is kept
  std::vector<raw_source> ratings = {}, metadata = {};  ///< the files that were read

  /// The share of the users × items matrix that is empty, 1 for an empty one.
  [[nodiscard]] double sparsity() const {
    auto const cells = static_cast<double>(users) * static_cast<double>(items);
    return cells > 0 ? 1 - static_cast<double>(interactions) / cells : 1;
  }
  /// The mean number of interactions of a user.
  [[nodiscard]] double mean_length() const {
    return users > 0 ? static_cast<double>(interactions) / static_cast<double>(users) : 0;
  }
};

/// A dataset made of raw files.
struct prepared_dataset {
  interactions data;                            ///< user_keys are the users' numbers
  std::vector<double> times;                    ///< of data.items, in the unit of the file
  std::vector<std::string> user_ids, item_ids;  ///< raw ids by number
  item_descriptions texts;                      ///< of items that the metadata contains
  dataset_statistics statistics;                ///< sizes and sources
};

/// Reads raw files. In this order: of several ratings of an item by a user the first in the file is kept; users and
/// items outside the k-core are removed; users and items are numbered by their first appearance in the ratings that
/// remain; the items of a user are sorted by time, and ties in time are broken by the order of the file. Files are read
/// in one pass; memory grows with users, items and different ratings. Throws file_error for a file that can't be read
/// or is invalid, and error when no rating remains.
[[nodiscard]] prepared_dataset prepare_dataset(prepare_options const& options);

/// Which files write_dataset() writes besides those of mql4grec.
enum class export_format {
  none,    ///< no others
  recbole  ///< the atomic files `Name.inter` and `Name.item`, with raw ids
};

/// Writes `Name.inter.json`, `Name.times.json`, `Name.item.json` if there are texts, `Name.user2id`, `Name.item2id` and
/// `Name.statistics.json` into a directory `…/Name`, which is created, and removes `Name.inter.packed`. The files are
/// complete before the first of them replaces an older one, so a full disk leaves the older dataset as it was, and no
/// directory where none was. Throws file_error, also when the directory has files of items by other numbers that are
/// not written anew: a token index, features `Name.emb-*.npy`, `Name.catalog.packed`, texts, or sets of numbers.
void write_dataset(std::filesystem::path const& directory, prepared_dataset const& data,
                   export_format extra = export_format::none);

/// The content of `Name.statistics.json`.
[[nodiscard]] json statistics_json(dataset_statistics const& statistics);

}  // namespace mql4grec::catalog

#if !MQL4GREC_COMPILED
#include "mql4grec/catalog/raw/prepare.inl.hpp"
#endif
