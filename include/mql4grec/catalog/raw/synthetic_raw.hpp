#pragma once
// The built-in catalog as the raw files that a shop has, so that every stage can be run from its beginning without a
// download. Needs zlib and libpng.
#include <filesystem>

#include "mql4grec/catalog/synthetic.hpp"
#include "mql4grec/core/macros.hpp"

namespace mql4grec::catalog {

/// Which dataset is written, and how.
struct synthetic_raw_options {
  synthetic_options catalog = {};  ///< of make_synthetic_dataset()
  index_t dataset_number = 0;      ///< of make_synthetic_dataset()
  index_t picture_size = 48;       ///< width and height of the pictures in pixels, 8 to 4096
};

/// The raw files of a dataset, as prepare_options names them.
struct raw_files {
  std::filesystem::path ratings;   ///< a CSV file
  std::filesystem::path metadata;  ///< compressed JSON lines
  std::filesystem::path images;    ///< a directory
};

/// Writes a synthetic dataset into a directory, which is created, in the formats of Amazon 2018:
/// - `Name.csv`, ratings without a header, grouped by item and thus not in chronological order, some of them repeated;
/// - `meta_Name.json.gz`, the descriptions of the items that have a text, with mark-up and entities;
/// - `pictures/`, a PNG file for each item that has an image. The material of an item is its color, the finish its
///   pattern and background, the kind its shape.
///
/// prepare_dataset() makes of them the interactions and descriptions of make_synthetic_dataset(), apart from the
/// numbers of users and from items that nobody interacted with. Equal options give equal files. Throws error as
/// make_synthetic_dataset() does, for a picture size out of range, and when the library was built without libpng;
/// file_error when a file can't be written.
raw_files write_synthetic_raw(std::filesystem::path const& directory, synthetic_raw_options const& options = {});

}  // namespace mql4grec::catalog

#if !MQL4GREC_COMPILED
#include "mql4grec/catalog/raw/synthetic_raw.inl.hpp"
#endif
