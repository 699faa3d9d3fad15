#include "mql4grec/quantize/residual_kmeans/residual_kmeans.hpp"

#include "mql4grec/quantize/assign_codes.hpp"
#include "mql4grec/quantize/collisions/latents.hpp"
#include "support/backends.hpp"
#include "support/check_close.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
/// Rows around 40 centres, far from zero; the last columns hardly vary.
matrix<float> uneven_rows(index_t n, index_t width, std::uint64_t seed = 1) {
  auto rows = random_normal<float>({n, width}, seed);
  auto const places = random_normal<float>({40, width}, seed + 1);
  for (index_t i = 0; i < n; ++i)
    for (index_t j = 0; j < width; ++j) {
      auto& entry = rows.values[static_cast<std::size_t>(i * width + j)];
      entry = 5 + (0.5f * entry + 3 * places.values[static_cast<std::size_t>(i % 40 * width + j)]) /
                      static_cast<float>(1 + j);
    }
  return rows;
}

/// x̂ decoded from the codes of all rows: the sum of their vectors, rotated back, plus the mean.
template <class B>
matrix<double> decoded(quantize::residual_kmeans<B> const& model, quantize::code_table const& table) {
  index_t const n = table.items(), w = model.latent_width();
  auto const mean = fetched(model.mean.view_all());
  auto const rotation = fetched(model.rotation_matrix());
  std::vector<matrix<float>> levels;
  for (auto const& level : model.codebooks()) levels.push_back(fetched(level.vectors()));
  auto x = constant({n, w}, 0.);
  for (index_t i = 0; i < n; ++i) {
    std::vector<double> sum(static_cast<std::size_t>(w));
    auto const codes = table.of(item_id(static_cast<std::int32_t>(i)));
    for (std::size_t l = 0; l < codes.size(); ++l)
      for (index_t j = 0; j < w; ++j)
        sum[static_cast<std::size_t>(j)] += static_cast<double>(levels[l](index(codes[l]), j));
    for (index_t j = 0; j < w; ++j) {
      auto& entry = x.values[static_cast<std::size_t>(i * w + j)];
      entry = static_cast<double>(mean(j)) + (model.rotated() ? 0 : sum[static_cast<std::size_t>(j)]);
      for (index_t k = 0; model.rotated() && k < w; ++k)
        entry += static_cast<double>(rotation(j, k)) * sum[static_cast<std::size_t>(k)];
    }
  }
  return x;
}
template <class B>
double error_of(quantize::residual_kmeans<B> const& model, quantize::code_table const& table,
                matrix<float> const& rows) {
  auto const x = decoded(model, table);
  double sum = 0;
  for (std::size_t i = 0; i < rows.values.size(); ++i)
    sum += std::pow(x.values[i] - static_cast<double>(rows.values[i]), 2);
  return sum / static_cast<double>(rows.extent.size());
}

template <class B, class F>
quantize::code_table codes_of(B& b, quantize::residual_kmeans<B> const& model, F const& features) {
  return quantize::assign_codes(b, model, features, {.reconstruction_error = false}).codes;
}

template <class B>
bool same(quantize::residual_kmeans<B> const& x, quantize::residual_kmeans<B> const& y) {
  bool all = x.error == y.error && x.books.sizes() == y.books.sizes();
  all = all && fetched(x.mean.view_all()).values == fetched(y.mean.view_all()).values;
  all = all && fetched(x.rotation_matrix()).values == fetched(y.rotation_matrix()).values;
  for (index_t l = 0; all && l < x.books.levels(); ++l)
    all = fetched(x.books.vectors(l)).values == fetched(y.books.vectors(l)).values;
  return all;
}
}  // namespace

TEST_CASE_TEMPLATE("residual_kmeans: its error is that of the rows reconstructed from their codes", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const rows = uneven_rows(400, 6);
  embed::matrix_features const features(rows);
  for (index_t const rounds : {0, 3}) {
    auto const model = quantize::fit_residual_kmeans(b, features, {.codes = {8, 4, 5}, .rotation_rounds = rounds});
    auto const table = codes_of(b, model, features);
    CHECK(table.sizes() == std::vector<index_t>{8, 4, 5});
    CHECK_CLOSE(error_of(model, table, rows), model.error, 1e-5);
    auto const whole = quantize::assign_codes(b, model, features);
    CHECK(whole.codes == table);
    CHECK_CLOSE(whole.quantization_error, model.error, 1e-5);
    CHECK_CLOSE(whole.reconstruction_error, model.error, 1e-5);  // a rotation preserves lengths
    CHECK(model.error > 0);
  }
}

TEST_CASE_TEMPLATE("residual_kmeans: each additional level reduces the error and leaves earlier levels unchanged", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const rows = uneven_rows(300, 5);
  std::vector<index_t> codes{7};
  auto before = quantize::fit_residual_kmeans(b, embed::matrix_features(rows), {.codes = codes});
  for (index_t const k : {6, 1, 5}) {
    codes.push_back(k);
    auto after = quantize::fit_residual_kmeans(b, embed::matrix_features(rows), {.codes = codes});
    CHECK((k == 1 || after.error < 0.8 * before.error));
    CHECK(after.error <= before.error * (1 + 1e-6));
    for (index_t l = 0; l < before.books.levels(); ++l)
      CHECK_CLOSE(fetched(after.books.vectors(l)), fetched(before.books.vectors(l)), 0);
    before = std::move(after);
  }
}

TEST_CASE_TEMPLATE("residual_kmeans: as many codes as rows leave no error", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const rows = uneven_rows(30, 4);
  CHECK_CLOSE(quantize::fit_residual_kmeans(b, embed::matrix_features(rows), {.codes = {30, 2}}).error, 0., 1e-10);
}

TEST_CASE("residual_kmeans: more iterations never leave more error at the first level") {
  cpu::backend b;
  auto const rows = uneven_rows(2000, 8);
  double before = INFINITY;
  for (index_t n = 1; n < 10; ++n) {
    auto const model = quantize::fit_residual_kmeans(b, embed::matrix_features(rows),
                                                     {.codes = {30}, .clustering = {.iterations = n, .tolerance = 0}});
    CHECK(model.error <= before * (1 + 1e-6));
    before = model.error;
  }
}

TEST_CASE_TEMPLATE("residual_kmeans: the rotation is orthogonal and never increases the error", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  index_t improved = 0;
  for (std::uint64_t seed = 1; seed < 6; ++seed) {
    auto const rows = uneven_rows(250, 7, seed);
    quantize::residual_kmeans_options how{.codes = {6, 6, 6}, .clustering = {.iterations = 4, .seed = seed}};
    auto const plain = quantize::fit_residual_kmeans(b, embed::matrix_features(rows), how);
    CHECK_FALSE(plain.rotated());
    how.rotation_rounds = 4;
    auto const rotated_model = quantize::fit_residual_kmeans(b, embed::matrix_features(rows), how);
    CHECK(rotated_model.error <= plain.error);
    if (!rotated_model.rotated()) continue;
    ++improved;
    CHECK(rotated_model.error < plain.error);
    auto const rotation = fetched(rotated_model.rotation_matrix());
    for (index_t i = 0; i < 7; ++i)
      for (index_t j = 0; j < 7; ++j) {
        double sum = 0;
        for (index_t k = 0; k < 7; ++k) sum += static_cast<double>(rotation(i, k) * rotation(j, k));
        CHECK_CLOSE(sum, i == j, 1e-5);
      }
  }
  CHECK(improved >= 3);
}

TEST_CASE("residual_kmeans: any number of workers gives the same bits, in training and in assignment") {
  auto const rows = uneven_rows(5000, 9);
  embed::matrix_features const features(rows);
  quantize::residual_kmeans_options const how{
      .codes = {20, 10}, .clustering = {.iterations = 4}, .sample_rows = 3500, .rotation_rounds = 1};
  cpu::backend one;
  auto const expected = quantize::fit_residual_kmeans(one, features, how);
  auto const table = codes_of(one, expected, features);
  for (index_t workers : {2, 3, 5}) {
    cpu::backend b(workers);
    CHECK(same(quantize::fit_residual_kmeans(b, features, how), expected));
    CHECK(codes_of(b, expected, features) == table);
  }
}

TEST_CASE("residual_kmeans: trains on a sample determined by the seed, and assigns codes to all rows") {
  cpu::backend b;
  auto const rows = uneven_rows(900, 5);
  embed::matrix_features const features(rows);
  quantize::residual_kmeans_options how{.codes = {10, 10}, .sample_rows = 100};
  auto const model = quantize::fit_residual_kmeans(b, features, how);
  CHECK(same(quantize::fit_residual_kmeans(b, features, how), model));
  auto const table = codes_of(b, model, features);
  for (index_t i = 0; i < 900; ++i) CHECK(table.has(item_id(i)));
  CHECK(error_of(model, table, rows) > model.error);  // includes rows outside the sample
  how.clustering.seed = 7;
  CHECK_FALSE(same(quantize::fit_residual_kmeans(b, features, how), model));
}

TEST_CASE("encoded_latents: latents of residual k-means have the assigned codes, for any items") {
  cpu::backend b;
  auto const rows = uneven_rows(300, 5);
  embed::matrix_features const features(rows);
  auto const model = quantize::fit_residual_kmeans(
      b, features, {.codes = {9, 9}, .clustering = {.iterations = 3}, .rotation_rounds = 3});
  auto const table = codes_of(b, model, features);
  std::vector<index_t> const items{250, 3, 3, 77};
  std::vector<float> memory(20, NAN);
  host_matrix_view<float> const z(memory.data(), 4, 5);
  quantize::encoded_latents const latents(b, model, features);
  static_assert(quantize::LatentSource<std::remove_const_t<decltype(latents)>>);
  latents.gather(items, z);
  matrix<code_t> codes({2, 4}, std::vector<code_t>(8));
  auto const levels = model.codebooks();
  quantize::quantize<float>(b, std::span(levels), z, {codes.values.data(), 2, 4});
  for (std::size_t i = 0; i < 4; ++i)
    for (std::size_t l = 0; l < 2; ++l) CHECK(codes.values[l * 4 + i] == table.of(item_id(items[i]))[l]);
}

TEST_CASE("residual_kmeans: invalid options and features are an error with both numbers") {
  cpu::backend b;
  auto rows = uneven_rows(20, 3);
  auto const fit = [&](quantize::residual_kmeans_options const& how) {
    return quantize::fit_residual_kmeans(b, embed::matrix_features(rows), how);
  };
  CHECK_THROWS_WITH_AS(fit({}), "k-means: 20 rows for 256 codes, expected at least as many rows", error);
  CHECK_THROWS_WITH_AS(fit({.codes = {}}), "codebooks: 0 levels of width 3, expected at least 1 of each", error);
  CHECK_THROWS_WITH_AS(fit({.codes = {4}, .sample_rows = 0}),
                       "residual k-means: a sample of 0 rows, expected at least 1", error);
  CHECK_THROWS_WITH_AS(fit({.codes = {4}, .rotation_rounds = -1}),
                       "residual k-means: -1 rounds of rotation, expected at least 0", error);
  auto const model = fit({.codes = {4}});
  CHECK_THROWS_WITH_AS(codes_of(b, model, embed::matrix_features(uneven_rows(5, 4))),
                       "quantize: features of width 4 for a quantizer of width 3", error);
  rows.values[3 * 7 + 1] = NAN;
  CHECK_THROWS_WITH_AS(fit({.codes = {4}}), "residual k-means: row 7 holds a number that isn't finite", error);
}
