#include "mql4grec/quantize/codebook/kmeans.hpp"

#include <set>

#include "mql4grec/train/threads.hpp"
#include "support/backends.hpp"
#include "support/check_close.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
template <class B>
quantize::kmeans_result run(B& b, matrix<float> const& rows, index_t k, quantize::kmeans_options const& options,
                            std::vector<float>& vectors) {
  auto found = poisoned<float>(b, {k, rows.columns()});
  auto const result = quantize::kmeans(b, in_matrix<B, float>(on(b, rows)), options, *found);
  vectors = fetched(found).values;
  return result;
}
template <class B>
quantize::kmeans_result refine(B& b, matrix<float> const& rows, index_t k, quantize::kmeans_options const& options,
                               std::vector<float>& vectors) {
  auto moved = on(b, matrix<float>({k, rows.columns()}, vectors));
  auto const result = quantize::refine_kmeans(b, in_matrix<B, float>(on(b, rows)), options, *moved);
  vectors = fetched(moved).values;
  return result;
}
}  // namespace

TEST_CASE_TEMPLATE("kmeans: well separated clusters are found for every seed", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  auto rows = random_normal<float>({300, 4}, 1);
  auto const centres = random_normal<float>({6, 4}, 2);
  for (index_t i = 0; i < 300; ++i)
    for (index_t j = 0; j < 4; ++j)
      rows.values[static_cast<std::size_t>(i * 4 + j)] = 0.01f * rows.values[static_cast<std::size_t>(i * 4 + j)] +
                                                         10 * centres.values[static_cast<std::size_t>(i % 6 * 4 + j)];
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    std::vector<float> vectors;
    auto const result = run(b, rows, 6, {.seed = seed}, vectors);
    CHECK(result.error < 1e-3);
    std::set<index_t> found;
    for (index_t k = 0; k < 6; ++k)
      for (index_t c = 0; c < 6; ++c)
        if (std::abs(vectors[static_cast<std::size_t>(k * 4)] - 10 * centres.values[static_cast<std::size_t>(c * 4)]) <
            0.1f)
          found.insert(c);
    CHECK(found.size() == 6);
  }
}

TEST_CASE_TEMPLATE("kmeans: as many codes as different rows leave no error, and one code is the mean", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const rows = random_normal<float>({20, 3}, 1);
  std::vector<float> vectors;
  CHECK_CLOSE(run(b, rows, 20, {}, vectors).error, 0., 1e-10);
  run(b, rows, 1, {}, vectors);
  for (index_t j = 0; j < 3; ++j) {
    double sum = 0;
    for (index_t i = 0; i < 20; ++i) sum += static_cast<double>(rows.values[static_cast<std::size_t>(i * 3 + j)]);
    CHECK_CLOSE(vectors[static_cast<std::size_t>(j)], sum / 20, 1e-6);
  }
}

TEST_CASE("kmeans: more iterations never leave more error") {
  cpu::backend b;
  auto const rows = random_normal<float>({2000, 5}, 1);
  std::vector<float> vectors;
  double before = INFINITY;
  for (index_t iterations = 1; iterations < 12; ++iterations) {
    auto const result = run(b, rows, 17, {.iterations = iterations, .tolerance = 0}, vectors);
    CHECK(result.error <= before * (1 + 1e-6));
    before = result.error;
  }
}

TEST_CASE("kmeans: any number of workers gives the same bits") {
  auto const rows = random_normal<float>({5000, 7}, 1);
  std::vector<float> expected, vectors;
  cpu::backend one;
  auto const single_worker = run(one, rows, 19, {.iterations = 5}, expected);
  for (index_t workers : {2, 3, 5}) {
    cpu::backend b(workers);
    CHECK(run(b, rows, 19, {.iterations = 5}, vectors) == single_worker);
    CHECK(vectors == expected);
  }
}

TEST_CASE("kmeans: any number of ranks gives the same bits") {
  auto rows = random_normal<float>({3500, 7}, 1);    // four blocks
  std::vector<float> expected, start(19 * 7, 50.f);  // all vectors but one begin without rows
  cpu::backend one;
  auto const whole = run(one, rows, 19, {.iterations = 5}, expected);
  auto refined = start;
  auto const better = refine(one, rows, 19, {.iterations = 3}, refined);
  REQUIRE(better.repaired > 0);
  for (index_t const ranks : {1, 2, 3, 6})
    train::run_on_threads(ranks, [&](train::host_communicator communicator) {
      cpu::backend b(1 + communicator.rank() % 2);
      auto found = poisoned<float>(b, {19, 7});
      CHECK(quantize::kmeans(b, in_matrix<cpu::backend, float>(on(b, rows)), {.iterations = 5}, *found, communicator) ==
            whole);
      CHECK(fetched(found).values == expected);
      auto moved = on(b, matrix<float>({19, 7}, start));
      CHECK(quantize::refine_kmeans(b, in_matrix<cpu::backend, float>(on(b, rows)), {.iterations = 3}, *moved,
                                    communicator) == better);
      CHECK(fetched(moved).values == refined);
    });
  rows.values[7 * 2500] = NAN;
  auto const complain = [&](train::host_communicator const& communicator) {
    cpu::backend b;
    auto found = poisoned<float>(b, {4, 7});
    (void)quantize::kmeans(b, in_matrix<cpu::backend, float>(on(b, rows)), {}, *found, communicator);
  };
  CHECK_THROWS_WITH_AS(train::run_on_threads(2, complain), "k-means: row 2500 holds a number that isn't finite", error);
}

TEST_CASE("kmeans: fewer distinct rows than codes are no error") {
  cpu::backend b;
  matrix<float> rows({40, 2}, std::vector<float>(80));
  for (index_t i = 0; i < 40; ++i) rows.values[static_cast<std::size_t>(2 * i)] = static_cast<float>(i % 3);
  std::vector<float> vectors;
  auto const result = run(b, rows, 10, {}, vectors);
  CHECK(result.error == 0);
  CHECK(result.repaired == 0);
}

TEST_CASE_TEMPLATE(
    "refine_kmeans: vectors without rows move to the rows with the largest distances, in descending order", B,
    MQL4GREC_TEST_BACKENDS) {
  B b;
  matrix<float> const rows{{0, 0}, {1, 0}, {0, 1}, {30, 30}, {31, 30}, {12, 0}};
  std::vector<float> vectors{0, 0, 0, 0, 400, 400};
  auto const result = refine(b, rows, 3, {.tolerance = 0}, vectors);
  CHECK(result.repaired == 2);
  CHECK_CLOSE(matrix<float>({3, 2}, vectors), matrix{{3.25f, 0.25f}, {31.f, 30.f}, {30.f, 30.f}}, 1e-6);
}

TEST_CASE_TEMPLATE(
    "refine_kmeans: never makes a codebook worse, and doesn't change vectors that are the means of their rows", B,
    MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const rows = random_normal<float>({500, 3}, 1);
  std::vector<float> vectors;
  auto const before = run(b, rows, 12, {.iterations = 2}, vectors);
  auto const after = refine(b, rows, 12, {.iterations = 100, .tolerance = 0}, vectors);
  CHECK(after.error < before.error);
  auto const found = vectors;
  refine(b, rows, 12, {.iterations = 1}, vectors);
  CHECK_CLOSE(vectors, found, 1e-6);
}

TEST_CASE("kmeans: fewer rows than codes is an error with both numbers") {
  cpu::backend b;
  std::vector<float> vectors;
  CHECK_THROWS_WITH_AS(run(b, random_normal<float>({3, 2}, 1), 4, {}, vectors),
                       "k-means: 3 rows for 4 codes, expected at least as many rows", error);
  CHECK_THROWS_WITH_AS(run(b, random_normal<float>({9, 2}, 1), 4, {.iterations = 0}, vectors),
                       "k-means: 0 iterations, expected at least 1", error);
}

TEST_CASE_TEMPLATE("kmeans: the first row that isn't finite is an error with its number", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  auto rows = random_normal<float>({3000, 2}, 1);
  rows.values[2 * 2500] = NAN;
  rows.values[2 * 1700 + 1] = -INFINITY;
  std::vector<float> vectors;
  CHECK_THROWS_WITH_AS(run(b, rows, 4, {}, vectors), "k-means: row 1700 holds a number that isn't finite", error);
}
