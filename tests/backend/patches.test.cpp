#include "support/backends.hpp"
#include "support/check_close.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

TEST_CASE_TEMPLATE("patches: each patch is a row in the order channel, row, column", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  // two channels of 2 × 5 pixels; the last column belongs to no patch
  auto const image = on(backend, matrix{{0.f,   1.f,   2.f,   3.f,   99.f, 10.f,  11.f,  12.f,  13.f,  99.f,  //
                                         100.f, 101.f, 102.f, 103.f, 99.f, 110.f, 111.f, 112.f, 113.f, 99.f}});
  auto rows = poisoned<float>(backend, {2, 8});
  extract_patches<float>(backend, {.channels = 2, .height = 2, .width = 5, .patch = 2}, image, rows);
  CHECK_CLOSE(
      rows,
      matrix{{0.f, 1.f, 10.f, 11.f, 100.f, 101.f, 110.f, 111.f}, {2.f, 3.f, 12.f, 13.f, 102.f, 103.f, 112.f, 113.f}},
      0);
}

TEST_CASE_TEMPLATE("patches: the leading rows of every image are zeros", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  auto rows = poisoned<float>(backend, {6, 1});
  extract_patches<float>(backend, {.channels = 1, .height = 2, .width = 1, .patch = 1, .leading_rows = 1},
                         on(backend, matrix{{1.f, 2.f}, {3.f, 4.f}}), rows);
  CHECK_CLOSE(rows, matrix{{0.f}, {1.f}, {2.f}, {0.f}, {3.f}, {4.f}}, 0);
}

namespace {
template <class T, class B>
numbers divided(B& b, patch_grid grid, index_t images, index_t gap) {
  auto const x = on(b, random_normal<T>({images, grid.pixels()}, 1), gap);
  auto rows = poisoned<T>(b, {images * grid.rows(), grid.columns()}, gap);
  extract_patches<T>(b, grid, x, rows);
  CHECK(rows.gaps_untouched());
  return numbers_of(rows);
}
}  // namespace

TEST_CASE_TEMPLATE("patches: equal the reference", S, MQL4GREC_TEST_FAST_SETTINGS) {
  using T = typename S::scalar;
  typename S::backend fast;
  reference::backend exact;
  for (index_t images : {0, 1, 3})
    for (index_t gap : {0, 5})
      for (patch_grid const grid :
           {patch_grid{.channels = 3, .height = 7, .width = 9, .patch = 3},
            patch_grid{.channels = 1, .height = 1, .width = 1, .patch = 1, .leading_rows = 2},
            patch_grid{.channels = 3, .height = 32, .width = 33, .patch = 16, .leading_rows = 1}})
        CHECK_CLOSE(divided<T>(fast, grid, images, gap), divided<T>(exact, grid, images, gap), 0);
}
