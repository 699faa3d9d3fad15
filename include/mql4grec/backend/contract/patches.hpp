#pragma once
// The geometry of an image that is divided into patches.
#include "mql4grec/backend/contract/concepts.hpp"

namespace mql4grec {
inline namespace contract {

/// Images of equal size and their division into square patches that don't overlap. Pixels to the right of or below the
/// last whole patch are not used.
struct patch_grid {
  index_t channels = 3, height = 0, width = 0;  ///< of an image
  index_t patch = 1;                            ///< the height and width of a patch
  index_t leading_rows = 0;  ///< rows of zeros before the patches of each image, such as for a class token

  /// The number of patches in a row of patches.
  MQL4GREC_HD constexpr index_t across() const { return width / patch; }
  /// The number of rows of patches.
  MQL4GREC_HD constexpr index_t down() const { return height / patch; }
  /// The number of an image's rows in the result.
  MQL4GREC_HD constexpr index_t rows() const { return leading_rows + down() * across(); }
  /// The number of entries of an image.
  MQL4GREC_HD constexpr index_t pixels() const { return channels * height * width; }
  /// The number of entries of a patch.
  MQL4GREC_HD constexpr index_t columns() const { return channels * patch * patch; }
};

}  // namespace contract
}  // namespace mql4grec
