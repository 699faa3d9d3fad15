#pragma once
// The pictures of items in a directory.
#include <filesystem>
#include <string>
#include <vector>

#include "mql4grec/core/macros.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::catalog {

/// Which item each picture of a directory belongs to.
struct image_files {
  std::vector<std::filesystem::path> of_item;  ///< (items): the path of an item's picture; empty if it has none
  index_t found = 0;                           ///< items with a picture
  index_t unmatched = 0;                       ///< pictures that belong to no item
  std::string first_unmatched = {};            ///< the name of one of them, the first in alphabetical order
};

/// The items whose pictures are looked for.
struct item_names {
  index_t items = 0;                        ///< their number
  std::vector<std::string> const& raw_ids;  ///< by number; may be shorter than the catalog, or empty
};

/// Matches the pictures in a directory to items. A picture's name is the raw id or the number of its item, with an
/// extension. A name that is a raw id is never taken as a number. Extensions are jpg, jpeg, png and webp in any case;
/// the first of these wins where an item has several. Pictures aren't opened. Throws file_error when the directory
/// can't be read.
[[nodiscard]] image_files match_images(std::filesystem::path const& directory, item_names const& names);

namespace detail {
/// The paths in a directory, in alphabetical order. Throws file_error when it can't be read.
std::vector<std::filesystem::path> sorted_entries(std::filesystem::path const& directory);
}  // namespace detail

}  // namespace mql4grec::catalog

#if !MQL4GREC_COMPILED
#include "mql4grec/catalog/item_images.inl.hpp"
#endif
