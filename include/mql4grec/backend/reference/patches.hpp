#pragma once
// The patches of images as rows of a matrix, so that a convolution whose stride is the patch size is one product.
#include "mql4grec/backend/contract/patches.hpp"
#include "mql4grec/backend/reference/backend.hpp"

namespace mql4grec::reference {

/// patches (images · grid.rows(), channels·patch·patch) = the patches of images (images, channels·height·width), row by
/// row from the top left, each in the order channel, row, column. The leading rows of an image are zeros.
template <class T>
void extract_patches(backend&, patch_grid grid, in_matrix<backend, T> images, out_matrix<backend, T> patches) {
  index_t const p = grid.patch;
  for (index_t i = 0; i < patches.rows(); ++i)
    for (index_t j = 0; j < patches.columns(); ++j) {
      index_t const image = i / grid.rows(), number = i % grid.rows() - grid.leading_rows;
      index_t const channel = j / (p * p), row = number / grid.across() * p + j / p % p,
                    column = number % grid.across() * p + j % p;
      patches(i, j) = number < 0 ? T{} : images(image, (channel * grid.height + row) * grid.width + column);
    }
}

}  // namespace mql4grec::reference
