#pragma once
// The images of items: which file belongs to an item, and many of them as rows of a matrix. One image that can't be
// read is reported, and the others go on.
#include <array>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "mql4grec/core/view.hpp"
#include "mql4grec/embed/image/decode.hpp"
#include "mql4grec/embed/image/preprocess.hpp"

namespace mql4grec::embed {

/// What the files of a directory of images are named after.
enum class image_names {
  number_or_raw_id,  ///< the item's number, otherwise its raw id. Raw ids that are numbers themselves are ambiguous.
  number,            ///< the item's number
  raw_id,            ///< the item's raw id
};

/// An item whose image is wanted.
struct image_key {
  index_t number = 0;       ///< in the catalog
  std::string_view raw_id;  ///< in the files of the shop; empty: unknown
};

/// The file of an item, `<name>.jpg`, `.jpeg`, `.png` or `.webp`, the first of these that exists. Raw ids with a `/` or
/// a NUL, and those that begin with a dot, name no file.
[[nodiscard]] inline std::optional<std::filesystem::path> find_image(
    std::filesystem::path const& directory, image_key item, image_names names = image_names::number_or_raw_id) {
  auto const find = [&](std::string_view name) -> std::optional<std::filesystem::path> {
    bool const harmless =
        !name.empty() && name.front() != '.' && name.find('/') == name.npos && name.find('\0') == name.npos;
    if (!harmless) return std::nullopt;
    for (std::string_view const extension : {".jpg", ".jpeg", ".png", ".webp"}) {
      auto path = directory / std::string(name).append(extension);
      std::error_code ignored;
      if (std::filesystem::is_regular_file(path, ignored)) return path;
    }
    return std::nullopt;
  };
  std::optional<std::filesystem::path> found;
  if (names != image_names::raw_id) found = find(std::to_string(item.number));
  if (!found && names != image_names::number) found = find(item.raw_id);
  return found;
}

/// What became of the image of a row.
enum class image_status {
  read,     ///< the row has its pixels
  missing,  ///< the item has no image: the row is zero
  bad,      ///< the image can't be read: the row is zero
};

/// An image that can't be read.
struct bad_image {
  index_t row = 0;      ///< its row
  std::string message;  ///< one line, which begins with its path
};

/// What read_images read.
struct image_report {
  std::vector<image_status> rows;  ///< one per row. Features of rows that aren't read have to be zero too.
  std::vector<bad_image> bad;      ///< in the order of the rows
};

/// How images are read.
struct image_reading {
  image_preprocessing preprocessing = {};  ///< from pixels to rows
  image_limits limits = {};                ///< of each file
  bool strict = false;                     ///< throw the error of the first bad image instead of reporting it
};

/// Reads image i to row i of `out`, (paths.size(), 3 · height · width). An empty path means that the item has no image.
/// Several threads may call this for different rows. Throws error for another shape of `out`; if `strict`, file_error
/// for the first bad image.
inline image_report read_images(std::span<std::filesystem::path const> paths, image_reading const& how,
                                host_matrix_view<float> out) {
  expects(out.rows() == std::ssize(paths) && out.columns() == how.preprocessing.values(), "images: ", paths.size(),
          " of ", how.preprocessing.values(), " values into a place for ", out.rows(), " of ", out.columns());
  image_report report;
  for (index_t i = 0; i < out.rows(); ++i) {
    auto const& path = paths[to_size(i)];
    auto const row = out.row(i);
    auto status = image_status::missing;
    if (!path.empty()) {
      try {
        preprocess_image(read_image(path, how.limits), how.preprocessing, row);
        status = image_status::read;
      } catch (error const& e) {
        std::string message = e.what();
        if (dynamic_cast<file_error const*>(&e) == nullptr) message = path.string() + ": " + message;
        if (how.strict) raise<file_error>(message);
        report.bad.push_back({i, std::move(message)});
        status = image_status::bad;
      }
    }
    if (status != image_status::read) std::fill_n(row.data, row.size(), 0.f);
    report.rows.push_back(status);
  }
  return report;
}

}  // namespace mql4grec::embed
