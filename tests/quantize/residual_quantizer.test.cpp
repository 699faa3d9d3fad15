#include "mql4grec/quantize/codebook/residual_quantizer.hpp"

#include "support/backends.hpp"
#include "support/check_close.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
template <class B>
quantize::codebook_set<B, double> random_codebooks(B& b, std::vector<index_t> sizes, index_t width) {
  quantize::codebook_set<B, double> all(b, std::move(sizes), width);
  for (index_t l = 0; l < all.levels(); ++l) {
    auto const vectors = all.vectors(l);
    auto const values = random_normal({vectors.rows(), width}, 10 + static_cast<std::uint64_t>(l)).values;
    copy(view_of(std::span<double const>(values)), vectors.flat());
  }
  return all;
}
}  // namespace

TEST_CASE_TEMPLATE("quantize: each level chooses the nearest vector to the residual of the levels before", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const books = random_codebooks(b, {5, 3, 8}, 4);
  auto const z = random_normal({30, 4}, 1);
  auto rest = on(b, z);
  auto found = poisoned<code_t>(b, {3, 30});
  auto const views = books.views();
  quantize::quantize<double>(b, std::span<quantize::codebook_view<B, double> const>(views), *rest, *found);
  auto const codes = fetched(found).values;
  for (index_t i = 0; i < 30; ++i) {
    std::vector<double> r(z.values.begin() + i * 4, z.values.begin() + (i + 1) * 4);
    for (index_t l = 0; l < 3; ++l) {
      auto const vectors = fetched(books.vectors(l));
      auto const distance = [&](index_t k) {
        double sum = 0;
        for (index_t j = 0; j < 4; ++j)
          sum += (r[static_cast<std::size_t>(j)] - vectors(k, j)) * (r[static_cast<std::size_t>(j)] - vectors(k, j));
        return sum;
      };
      auto const code = index(codes[static_cast<std::size_t>(l * 30 + i)]);
      for (index_t k = 0; k < vectors.rows(); ++k) CHECK(distance(code) <= distance(k));
      for (index_t j = 0; j < 4; ++j) r[static_cast<std::size_t>(j)] -= vectors(code, j);
    }
    CHECK_CLOSE((*rest).row(i), r, 1e-14);
  }
}

TEST_CASE_TEMPLATE("quantize: a row that equals a vector gets its code and leaves no residual", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const books = random_codebooks(b, {6}, 3);
  auto rest = on(b, fetched(books.vectors(0)));
  auto codes = poisoned<code_t>(b, {1, 6});
  auto const views = books.views();
  quantize::quantize<double>(b, std::span<quantize::codebook_view<B, double> const>(views), *rest, *codes);
  for (int i = 0; i < 6; ++i) CHECK(fetched(codes)(0, i) == code_t(i));
  CHECK_CLOSE(rest, constant({6, 3}, 0.), 0);
}

TEST_CASE("quantize: shapes that don't fit are refused with both numbers") {
  reference::backend b;
  auto const books = random_codebooks(b, {5}, 4);
  auto const views = books.views();
  std::vector<code_t> codes(9);
  auto rest = poisoned<double>(b, {9, 3});
  auto const call = [&](index_t rows) {
    quantize::quantize<double>(b, std::span<quantize::codebook_view<reference::backend, double> const>(views), *rest,
                               host_matrix_view<code_t>(codes.data(), rows, 9 / rows));
  };
  CHECK_THROWS_WITH_AS(call(1), "quantize: rows of width 3 for a codebook of width 4", error);
  CHECK_THROWS_WITH_AS(call(3), "quantize: 1 levels but a place for 3", error);
  auto fitting = poisoned<double>(b, {8, 4});
  CHECK_THROWS_WITH_AS(
      quantize::quantize<double>(b, std::span<quantize::codebook_view<reference::backend, double> const>(views),
                                 *fitting, host_matrix_view<code_t>(codes.data(), 1, 9)),
      "quantize: 8 rows but a place for 9 codes", error);
}

TEST_CASE("codebook_set: levels of different sizes are contiguous") {
  reference::backend b;
  quantize::codebook_set<reference::backend, float> books(b, {3, 1, 2}, 4);
  CHECK(books.levels() == 3);
  CHECK(books.vectors(2).rows() == 2);
  CHECK(books.vectors(1).data == books.vectors(0).data + 12);
  CHECK_THROWS_WITH_AS((quantize::codebook_set<reference::backend, float>(b, {3, 0}, 4)),
                       "codebooks: a level of 0 codes, expected at least 1", error);
}
