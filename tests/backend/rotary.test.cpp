#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/gradient.hpp"
#include "support/instruction_sets.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

TEST_CASE_TEMPLATE("rotary: rotates column c and column c + width / 2 of every head", B, MQL4GREC_TEST_BACKENDS) {
  B backend;
  // position 1: a quarter turn of the first pair, a half turn of the second one
  auto const cosines = on(backend, matrix{{1.f, 1.f}, {0.f, -1.f}}),
             sines = on(backend, matrix{{0.f, 0.f}, {1.f, 0.f}});
  auto x = on(backend, matrix{{1.f, 2.f, 3.f, 4.f, 5.f, 6.f, 7.f, 8.f}, {1.f, 2.f, 3.f, 4.f, 5.f, 6.f, 7.f, 8.f}});
  rotary_forward<float>(backend, {cosines, sines}, on(backend, vector<index_t>{1, 0}), x);
  CHECK_CLOSE(x, matrix{{-3.f, -2.f, 1.f, -4.f, -7.f, -6.f, 5.f, -8.f}, {1.f, 2.f, 3.f, 4.f, 5.f, 6.f, 7.f, 8.f}}, 0);
}

namespace {
template <class T, class B>
numbers rotated(B& b, index_t rows, index_t heads, index_t half, index_t gap) {
  auto const angles = random_normal<double>({5, half}, 1);
  matrix<T> cosine = constant({5, half}, T{}), sine = cosine;
  for (std::size_t i = 0; i < angles.values.size(); ++i)
    cosine.values[i] = static_cast<T>(std::cos(angles.values[i])),
    sine.values[i] = static_cast<T>(std::sin(angles.values[i]));
  auto const cosines = on(b, cosine, gap), sines = on(b, sine, gap);
  std::vector<index_t> positions;
  for (index_t i = 0; i < rows; ++i) positions.push_back((3 * i + 4) % 5);
  auto x = on(b, random_normal<T>({rows, heads * 2 * half}, 2), gap);
  rotary_forward<T>(b, {cosines, sines}, on(b, vector<index_t>(positions)), x);
  CHECK(x.gaps_untouched());
  return numbers_of(x);
}
}  // namespace

TEST_CASE_TEMPLATE("rotary: equals the reference at edge-case sizes, with every instruction set", S,
                   MQL4GREC_TEST_FAST_SETTINGS) {
  using T = typename S::scalar;
  typename S::backend fast;
  reference::backend exact;
  for (index_t rows : {0, 1, 7})
    for (index_t heads : {0, 1, 3})
      for (index_t pairs : {1, 8, 15, 16, 17, 40})
        for (index_t gap : {0, 3}) {
          auto const expected = rotated<T>(exact, rows, heads, pairs, gap);
          for_each_instruction_set([&] {
            CHECK_CLOSE(rotated<T>(fast, rows, heads, pairs, gap), expected, tolerance<typename S::backend, T>);
          });
        }
}

TEST_CASE("rotary: the product of a query and a key depends on their distance only") {
  reference::backend b;
  auto const q = random_normal({1, 6}, 1), k = random_normal({1, 6}, 2);
  matrix<double> cosines = constant({9, 3}, 0.), sines = cosines;
  for (index_t p = 0; p < 9; ++p)
    for (index_t c = 0; c < 3; ++c) {
      double const angle = static_cast<double>(p) / std::pow(10., static_cast<double>(c));
      cosines.values[static_cast<std::size_t>(3 * p + c)] = std::cos(angle);
      sines.values[static_cast<std::size_t>(3 * p + c)] = std::sin(angle);
    }
  auto const product = [&](index_t at_query, index_t at_key) {
    auto x = on(b, q), y = on(b, k);
    rotary_forward<double>(b, {cosines, sines}, vector<index_t>{at_query}, x);
    rotary_forward<double>(b, {cosines, sines}, vector<index_t>{at_key}, y);
    return inner_product<double>(*x, *y);
  };
  CHECK_CLOSE(product(5, 2), product(8, 5), 1e-12);
  CHECK_CLOSE(product(3, 3), product(0, 0), 1e-12);
}
