// The products inside one attention head, and the transpose that prepares them.
#include "mql4grec/backend/cpu/primitives/small_product.hpp"

#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/instruction_sets.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

TEST_CASE("small_product: equals the reference's matmul for either layout of its factor, with every instruction set") {
  reference::backend exact;
  for (index_t m = 0; m < 28; m += m < 14 ? 1 : 6)  // every height of a tile, alone and beside others
    for (index_t n : {16, 32, 48, 64, 80, 112, 144})
      for (index_t k : {0, 1, 5, 33})
        for (bool transposed : {false, true}) {
          auto const a = on(exact, random_normal<float>(transposed ? shape{k, m} : shape{m, k}, 1), 3),
                     b = on(exact, random_normal<float>({k, n}, 2), 5);
          auto expected = poisoned<float>(exact, {m, n});
          matmul<float>(exact, a, b, expected, {.transpose_a = transposed});
          auto const stride = (*a).stride;
          cpu::detail::small_factor const factor{(*a).data, transposed ? 1 : stride, transposed ? stride : 1};
          for_each_instruction_set([&] {
            auto c = poisoned<float>(exact, {m, n}, 4);
            cpu::detail::small_product(factor, {(*b).data, (*b).stride}, {(*c).data, (*c).stride}, {m, n, k});
            CHECK_CLOSE(c, expected, 1e-5);
            CHECK(c.gaps_untouched());
          });
        }
}

TEST_CASE("transpose: columns become rows, padded with zeros") {
  reference::backend b;
  for (index_t rows : {1, 3, 4, 5, 15, 16, 17})
    for (index_t columns : {4, 16, 20}) {
      auto const x = on(b, random_normal<float>({rows, columns}, 1), 3);
      auto y = poisoned<float>(b, {columns, cpu::detail::padded(rows)}, 2);
      cpu::detail::transpose((*x).data, (*x).stride, rows, columns, (*y).data, (*y).stride);
      CHECK(y.gaps_untouched());
      for (index_t i = 0; i < y.columns(); ++i)
        for (index_t j = 0; j < columns; ++j) CHECK((*y)(j, i) == (i < rows ? (*x)(i, j) : 0.f));
    }
}

TEST_CASE("padded: rounds up to a multiple of the SIMD width") {
  CHECK((cpu::detail::padded(0) == 0 && cpu::detail::padded(1) == 16 && cpu::detail::padded(16) == 16 &&
         cpu::detail::padded(17) == 32));
}
