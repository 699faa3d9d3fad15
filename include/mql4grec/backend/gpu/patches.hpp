#pragma once
// The patches of images as rows of a matrix; see backend/reference/patches.hpp.
#include "mql4grec/backend/contract/patches.hpp"
#include "mql4grec/backend/gpu/runtime/backend.hpp"

namespace mql4grec::gpu {

namespace detail {

template <class T, class In, class Out>
struct patch_entry {
  patch_grid grid;
  In images;
  Out patches;
  MQL4GREC_HD void operator()(index_t i, index_t j) const {
    index_t const p = grid.patch, image = i / grid.rows(), number = i % grid.rows() - grid.leading_rows;
    index_t const channel = j / (p * p), row = number / grid.across() * p + j / p % p,
                  column = number % grid.across() * p + j % p;
    patches(i, j) = number < 0 ? T{} : images(image, (channel * grid.height + row) * grid.width + column);
  }
};

}  // namespace detail

/// patches (images · grid.rows(), channels·patch·patch) = the patches of images (images, channels·height·width).
template <class T, class System>
void extract_patches(backend<System>& b, patch_grid grid, in_matrix<backend<System>, T> images,
                     out_matrix<backend<System>, T> patches) {
  detail::for_each_entry(b, patches.rows(), patches.columns(),
                         detail::patch_entry<T, decltype(images), decltype(patches)>{grid, images, patches});
}

}  // namespace mql4grec::gpu
