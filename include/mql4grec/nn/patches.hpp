#pragma once
// The patches of images, with checked shapes. Their product with a convolution's weight (out, channels·patch·patch), as
// PyTorch stores it, is the convolution whose stride is the patch size.
#include "mql4grec/backend/contract/patches.hpp"
#include "mql4grec/core/error.hpp"

namespace mql4grec::nn {

/// The operation that patches of images require of a backend.
template <class B, class T>
concept PatchOps = Backend<B> && requires(B& b, patch_grid grid, in_matrix<B, T> images, out_matrix<B, T> rows) {
  extract_patches<T>(b, grid, images, rows);
};

/// rows (images · grid.rows(), channels·patch·patch) = the patches of images (images, channels·height·width), from the
/// top left, row by row. Throws error when shapes disagree, and for a grid without patches.
template <class T, class B>
void patches(B& b, patch_grid const& grid, in_matrix<B, T> images, out_matrix<B, T> rows) {
  static_assert(PatchOps<B, T>,
                "this backend has no extract_patches for this scalar; add it in backend/<name>/patches.hpp");
  expects(grid.patch > 0 && grid.channels > 0 && grid.leading_rows >= 0 && grid.height >= grid.patch &&
              grid.width >= grid.patch,
          "patches: no patch of ", grid.patch, " × ", grid.patch, " in an image of ", grid.channels, " × ", grid.height,
          " × ", grid.width);
  expects(images.columns() == grid.pixels(), "patches: an image has ", images.columns(), " entries, expected ",
          grid.channels, " × ", grid.height, " × ", grid.width);
  expects(rows.rows() == images.rows() * grid.rows() && rows.columns() == grid.columns(), "patches: the result is ",
          rows.rows(), " × ", rows.columns(), ", expected ", images.rows() * grid.rows(), " × ", grid.columns());
  extract_patches<T>(b, grid, images, rows);
}

}  // namespace mql4grec::nn
