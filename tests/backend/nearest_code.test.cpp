#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/instruction_sets.hpp"
#include "support/sizes.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
constexpr float infinite = std::numeric_limits<float>::infinity(), no_number = std::numeric_limits<float>::quiet_NaN();

/// An output of codes that hasn't been written yet.
template <Backend B>
tensor_on<code_t, B, 1> no_codes(B& b, index_t n) {
  return {b, {n, 1}, 0, code_t{-7}};
}
template <class Tensor>
std::vector<index_t> as_numbers(Tensor const& codes) {
  std::vector<index_t> all;
  for (auto const code : fetched(codes).values) all.push_back(index(code));
  return all;
}

struct found {
  std::vector<index_t> codes;
  numbers distances;
};
template <class T, class B>
found nearest(B& b, matrix<T> const& x, matrix<T> const& vectors, index_t gap = 0) {
  auto codes = no_codes(b, x.rows());
  auto distances = poisoned<T>(b, x.rows());
  nearest_code<T>(b, on(b, x, gap), on(b, vectors, gap), codes, distances);
  return {as_numbers(codes), numbers_of(distances)};
}
}  // namespace

TEST_CASE_TEMPLATE("nearest_code: finds the nearest vector and the squared distance to it", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const all = nearest<float>(b, {{0, 0}, {3, 4}, {-1, 5}}, {{3, 3}, {1, 0}, {-1, 6}});
  CHECK(all.codes == std::vector<index_t>{1, 0, 2});
  CHECK_CLOSE(all.distances, vector{1.f, 1.f, 1.f}, 0);
}

TEST_CASE_TEMPLATE("nearest_code: ties are resolved to the first vector", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  for (index_t k : {1, 2, 16, 17, 64, 65, 200})
    for (index_t first : {index_t{0}, k / 3, k - 1})
      for_each_instruction_set([&] {
        auto vectors = constant({k, 5}, 9.f);
        for (index_t i = first; i < k; i += 1 + k / 7) std::fill_n(vectors.values.data() + i * 5, 5, 2.f);
        CHECK(nearest<float>(b, constant({3, 5}, 1.5f), vectors).codes == std::vector<index_t>(3, first));
      });
}

TEST_CASE_TEMPLATE("nearest_code: a vector of the codebook has distance zero from itself, for any norm", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  auto far = random_normal<float>({70, 33}, 1);
  for (float& entry : far.values) entry += 1000.f;
  for_each_instruction_set([&] {
    auto const all = nearest<float>(b, far, far);
    for (index_t i = 0; i < 70; ++i) CHECK(all.codes[static_cast<std::size_t>(i)] == i);
    CHECK_CLOSE(all.distances, constant(70, 0.f), 0);
  });
}

TEST_CASE_TEMPLATE("nearest_code: a row with NaN gets code 0", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  for (index_t k : {1, 3, 16, 65})
    for_each_instruction_set([&] {
      matrix<float> const x{{no_number, 0}, {infinite, 0}, {0, -infinite}, {3e38f, 3e38f}, {no_number, infinite}};
      auto const all = nearest<float>(b, x, random_normal<float>({k, 2}, 1));
      CHECK(all.codes == std::vector<index_t>(5, 0));
      CHECK_CLOSE(all.distances, constant(5, infinite), 0);
    });
  auto const beside = nearest<float>(b, {{1, 1}}, {{no_number, 1}, {infinite, 1}, {4, 5}, {1, no_number}});
  CHECK(beside.codes == std::vector<index_t>{2});
  CHECK_CLOSE(beside.distances, vector{25.f}, 0);
}

TEST_CASE_TEMPLATE("nearest_code: equals argmin_rows of squared_distances", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  for (index_t k : {1, 7, 16, 31, 64, 100})
    for_each_instruction_set([&] {
      auto const x = on(b, random_normal<float>({9, 6}, 1)), vectors = on(b, random_normal<float>({k, 6}, 2));
      auto all = poisoned<float>(b, {9, k});
      auto codes = no_codes(b, 9), places = no_codes(b, 9);
      auto lowest = poisoned<float>(b, 9);
      squared_distances<float>(b, x, vectors, all);
      argmin_rows<float>(b, all, places);
      nearest_code<float>(b, x, vectors, codes, lowest);
      CHECK(as_numbers(codes) == as_numbers(places));
      auto const distances = fetched(all);
      for (index_t i = 0; i < 9; ++i) CHECK(fetched(lowest)(i) == distances(i, index(fetched(codes)(i))));
    });
}

TEST_CASE_TEMPLATE("nearest_code: a row's code doesn't depend on other rows", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const x = on(b, random_normal<float>({13, 10}, 1)), vectors = on(b, random_normal<float>({40, 10}, 2));
  auto codes = no_codes(b, 13), single = no_codes(b, 13);
  auto distances = poisoned<float>(b, 13), single_distances = poisoned<float>(b, 13);
  nearest_code<float>(b, x, vectors, codes, distances);
  for (index_t i = 0; i < 13; ++i)
    nearest_code<float>(b, (*x).row_block(i, 1), vectors, (*single).part(i, 1), (*single_distances).part(i, 1));
  CHECK(as_numbers(single) == as_numbers(codes));
  CHECK_CLOSE(single_distances, distances, 0);
}

TEST_CASE_TEMPLATE("nearest_code: ties across tiles are resolved to the first vector, and NaN affects its own row only",
                   B, MQL4GREC_TEST_BACKENDS) {
  B b;
  constexpr index_t n = 8192 + 37, k = 150;  // full and partial tiles of rows and vectors
  auto const vectors = random_normal<float>({7, 3}, 2);
  std::vector<float> repeated;
  for (index_t i = 0; i < k * 3; ++i) repeated.push_back(vectors.values[static_cast<std::size_t>(i % 21)]);
  auto rows = random_normal<float>({n, 3}, 1);
  for (index_t i = 0; i < n; i += 9)
    rows.values[static_cast<std::size_t>(i * 3 + i % 3)] = i % 2 ? infinite : no_number;
  auto const all = nearest<float>(b, rows, {{k, 3}, repeated}), few = nearest<float>(b, rows, vectors);
  CHECK(all.codes == few.codes);
  CHECK_CLOSE(all.distances, few.distances, 0);
  for (index_t i = 0; i < n; i += 9) CHECK(all.codes[static_cast<std::size_t>(i)] == 0);
}

namespace {
template <class T, class B>
struct level_books {
  std::vector<tensor_on<T, B, 2>> owned;
  std::vector<in_matrix<B, T>> views;

  level_books(B& b, std::vector<index_t> const& sizes, index_t width, index_t gap) {
    for (index_t l = 0; l < std::ssize(sizes); ++l)
      owned.push_back(on(
          b, random_normal<T>({sizes[static_cast<std::size_t>(l)], width}, 10 + static_cast<std::uint64_t>(l)), gap));
    for (auto const& book : owned) views.push_back(book);
  }
};
}  // namespace

TEST_CASE_TEMPLATE("nearest_codes: equals nearest_code and subtract_codes, level by level", S,
                   MQL4GREC_TEST_FAST_SETTINGS) {
  using T = typename S::scalar;
  typename S::backend b;
  for (auto const& sizes : std::vector<std::vector<index_t>>{{1}, {5, 3, 8}, {70, 200}, {2, 2, 2, 2, 2, 2, 2, 2, 2, 2}})
    for (shape const rows : {shape{0, 4}, shape{1, 1}, shape{19, 33}, shape{65, 32}, shape{8200, 3}})
      for (index_t gap : edge_gaps) {
        level_books<T, typename S::backend> const books(b, sizes, rows.columns, gap);
        auto const z = random_normal<T>(rows, 1);
        auto rest = on(b, z, gap), expected_rest = on(b, z, gap);
        index_t const levels = std::ssize(sizes);
        tensor_on<code_t, typename S::backend, 2> codes(b, {levels, rows.rows}, 3, code_t{-7});
        tensor_on<code_t, typename S::backend, 2> expected(b, {levels, rows.rows}, 3, code_t{-7});
        nearest_codes<T>(b, books.views, rest, codes);
        auto distances = poisoned<T>(b, rows.rows);
        for (index_t l = 0; l < levels; ++l) {
          auto const book = books.views[static_cast<std::size_t>(l)];
          nearest_code<T>(b, expected_rest, book, (*expected).row(l), distances);
          subtract_codes<T>(b, book, (*expected).row(l), expected_rest);
        }
        CHECK(fetched(codes).values == fetched(expected).values);
        CHECK_CLOSE(rest, expected_rest, 0);
        CHECK(rest.gaps_untouched());
      }
}

TEST_CASE_TEMPLATE("nearest_codes: zero levels change nothing", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  auto rest = on(b, random_normal<float>({5, 2}, 1));
  nearest_codes<float>(b, std::span<in_matrix<B, float> const>(), rest,
                       tensor_on<code_t, B, 2>(b, {0, 5}, 0, code_t{}));
  CHECK_CLOSE(rest, random_normal<float>({5, 2}, 1), 0);
}

TEST_CASE_TEMPLATE("argmin_rows: the first minimum; comparisons with NaN are false", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  for_each_instruction_set([&] {
    for (index_t width : {1, 4, 15, 16, 17, 40})
      for (index_t place = 0; place < width; ++place) {
        auto rows = constant({2, width}, 3.f);
        for (index_t j = place; j < width; j += 2) rows.values[static_cast<std::size_t>(j)] = -2.f;
        rows.values[static_cast<std::size_t>(width)] = no_number;
        auto codes = no_codes(b, 2);
        argmin_rows<float>(b, on(b, rows, 3), codes);
        CHECK(as_numbers(codes) == std::vector<index_t>{place, 0});
        rows.values[static_cast<std::size_t>(width)] = infinite;
        std::fill(rows.values.begin() + width + 1, rows.values.end(), no_number);
        rows.values.back() = width > 1 ? 7.f : infinite;
        argmin_rows<float>(b, on(b, rows, 3), codes);
        CHECK(as_numbers(codes) == std::vector<index_t>{place, width - 1});
      }
  });
}

TEST_CASE_TEMPLATE("subtract_codes: subtracts the chosen vectors", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  auto x = on(b, matrix{{5.f, 1.f}, {2.f, 2.f}, {0.f, 0.f}});
  auto const codes = on(b, vector{code_t{1}, code_t{0}, code_t{1}});
  subtract_codes<float>(b, on(b, matrix{{1.f, 2.f}, {4.f, -1.f}}), codes, x);
  CHECK_CLOSE(x, matrix{{1.f, 2.f}, {1.f, 0.f}, {-4.f, 1.f}}, 0);
}

TEST_CASE_TEMPLATE("add_to_codes: adds each row to the sum of its code, and counts it", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  auto sums = on(b, matrix{{1.f, 1.f}, {0.f, 0.f}, {7.f, 7.f}});
  auto counts = on(b, vector{1.f, 0.f, 0.f});
  auto const codes = on(b, vector{code_t{1}, code_t{0}, code_t{1}});
  add_to_codes<float>(b, on(b, matrix{{5.f, 1.f}, {2.f, 2.f}, {0.5f, 0.f}}), codes, sums, counts);
  CHECK_CLOSE(sums, matrix{{3.f, 3.f}, {5.5f, 1.f}, {7.f, 7.f}}, 0);
  CHECK_CLOSE(counts, vector{2.f, 2.f, 0.f}, 0);
}

TEST_CASE_TEMPLATE("add_to_codes: equals the reference for any number of codes and of rows per code", S,
                   MQL4GREC_TEST_FAST_SETTINGS) {
  using T = typename S::scalar;
  auto const added = [](auto& b, index_t n, index_t width, index_t k, index_t chosen) {
    std::vector<code_t> codes;
    for (auto const draw : random_tokens(n, chosen, 4).values)
      codes.push_back(code_t(static_cast<std::int32_t>(k - 1 - index(draw) * ((k - 1) / chosen))));
    auto sums = on(b, random_normal<T>({k, width}, 3), 2);
    auto counts = on(b, constant(k, T(2)));
    add_to_codes<T>(b, on(b, random_normal<T>({n, width}, 1), 1), on(b, vector<code_t>(codes)), sums, counts);
    CHECK(sums.gaps_untouched());
    return std::pair{numbers_of(sums), numbers_of(counts)};
  };
  typename S::backend fast;
  reference::backend exact;
  for (index_t n : {1, 64, 65, 513, 3000})
    for (index_t width : {1, 33})
      for (auto const& [k, chosen] :
           std::vector<std::pair<index_t, index_t>>{{1, 1}, {256, 1}, {256, 3}, {256, 250}, {5000, 40}}) {
        auto const [sums, counts] = added(fast, n, width, k, chosen);
        auto const [expected_sums, expected_counts] = added(exact, n, width, k, chosen);
        CHECK_CLOSE(sums, expected_sums, (10 * tolerance<typename S::backend, T>));
        CHECK_CLOSE(counts, expected_counts, 0);
      }
}

namespace {
struct passes {
  found nearest;
  numbers distances, residuals, sums, counts;
};

template <class T, class B>
passes all_passes(B& b, shape rows, index_t k, index_t gap) {
  auto const data = random_normal<T>(rows, 1), book = random_normal<T>({k, rows.columns}, 2);
  auto const vectors = on(b, book, gap);
  auto x = on(b, data, gap);
  auto all = poisoned<T>(b, {rows.rows, k}, gap);
  squared_distances<T>(b, x, vectors, all);
  auto codes = no_codes(b, rows.rows);
  argmin_rows<T>(b, all, codes);
  auto sums = on(b, random_normal<T>({k, rows.columns}, 3), gap);
  auto counts = on(b, constant(k, T(2)));
  add_to_codes<T>(b, x, codes, sums, counts);
  subtract_codes<T>(b, vectors, codes, x);
  CHECK((all.gaps_untouched() && sums.gaps_untouched() && x.gaps_untouched()));
  return {nearest(b, data, book, gap), numbers_of(all), numbers_of(x), numbers_of(sums), numbers_of(counts)};
}
}  // namespace

TEST_CASE_TEMPLATE("nearest_code: equals the reference at edge-case sizes, with every instruction set", S,
                   MQL4GREC_TEST_FAST_SETTINGS) {
  using T = typename S::scalar;
  constexpr double allowed = tolerance<typename S::backend, T>;
  typename S::backend fast;
  reference::backend exact;
  for (index_t rows : {0, 1, 3, 4, 5, 9})
    for (index_t width : {0, 1, 3, 4, 17, 32, 129})
      for (index_t k : {1, 15, 17, 64, 65, 129})
        for (index_t gap : edge_gaps) {
          auto const expected = all_passes<T>(exact, {rows, width}, k, gap);
          for_each_instruction_set([&] {
            auto const actual = all_passes<T>(fast, {rows, width}, k, gap);
            CHECK(actual.nearest.codes == expected.nearest.codes);
            CHECK_CLOSE(actual.nearest.distances, expected.nearest.distances, allowed);
            CHECK_CLOSE(actual.distances, expected.distances, allowed);
            CHECK_CLOSE(actual.residuals, expected.residuals, allowed);
            CHECK_CLOSE(actual.sums, expected.sums, allowed);
            CHECK_CLOSE(actual.counts, expected.counts, allowed);
          });
        }
}

namespace {
struct codes_after {
  numbers vectors, first_moments, second_moments, idle, revived;
};
/// Batches of `rows` rows, of which the last one's update fails.
template <class T, class B>
codes_after revived_codes(B& b, index_t rows, index_t k, index_t most_idle) {
  index_t const width = 3;
  auto vectors = on(b, random_normal<T>({k, width}, 1)), first = on(b, random_normal<T>({k, width}, 2)),
       second = on(b, random_normal<T>({k, width}, 3));
  auto idle = on(b, vector<std::int32_t>(std::vector<std::int32_t>(static_cast<std::size_t>(k))));
  auto revived = poisoned<double>(b, 4);
  for (std::uint64_t batch = 0; batch < 4; ++batch) {
    std::vector<code_t> nearest;
    for (auto const token : random_tokens(rows, k, 10 + batch).values)
      nearest.push_back(static_cast<code_t>(index(token)));
    auto rest = random_normal<T>({rows, width}, 20 + batch);
    for (std::size_t i = 0; i < rest.values.size() / 2; ++i) rest.values[i] = T(1);  // equal errors
    double const norm = batch < 3 ? 1 : std::numeric_limits<double>::infinity();
    auto const report = on(b, vector<step_report>{{.loss = 1, .norm = norm}});
    revive_codes<T>(b, most_idle,
                    {.nearest = *on(b, vector<code_t>(nearest)),
                     .before = *on(b, random_normal<T>({rows, width}, 30 + batch)),
                     .after = *on(b, rest),
                     .report = *report},
                    {.vectors = *vectors, .first_moments = *first, .second_moments = *second, .idle = *idle},
                    (*revived).part(static_cast<index_t>(batch), 1));
  }
  return {numbers_of(vectors), numbers_of(first), numbers_of(second), numbers_of(idle), numbers_of(revived)};
}
}  // namespace

TEST_CASE_TEMPLATE("revive_codes: moves unused codes to the worst rows; nothing changes after an update that failed", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  auto codes = on(b, matrix<double>{{1, 1}, {2, 2}, {3, 3}, {4, 4}}), first = on(b, constant({4, 2}, 5.)),
       second = on(b, constant({4, 2}, 6.));
  auto idle = on(b, vector<std::int32_t>{7, 1, 1, 0});
  auto revived = poisoned<double>(b, 1);
  auto const batch_with_norm = [&](double norm) {
    auto const nearest = on(b, vector<code_t>{code_t{0}, code_t{0}, code_t{3}});
    auto const before = on(b, matrix<double>{{10, 11}, {12, 13}, {14, 15}}),
               after = on(b, matrix<double>{{0, 1}, {-3, 0}, {0, 3}});
    auto const report = on(b, vector<step_report>{{.loss = 1, .norm = norm}});
    revive_codes<double>(b, 2, {.nearest = nearest, .before = before, .after = after, .report = report},
                         {.vectors = codes, .first_moments = first, .second_moments = second, .idle = idle}, revived);
  };
  batch_with_norm(std::numeric_limits<double>::quiet_NaN());
  CHECK(fetched(revived).values == std::vector<double>{0});
  CHECK(fetched(idle).values == std::vector<std::int32_t>{7, 1, 1, 0});
  batch_with_norm(1);
  CHECK(fetched(revived).values == std::vector<double>{2});
  CHECK(fetched(idle).values == std::vector<std::int32_t>{0, 0, 0, 0});
  CHECK(fetched(codes).values == std::vector<double>{1, 1, 12, 13, 14, 15, 4, 4});  // of equal errors, the first row
  CHECK(fetched(first).values == std::vector<double>{5, 5, 0, 0, 0, 0, 5, 5});
  CHECK(fetched(second).values == std::vector<double>{6, 6, 0, 0, 0, 0, 6, 6});
}

TEST_CASE_TEMPLATE("revive_codes: equals the reference", S, MQL4GREC_TEST_FAST_SETTINGS) {
  using T = typename S::scalar;
  typename S::backend fast;
  reference::backend exact;
  for (index_t rows : {1, 2, 300})
    for (index_t k : {1, 255, 600})
      for (index_t most_idle : {1, 2, 9}) {
        auto const expected = revived_codes<T>(exact, rows, k, most_idle),
                   actual = revived_codes<T>(fast, rows, k, most_idle);
        for (auto const part : {&codes_after::vectors, &codes_after::first_moments, &codes_after::second_moments,
                                &codes_after::idle, &codes_after::revived})
          CHECK_CLOSE(actual.*part, expected.*part, 0);
      }
}
