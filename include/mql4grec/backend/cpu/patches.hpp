#pragma once
// The patches of images for float: a row of a patch is contiguous in both tensors.
#include <algorithm>

#include "mql4grec/backend/cpu/operations.hpp"

namespace mql4grec::cpu {

template <std::same_as<float> T>
void extract_patches(backend&, patch_grid grid, in_matrix<backend, T> images, out_matrix<backend, T> patches) {
  index_t const p = grid.patch;
  for (index_t n = 0, first = 0; n < images.rows(); ++n, first += grid.rows()) {
    for (index_t i = 0; i < grid.leading_rows; ++i) mql4grec::fill(patches.row(first + i), T{});
    for (index_t i = 0; i < grid.down() * grid.across(); ++i) {
      index_t const top = i / grid.across() * p, left = i % grid.across() * p;
      T* to = patches.row(first + grid.leading_rows + i).data;
      for (index_t channel = 0; channel < grid.channels; ++channel)
        for (index_t row = 0; row < p; ++row, to += p)
          std::copy_n(images.row(n).data + (channel * grid.height + top + row) * grid.width + left, p, to);
    }
  }
}

}  // namespace mql4grec::cpu
