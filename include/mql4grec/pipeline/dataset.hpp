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

namespace detail {
/// The sequences in an index, or of no item at all where there is none.
inline token_table read_index(std::filesystem::path const& path, vocabulary const& words, modality kind, index_t items) {
  if (!std::filesystem::exists(path)) return token_table(kind, items, words.levels(kind));
  return read_token_table(path, words, kind, items);
}
}  // namespace detail

/// One of the two indices may be absent: no item has a sequence there then. Throws file_error when another file is missing or one is
/// damaged or speaks other words than `words`.
inline dataset read_dataset(std::filesystem::path const& directory, vocabulary const& words) {
  dataset_paths const paths(directory);
  dataset read{.name = paths.name(), .data = {.histories = read_interactions(paths.interactions()), .tables = {}}};
  index_t const items = read.data.histories.item_count;
  expects_file(std::filesystem::exists(paths.text_index()) || std::filesystem::exists(paths.image_index()), paths.text_index(),
               "is missing, and so is ", paths.image_index().filename().string(), ", expected at least one of them");
  read.data.tables.push_back(detail::read_index(paths.text_index(), words, modality::text, items));
  read.data.tables.push_back(detail::read_index(paths.image_index(), words, modality::image, items));
  if (std::filesystem::exists(paths.items())) read.items = read_items(paths.items());
  return read;
}

}  // namespace mql4grec
