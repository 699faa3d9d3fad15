#pragma once
// Features in .npy files: one file per catalog, or several files joined when one quantizer is trained on several
// catalogs.
#include <algorithm>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "mql4grec/core/npy.hpp"
#include "mql4grec/embed/features.hpp"

namespace mql4grec::embed {

/// The features in a .npy file, one row per item. Values are read as they are, including NaN and infinity; see
/// check_finite().
class npy_features {
 public:
  /// Opens the file. Throws file_error under the same conditions as npy_file.
  explicit npy_features(std::filesystem::path path) : file_(std::move(path)) {}

  /// The path of the file.
  std::filesystem::path const& path() const { return file_.path(); }
  /// The type of the entries in the file; read() and gather() convert to float.
  dtype type() const { return file_.type(); }
  /// The number of items.
  index_t rows() const { return file_.rows(); }
  /// The number of columns.
  index_t width() const { return file_.columns(); }
  /// Copies rows first … first + out.rows() − 1 to `out`. Throws file_error.
  void read(index_t first, host_matrix_view<float> out) const { file_.read(first, out); }
  /// Copies the given rows to `out`, in the given order. Throws file_error.
  void gather(std::span<index_t const> indices, host_matrix_view<float> out) const { file_.gather(indices, out); }

 private:
  npy_file file_;
};
static_assert(FeatureSource<npy_features>);

/// The rows of several sources of one width, concatenated: row 0 of a part follows the last row of the part before it.
/// A part may be empty.
template <FeatureSource F>
class joined_features {
 public:
  /// Throws error when there are no parts or their widths differ; the message contains the names of both parts.
  explicit joined_features(std::vector<F> parts) : parts_(std::move(parts)) {
    expects(!parts_.empty(), "features: no parts to join");
    for (index_t p = 0; p < this->parts(); ++p) {
      expects(part(p).width() == width(), name_of(p), ": features of width ", part(p).width(), ", but ", name_of(0),
              " has width ", width());
      first_rows_.push_back(first_rows_.back() + part(p).rows());
    }
  }

  /// The number of rows of all parts.
  index_t rows() const { return first_rows_.back(); }
  /// The number of columns, equal in all parts.
  index_t width() const { return parts_.front().width(); }
  /// The number of sources.
  index_t parts() const { return std::ssize(parts_); }
  /// Source number p. Throws error when p is out of range.
  F const& part(index_t p) const { return parts_[checked(p)]; }
  /// The first row of a part. For an empty part, it equals the first row of the next part.
  index_t first_row(index_t p) const { return first_rows_[checked(p)]; }
  /// The part that contains a row. Throws error when the row is out of range.
  index_t part_of(index_t row) const {
    expects(row >= 0 && row < rows(), "features: row ", row, " of ", rows());
    return std::ranges::upper_bound(first_rows_, row) - first_rows_.begin() - 1;
  }
  /// The location of a row for error messages, such as "row 6 of games.npy".
  std::string place_of(index_t row) const {
    index_t const p = part_of(row);
    return "row " + std::to_string(row - first_row(p)) + " of " + name_of(p);
  }

  /// Copies rows first … first + out.rows() − 1 to `out`. Throws error for rows out of range.
  void read(index_t first, host_matrix_view<float> out) const {
    expects(first >= 0 && out.rows() <= rows() && first <= rows() - out.rows(), "features: ", out.rows(),
            " rows from row ", first, " of ", rows());
    for (index_t done = 0, count = 0; done < out.rows(); done += count) {
      index_t const p = part_of(first + done), begin = first + done - first_row(p);
      count = std::min(out.rows() - done, part(p).rows() - begin);
      part(p).read(begin, out.row_block(done, count));
    }
  }
  /// Copies the given rows to `out`, in the given order. Throws error for rows out of range.
  void gather(std::span<index_t const> indices, host_matrix_view<float> out) const {
    expects(std::ssize(indices) == out.rows(), "features: ", indices.size(), " rows into a place for ", out.rows());
    auto const bad = std::ranges::find_if(indices, [&](index_t row) { return row < 0 || row >= rows(); });
    if (bad != indices.end()) raise("features: row ", *bad, " of ", rows());
    // Consecutive rows of one part are gathered by one call, so that the part can read them at once.
    std::vector<index_t> source_rows;
    for (index_t i = 0; i < out.rows(); i += std::ssize(source_rows)) {
      auto const rest = indices.subspan(to_size(i));
      index_t const p = part_of(rest.front()), begin = first_row(p), end = begin + part(p).rows();
      source_rows.clear();
      for (index_t const row : rest) {
        if (row < begin || row >= end) break;
        source_rows.push_back(row - begin);
      }
      part(p).gather(source_rows, out.row_block(i, std::ssize(source_rows)));
    }
  }

 private:
  std::size_t checked(index_t p) const {
    expects(p >= 0 && p < parts(), "features: part ", p, " of ", parts());
    return to_size(p);
  }
  std::string name_of(index_t p) const {
    if constexpr (requires(F const& source) { source.path().string(); })
      return part(p).path().string();
    else
      return "part " + std::to_string(p);
  }

  std::vector<F> parts_;
  std::vector<index_t> first_rows_{0};  // (parts + 1); the last entry is the number of rows
};
static_assert(FeatureSource<joined_features<npy_features>>);

}  // namespace mql4grec::embed
