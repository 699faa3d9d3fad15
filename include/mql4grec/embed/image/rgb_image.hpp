#pragma once
// An image in memory: 8-bit RGB, rows from top to bottom, no gaps.
#include <cstdint>
#include <vector>

#include "mql4grec/core/scalar.hpp"

namespace mql4grec::embed {

/// The size of an image in pixels.
struct image_size {
  index_t width = 0;   ///< pixels per row
  index_t height = 0;  ///< rows

  bool operator==(image_size const&) const = default;
};

/// An image: red, green, blue of each pixel, row by row, (height, width, 3).
struct rgb_image {
  image_size size;                   ///< width and height in pixels
  std::vector<std::uint8_t> pixels;  ///< 3 · width · height values

  /// The first value of row y.
  std::uint8_t const* row(index_t y) const { return pixels.data() + y * 3 * size.width; }
  /// The same, mutable.
  std::uint8_t* row(index_t y) { return pixels.data() + y * 3 * size.width; }

  bool operator==(rgb_image const&) const = default;
};

/// A part of an image. It may extend beyond the image's edges.
struct image_window {
  index_t left = 0;  ///< the column of its first pixel
  index_t top = 0;   ///< the row of its first pixel
  image_size size;   ///< width and height in pixels

  bool operator==(image_window const&) const = default;
};

}  // namespace mql4grec::embed
