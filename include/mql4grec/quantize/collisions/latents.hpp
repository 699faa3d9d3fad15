#pragma once
// Sources of the latents that resolving collisions requires.
#include <concepts>
#include <cstring>
#include <span>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/view.hpp"

namespace mql4grec::quantize {

/// The latents (rows, width) of items. Only the latents of items that collide or are new are requested, so those of a
/// large catalog don't have to be kept in memory; see encoded_latents.
template <class L>
concept LatentSource = requires(L const& latents, std::span<index_t const> items, host_matrix_view<float> out) {
  { latents.rows() } -> std::convertible_to<index_t>;
  { latents.width() } -> std::convertible_to<index_t>;
  latents.gather(items, out);  // (items, width), in the given order
};

/// Latents in memory, one row per item. The caller owns the memory, which must outlive this object.
class matrix_latents {
 public:
  /// `all` has the shape (items, width).
  explicit matrix_latents(host_matrix_view<float const> all) : all_(all) {}

  /// The number of items.
  index_t rows() const { return all_.rows(); }
  /// The width of the latents.
  index_t width() const { return all_.columns(); }
  /// Copies the latents of the given items to `out`. Throws error for items out of range.
  void gather(std::span<index_t const> items, host_matrix_view<float> out) const {
    expects(std::ssize(items) == out.rows() && out.columns() == width(), "latents: ", items.size(), " rows of width ",
            width(), " into a place for ", out.rows(), " of width ", out.columns());
    for (index_t i = 0; i < out.rows(); ++i) {
      auto const item = items[to_size(i)];
      expects(item >= 0 && item < rows(), "latents: item ", item, " of ", rows());
      std::memcpy(out.row(i).data, all_.row(item).data, to_size(width()) * sizeof(float));
    }
  }

 private:
  host_matrix_view<float const> all_;
};
static_assert(LatentSource<matrix_latents>);

}  // namespace mql4grec::quantize
