#pragma once
#include "mql4grec/catalog/dataset_paths.hpp"
#include "mql4grec/catalog/read.hpp"
#include "mql4grec/language/read.hpp"
#include "mql4grec/tasks/task.hpp"

namespace mql4grec {

/// A dataset directory, read: who took what, and every item's sequence in each modality.
struct dataset {
  std::string name;
  domain data;
  item_descriptions items = {};  ///< from D.item.json where there is one, else empty
};

/// Throws file_error when a file is missing, damaged, or speaks other words than `words`.
inline dataset read_dataset(std::filesystem::path const& directory, vocabulary const& words) {
  dataset_paths const paths(directory);
  dataset read{.name = paths.name(), .data = {.histories = read_interactions(paths.interactions()), .tables = {}}};
  index_t const items = read.data.histories.item_count;
  read.data.tables.push_back(read_token_table(paths.text_index(), words, modality::text, items));
  read.data.tables.push_back(read_token_table(paths.image_index(), words, modality::image, items));
  if (std::filesystem::exists(paths.items())) read.items = read_items(paths.items());
  return read;
}

}  // namespace mql4grec
