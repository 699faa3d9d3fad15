#pragma once
// What a service knows of its items besides the model: numbers and raw ids, titles, tokens, pictures.
#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "added_items.hpp"
#include "mql4grec/catalog/item_images.hpp"
#include "mql4grec/core/json_fwd.hpp"
#include "mql4grec/language/vocabulary.hpp"
#include "mql4grec/search/live_catalog.hpp"
#include "mql4grec/tasks/dataset.hpp"

namespace mql4grec::program {

/// The files of a catalog.
struct served_catalog_paths {
  std::filesystem::path dataset;      ///< a dataset directory
  std::filesystem::path images = {};  ///< of items; empty: none are shown
};

/// What a service loads; again at a reload.
struct served_paths {
  std::filesystem::path model;  ///< a model directory
  served_catalog_paths catalog;
};

/// Where a client names an item.
struct item_place {
  char const* name;   ///< of the member
  index_t at = -1;    ///< in the member's list; −1: it is no list
  index_t items = 0;  ///< served_catalog::items()
};

/// A search for all words of a text, in any case of the letters A to Z.
class title_query {
 public:
  explicit title_query(std::string_view text);
  /// Whether there is a word to look for.
  bool has_words() const { return !words_.empty(); }
  /// Whether a title has all words; without a word, any title has.
  bool matches(std::string_view title) const;
  /// The same for a title in lower case.
  bool matches_folded(std::string_view title) const;

 private:
  std::vector<std::string> words_;
};

/// A dataset as clients see it, with the items that are inserted and removed while it is served.
class served_catalog {
 public:
  /// Reads the dataset, unless `before`, the catalog that this one replaces, was read from the same files, for the same
  /// vocabulary, and they haven't changed since. `added` are the items that were inserted before. Throws file_error for
  /// files that are missing or damaged, and if an inserted item has the number of another one of the dataset.
  served_catalog(served_catalog_paths const& paths, language::vocabulary const& vocab,
                 std::shared_ptr<added_items> added, served_catalog const* before = nullptr);

  tasks::dataset const& data() const { return files_->data; }
  /// The file that the tokens are mapped from; nullptr: they are in memory.
  std::shared_ptr<search::packed_catalog const> const& packed() const { return files_->packed; }
  /// The sets of items that the dataset begins with: "brand:…" and "category:…" of its descriptions, and those of its
  /// file of sets.
  search::named_sets const& sets() const { return sets_; }
  language::vocabulary const& vocab() const { return files_->vocab; }
  /// Whether both have what was read from the files once.
  bool shares_files_with(served_catalog const& other) const { return files_ == other.files_; }
  std::shared_ptr<added_items> const& added() const { return added_; }
  /// The catalog whose changes are shown, of a model for this dataset.
  void show(std::shared_ptr<search::live_catalog> live) { live_ = std::move(live); }
  search::live_catalog& live() const { return *live_; }
  /// Whether no change can be made any more, until the service is started again. May wait for a disk.
  bool has_failed() const { return live_->has_failed() || added_->has_failed(); }

  /// The number of a client's item: a raw id as a text, or a number. Throws bad_request, with the place in its message,
  /// if there is no such item.
  item_id item_of(json const& value, item_place const& where) const;
  /// The item of a path such as "/items/12" or "/items/B0002"; none if there is no such item.
  std::optional<item_id> item_of_path(std::string_view text) const;
  /// The item with a raw id, or none.
  std::optional<item_id> find(std::string const& raw_id) const;
  /// Whether the dataset names its items.
  bool has_raw_ids() const { return !files_->raw_ids.empty(); }
  /// The raw id of an item, or its number if it has none.
  json id_of(item_id item) const;
  /// Empty if the item has none.
  std::string title_of(item_id item) const;
  /// The tokens of an item by modality: {"text": ["<a_1>", …], "image": […]}; null for a modality that it lacks.
  json words_of(item_id item) const;
  /// The names of an item's sets. May wait for a disk.
  std::vector<std::string> sets_of(item_id item) const { return live_->sets_of(item); }
  /// Whether the item was in the dataset, or was inserted, and has been removed since.
  bool is_removed(item_id item) const;
  /// The file of an item's picture; empty if it has none.
  std::filesystem::path picture_of(item_id item) const;
  /// Items whose titles contain all words of a text, in any case; those whose title begins with it come first.
  std::vector<item_id> search(std::string_view text, std::size_t most) const;
  /// One more than the largest number of an item.
  index_t items() const { return std::max(files_->data.interactions.item_count, live_->version().items()); }

 private:
  /// What the files contain.
  struct contents {
    std::shared_ptr<search::packed_catalog const> packed;
    tasks::dataset data;
    language::vocabulary vocab;
    std::string state;                                         ///< of the files, before they were read; see state_of
    std::vector<std::string> raw_ids = {};                     ///< by number, or empty
    std::unordered_map<std::string, item_id> number_of = {};   ///< by raw id
    std::vector<std::filesystem::path> pictures = {};          ///< by number, or empty
    std::vector<std::pair<std::string, item_id>> titles = {};  ///< in lower case
  };
  static std::string state_of(served_catalog_paths const& paths);
  static std::shared_ptr<contents const> read(served_catalog_paths const& paths, language::vocabulary const& vocab,
                                              std::string state);
  void check_numbers(std::filesystem::path const& dataset) const;

  std::shared_ptr<contents const> files_;
  search::named_sets sets_;
  std::shared_ptr<added_items> added_;
  std::shared_ptr<search::live_catalog> live_;
};

}  // namespace mql4grec::program
