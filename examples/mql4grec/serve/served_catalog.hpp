#pragma once
// What a service knows of its items besides the model: numbers and raw ids, titles, words, pictures.
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "mql4grec/catalog/item_images.hpp"
#include "mql4grec/core/json_fwd.hpp"
#include "mql4grec/language/vocabulary.hpp"
#include "mql4grec/tasks/dataset.hpp"

namespace mql4grec::program {

/// The files of a catalog.
struct served_catalog_paths {
  std::filesystem::path dataset;      ///< a dataset directory
  std::filesystem::path images = {};  ///< of items; empty: none are shown
};

/// A dataset as clients see it. Immutable.
class served_catalog {
 public:
  /// Throws file_error for files that are missing or damaged.
  served_catalog(served_catalog_paths const& paths, language::vocabulary const& vocab);

  tasks::dataset const& data() const { return data_; }
  /// The number of a client's item: a raw id as a text, or a number. Throws bad_request, with `place` in its message,
  /// if there is no such item.
  item_id item_of(json const& value, std::string const& place) const;
  /// The item of a path such as "/items/12" or "/items/B0002"; none if there is no such item.
  std::optional<item_id> item_of_path(std::string_view text) const;
  /// The raw id of an item, or its number if the dataset has no raw ids.
  json id_of(item_id item) const;
  /// Empty if the item has none.
  std::string title_of(item_id item) const;
  /// The words of an item by modality: {"text": ["<a_1>", …], "image": […]}; null for a modality that it lacks.
  json words_of(item_id item) const;
  /// The file of an item's picture; empty if it has none.
  std::filesystem::path picture_of(item_id item) const;
  /// Items whose titles contain all words of a text, in any case; those whose title begins with it come first.
  std::vector<item_id> search(std::string_view text, std::size_t most) const;
  /// Items with a sequence in some modality.
  index_t recommendable() const { return recommendable_; }

 private:
  tasks::dataset data_;
  language::vocabulary vocab_;
  std::vector<std::string> raw_ids_;                     // by number, or empty
  std::unordered_map<std::string, item_id> number_of_;   // by raw id
  std::vector<std::filesystem::path> pictures_;          // by number, or empty
  std::vector<std::pair<std::string, item_id>> titles_;  // in lower case
  index_t recommendable_ = 0;
};

}  // namespace mql4grec::program
