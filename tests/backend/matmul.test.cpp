#include "mql4grec/backend/cpu/matmul/onednn.hpp"

#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/sizes.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

TEST_CASE_TEMPLATE("matmul: equals a hand-computed example", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  auto const a = on(backend, matrix{{1.f, 2.f, 3.f}, {4.f, 5.f, 6.f}});
  auto const b = on(backend, matrix{{1.f, 0.f}, {0.f, 1.f}, {2.f, -1.f}});
  auto c = poisoned<float>(backend, {2, 2});
  matmul<float>(backend, a, b, c, {});
  CHECK_CLOSE(c, matrix{{7.f, -1.f}, {16.f, -1.f}}, 1e-6);
  matmul<float>(backend, a, b, c, {.accumulate = true, .alpha = 2});
  CHECK_CLOSE(c, matrix{{21.f, -3.f}, {48.f, -3.f}}, 1e-6);
}

TEST_CASE_TEMPLATE("matmul: a transposed operand gives the product of the transpose", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  auto const a = on(backend, matrix{{1.f, 2.f}, {3.f, 4.f}});
  auto const b = on(backend, matrix{{5.f, 6.f}, {7.f, 8.f}});
  auto c = poisoned<float>(backend, {2, 2});
  matmul<float>(backend, a, b, c, {.transpose_a = true});
  CHECK_CLOSE(c, matrix{{26.f, 30.f}, {38.f, 44.f}}, 1e-6);
  matmul<float>(backend, a, b, c, {.transpose_b = true});
  CHECK_CLOSE(c, matrix{{17.f, 23.f}, {39.f, 53.f}}, 1e-6);
}

TEST_CASE_TEMPLATE("matmul: an inner dimension of zero gives zero, and accumulates nothing", B,
                   MQL4GREC_TEST_BACKENDS) {
  B backend;
  auto const a = on(backend, constant({0, 3}, 1.f)), b = on(backend, constant({0, 2}, 1.f));
  auto c = poisoned<float>(backend, {3, 2});
  matmul<float>(backend, a, b, c, {.transpose_a = true});
  CHECK_CLOSE(c, constant({3, 2}, 0.f), 0);
  auto kept = on(backend, constant({3, 2}, 4.f));
  matmul<float>(backend, a, b, kept, {.transpose_a = true, .accumulate = true});
  CHECK_CLOSE(kept, constant({3, 2}, 4.f), 0);
}

namespace {
struct sizes {
  index_t m, k, n, gap;
};

template <class T, class B>
matrix<T> multiplied(B& b, sizes s, product how) {
  auto const operand = [&](index_t rows, index_t columns, bool transposed, std::uint64_t seed) {
    return on(b, random_normal<T>(transposed ? shape{columns, rows} : shape{rows, columns}, seed), s.gap);
  };
  auto const x = operand(s.m, s.k, how.transpose_a, 1), y = operand(s.k, s.n, how.transpose_b, 2);
  auto z = how.accumulate ? on(b, random_normal<T>({s.m, s.n}, 3), s.gap) : poisoned<T>(b, {s.m, s.n}, s.gap);
  matmul<T>(b, x, y, z, how);
  CHECK(z.gaps_untouched());
  return fetched(z);
}
}  // namespace

TEST_CASE_TEMPLATE("matmul: equals the reference at edge-case sizes, for all options", S, MQL4GREC_TEST_FAST_SETTINGS) {
  using T = typename S::scalar;
  typename S::backend fast;
  reference::backend exact;
  for (sizes s : {sizes{1, 1, 1, 0},
                  {0, 4, 5, 0},
                  {5, 4, 0, 1},
                  {1, 129, 17, 0},
                  {17, 16, 15, 5},
                  {129, 15, 1, 5},
                  {16, 127, 128, 0},
                  {33, 17, 127, 3}})
    for (int how = 0; how < 8; ++how) {
      product const p{
          .transpose_a = (how & 1) != 0, .transpose_b = (how & 2) != 0, .accumulate = (how & 4) != 0, .alpha = 0.75};
      CAPTURE(s.m);
      CAPTURE(how);
      CHECK_CLOSE(multiplied<T>(fast, s, p), multiplied<T>(exact, s, p), tolerance<typename S::backend, T>);
    }
}

TEST_CASE_TEMPLATE("matmul: a batch is a product for each matrix of the stacks", S, MQL4GREC_TEST_FAST_SETTINGS) {
  using T = typename S::scalar;
  using B = typename S::backend;
  B b;
  reference::backend exact;
  constexpr index_t batch = 3, m = 5, k = 17, n = 8;
  for (index_t const gap : {0, 3})
    for (int how = 0; how < 8; ++how) {
      product p{
          .transpose_a = (how & 1) != 0, .transpose_b = (how & 2) != 0, .accumulate = (how & 4) != 0, .alpha = 0.75};
      shape const x_shape = p.transpose_a ? shape{k, m} : shape{m, k},
                  y_shape = p.transpose_b ? shape{n, k} : shape{k, n};
      auto const stack = [&](auto& where, shape s, std::uint64_t seed) {
        return on(where, random_normal<T>({batch * s.rows, s.columns}, seed), gap);
      };
      auto const x = stack(b, x_shape, 1), y = stack(b, y_shape, 2);
      auto z = stack(b, {m, n}, 3);
      auto const exact_x = stack(exact, x_shape, 1), exact_y = stack(exact, y_shape, 2);
      auto expected = stack(exact, {m, n}, 3);
      for (index_t i = 0; i < batch; ++i)
        matmul<T>(exact, (*exact_x).row_block(i * x_shape.rows, x_shape.rows),
                  (*exact_y).row_block(i * y_shape.rows, y_shape.rows), (*expected).row_block(i * m, m), p);
      p.batch = batch;
      matmul<T>(b, x, y, z, p);
      CAPTURE(how);
      CHECK_CLOSE(fetched(z), fetched(expected), tolerance<B, T>);
      CHECK(z.gaps_untouched());
    }
}

#if MQL4GREC_HAS_ONEDNN
TEST_CASE("matmul: a product that oneDNN refuses is an error") {
  float numbers[4] = {};
  view<float, host_space, 2> const good{numbers, 2, 2}, overlapping{numbers, 2, 2, 1};
  CHECK_THROWS_WITH_AS(cpu::detail::onednn_product(good, overlapping, good, {}),
                       doctest::Contains("oneDNN: a product of floats failed with status"), error);
}
#endif

TEST_CASE("matmul: complex numbers are multiplied without conjugation, on every backend") {
  cpu::backend fast;
  reference::backend exact;
  auto const split = [](matrix<std::complex<double>> const& x) {
    std::vector<double> parts;
    for (auto const& entry : x.values) parts.insert(parts.end(), {entry.real(), entry.imag()});
    return parts;
  };
  for (bool transpose_a : {false, true})
    for (bool transpose_b : {false, true})
      for (bool accumulate : {false, true}) {
        product const how{transpose_a, transpose_b, accumulate, 0.75};
        CHECK_CLOSE(split(multiplied<std::complex<double>>(fast, {5, 7, 3, 2}, how)),
                    split(multiplied<std::complex<double>>(exact, {5, 7, 3, 2}, how)), 1e-13);
      }
  auto const i = on(fast, matrix{{std::complex<double>(0, 1)}});
  auto square = poisoned<std::complex<double>>(fast, {1, 1});
  matmul<std::complex<double>>(fast, i, i, square, {.transpose_a = true});
  CHECK((*square)(0, 0) == -1.);
}
