#pragma once
// Features of items, one row per item, in memory (matrix_features) or in files (npy_features). Consumers read them in
// blocks of rows, so a catalog larger than the memory can be quantized.
#include <concepts>
#include <cstring>
#include <span>
#include <vector>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/ids.hpp"
#include "mql4grec/core/view.hpp"

namespace mql4grec::embed {

/// A matrix of floats (rows, width) with one row per item. Const member functions may be called from several threads at
/// once.
template <class F>
concept FeatureSource = requires(F const& features, std::span<index_t const> rows, index_t first,
                                 host_matrix_view<float> out) {
  { features.rows() } -> std::convertible_to<index_t>;
  { features.width() } -> std::convertible_to<index_t>;
  features.read(first, out);   // rows first … first + out.rows() − 1
  features.gather(rows, out);  // any rows, in the given order
};

/// Features in memory. The caller owns the memory, which must outlive this object.
class matrix_features {
 public:
  /// `all` has the shape (rows, width).
  explicit matrix_features(host_matrix_view<float const> all) : all_(all) {}

  /// The number of items.
  index_t rows() const { return all_.rows(); }
  /// The number of columns.
  index_t width() const { return all_.columns(); }
  /// Copies rows first … first + out.rows() − 1 to `out`. Throws error for rows out of range.
  void read(index_t first, host_matrix_view<float> out) const {
    expects(first >= 0 && first + out.rows() <= rows(), "features: rows ", first, " to ", first + out.rows(), " of ",
            rows());
    for (index_t i = 0; i < out.rows(); ++i) copy_row(first + i, out.row(i));
  }
  /// Copies the given rows to `out`, in the given order. Throws error for rows out of range.
  void gather(std::span<index_t const> indices, host_matrix_view<float> out) const {
    expects(std::ssize(indices) == out.rows(), "features: ", indices.size(), " rows into a place for ", out.rows());
    for (index_t i = 0; i < out.rows(); ++i) {
      auto const row = indices[to_size(i)];
      expects(row >= 0 && row < rows(), "features: row ", row, " of ", rows());
      copy_row(row, out.row(i));
    }
  }

 private:
  void copy_row(index_t row, host_vector_view<float> out) const {
    expects(out.size() == width(), "features: rows of ", width(), " entries into rows of ", out.size());
    std::memcpy(out.data, all_.row(row).data, to_size(out.size()) * sizeof(float));
  }

  host_matrix_view<float const> all_;
};
static_assert(FeatureSource<matrix_features>);

/// The map x ↦ (x − mean) · scale. fold_scaling() merges it into a model that was trained on scaled features.
struct feature_scaling {
  std::vector<float> mean;  ///< (width)
  float scale = 1;          ///< one factor for all columns

  bool operator==(feature_scaling const&) const = default;
};

}  // namespace mql4grec::embed
