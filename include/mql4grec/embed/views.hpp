#pragma once
// Views of features: a selection of rows, or all rows shifted and scaled. A view keeps a reference to its source, which
// must outlive it, and copies only the rows that are read.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "mql4grec/embed/features.hpp"

namespace mql4grec::embed {

/// The rows that aren't all zeros; a row of zeros means that the item lacks this modality. Reads all rows once.
template <FeatureSource F>
[[nodiscard]] std::vector<index_t> rows_with_features(F const& features) {
  constexpr index_t block = 1024;
  std::vector<float> memory(to_size(block * features.width()));
  std::vector<index_t> rows;
  for (index_t first = 0; first < features.rows(); first += block) {
    host_matrix_view<float> const x(memory.data(), std::min(block, features.rows() - first), features.width());
    features.read(first, x);
    for (index_t i = 0; i < x.rows(); ++i)
      if (std::ranges::any_of(as_span(x.row(i)), [](float value) { return value != 0; })) rows.push_back(first + i);
  }
  return rows;
}

/// A selection of the rows of another source in a given order: the items that have features, or those that are not held
/// out.
template <FeatureSource F>
class selected_features {
 public:
  /// Row i of the view is row selection[i] of `all`. Throws error for rows out of range.
  selected_features(F const& all, std::vector<index_t> selection) : all_(all), selection_(std::move(selection)) {
    for (auto const row : selection_)
      expects(row >= 0 && row < all_.rows(), "features: row ", row, " is selected of ", all_.rows());
  }

  /// The number of selected rows.
  index_t rows() const { return std::ssize(selection_); }
  /// The number of columns of the source.
  index_t width() const { return all_.width(); }
  /// The row of the source that is row i of the view.
  index_t row(index_t i) const { return selection_[to_size(i)]; }
  /// The selected rows of the source, in the order of the view.
  std::vector<index_t> const& selection() const { return selection_; }
  /// The location of a row in the source, for error messages.
  std::string place_of(index_t i) const {
    if constexpr (requires { all_.place_of(row(i)); })
      return all_.place_of(row(i));
    else
      return "row " + std::to_string(row(i));
  }
  /// Copies rows first … first + out.rows() − 1 of the view to `out`. Throws error for rows out of range.
  void read(index_t first, host_matrix_view<float> out) const {
    expects(first >= 0 && first + out.rows() <= rows(), "features: rows ", first, " to ", first + out.rows(), " of ",
            rows());
    all_.gather(std::span(selection_).subspan(to_size(first), to_size(out.rows())), out);
  }
  /// Copies the given rows of the view to `out`, in the given order. Throws error for rows out of range.
  void gather(std::span<index_t const> indices, host_matrix_view<float> out) const {
    std::vector<index_t> source_rows;
    for (auto const i : indices) {
      expects(i >= 0 && i < rows(), "features: row ", i, " of ", rows());
      source_rows.push_back(row(i));
    }
    all_.gather(source_rows, out);
  }

 private:
  F const& all_;
  std::vector<index_t> selection_;
};

/// All rows of another source after a feature_scaling.
template <FeatureSource F>
class scaled_features {
 public:
  /// Throws error when the mean doesn't have the source's width, and when the scale isn't finite and positive.
  scaled_features(F const& all, feature_scaling scaling) : all_(all), scaling_(std::move(scaling)) {
    expects(std::ssize(scaling_.mean) == all_.width(), "features: a mean of ", scaling_.mean.size(),
            " entries for rows of ", all_.width());
    expects(scaling_.scale > 0 && std::isfinite(scaling_.scale), "features: a scale of ", scaling_.scale,
            ", expected more than 0");
  }

  /// The number of rows of the source.
  index_t rows() const { return all_.rows(); }
  /// The number of columns of the source.
  index_t width() const { return all_.width(); }
  /// The scaling that rows are read with.
  feature_scaling const& scaling() const { return scaling_; }
  /// Writes the scaled rows first … first + out.rows() − 1 to `out`.
  void read(index_t first, host_matrix_view<float> out) const {
    all_.read(first, out);
    apply(out);
  }
  /// Writes the given rows, scaled, to `out`, in the given order.
  void gather(std::span<index_t const> indices, host_matrix_view<float> out) const {
    all_.gather(indices, out);
    apply(out);
  }

 private:
  void apply(host_matrix_view<float> out) const {
    for (index_t i = 0; i < out.rows(); ++i)
      for (index_t j = 0; j < out.columns(); ++j) out(i, j) = (out(i, j) - scaling_.mean[to_size(j)]) * scaling_.scale;
  }

  F const& all_;
  feature_scaling scaling_;
};

}  // namespace mql4grec::embed
