#include <filesystem>

#include "mql4grec/backend/cpu/sinkhorn.hpp"
#include "mql4grec/core/safetensors.hpp"
#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/instruction_sets.hpp"
#include "support/sizes.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
constexpr sinkhorn_order both_orders[] = {sinkhorn_order::codes_last, sinkhorn_order::samples_last};

struct how_to {
  double epsilon = 0.003;
  int rounds = 50;
  sinkhorn_order order = sinkhorn_order::codes_last;
};

template <class T, Backend B>
std::vector<index_t> assigned(B& b, matrix<T> const& distances, how_to how = {}, index_t gap = 0) {
  tensor_on<code_t, B, 1> codes(b, {distances.rows(), 1}, 0, code_t{-7});
  sinkhorn_assign<T>(b, on(b, distances, gap), {how.epsilon, how.rounds, how.order}, codes);
  std::vector<index_t> all;
  for (auto const code : fetched(codes).values) all.push_back(index(code));
  return all;
}

template <class T>
std::vector<index_t> nearest(matrix<T> const& distances) {
  reference::backend b;
  return assigned(b, distances, {.rounds = 0});
}

std::vector<index_t> counts(std::vector<index_t> const& codes, index_t k) {
  std::vector<index_t> all(static_cast<std::size_t>(k));
  for (auto const code : codes) ++all[static_cast<std::size_t>(code)];
  return all;
}

/// Squared distances of random rows to random vectors, most of which are near to few rows.
template <class T>
matrix<T> uneven_distances(index_t n, index_t k, std::uint64_t seed) {
  reference::backend b;
  auto vectors = random_normal<T>({k, 3}, seed);
  for (index_t i = 0; i < vectors.extent.size(); ++i) vectors.values[static_cast<std::size_t>(i)] += T(i % 5 == 0);
  auto distances = poisoned<T>(b, {n, k});
  squared_distances<T>(b, on(b, random_normal<T>({n, 3}, seed + 1)), on(b, vectors), distances);
  auto const all = as_span((*distances).flat());
  return {{n, k}, std::vector<T>(all.begin(), all.end())};
}
}  // namespace

TEST_CASE_TEMPLATE("sinkhorn_assign: rows that prefer the same code are distributed evenly at the least cost", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  for (auto const order : both_orders) {
    auto const codes =
        assigned<float>(b, {{0.f, 0.31f}, {0.f, 0.8f}, {0.f, 0.12f}, {0.f, 0.7f}, {0.f, 1.f}, {0.f, 0.23f}},
                        {.epsilon = 0.01, .rounds = 200, .order = order});
    CHECK(codes == std::vector<index_t>{1, 0, 1, 0, 0, 1});
  }
}

TEST_CASE_TEMPLATE("sinkhorn_assign: rows that are already balanced keep their nearest codes", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  matrix<float> const distances{{0.1f, 0.9f, 0.8f}, {0.7f, 0.2f, 0.6f}, {0.8f, 0.9f, 0.1f},
                                {0.6f, 0.1f, 0.9f}, {0.3f, 0.7f, 0.9f}, {1, 1, 0}};
  for (auto const order : both_orders) CHECK(assigned(b, distances, {.order = order}) == nearest(distances));
}

TEST_CASE_TEMPLATE("sinkhorn_assign: uses the codes more evenly than the nearest codes do", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const distances = uneven_distances<float>(160, 16, 1);
  auto const even = counts(assigned(b, distances), 16), uneven = counts(nearest(distances), 16);
  CHECK(*std::max_element(uneven.begin(), uneven.end()) > 25);
  CHECK(*std::max_element(even.begin(), even.end()) < 15);
  CHECK(*std::min_element(even.begin(), even.end()) > 3);
}

TEST_CASE_TEMPLATE("sinkhorn_assign: without iterations it is the nearest code, with ties to the first", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  for_each_instruction_set([&] {
    CHECK(assigned<float>(b, {{3, 1, 1}, {2, 2, 2}, {0, 5, 0}}, {.rounds = 0}) == std::vector<index_t>{1, 0, 0});
    CHECK(assigned<float>(b, constant({4, 5}, 0.f)) == std::vector<index_t>(4, 0));
    CHECK(assigned<float>(b, constant({4, 1}, 7.f)) == std::vector<index_t>(4, 0));
  });
}

TEST_CASE_TEMPLATE("sinkhorn_assign: a row that alone uses several codes gets the nearest of them, despite rounding", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  for_each_instruction_set([&] {
    for (auto const order : both_orders) {
      auto const distances = uneven_distances<float>(1, 33, 2);
      CHECK(assigned(b, distances, {.order = order}) == nearest(distances));
      CHECK(assigned<float>(b, {{0, 9, 9, 9}, {9, 3, 1, 2}}, {.order = order}) == std::vector<index_t>{0, 2});
    }
  });
}

TEST_CASE_TEMPLATE("sinkhorn_assign: scaled or shifted distances give the same codes", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const distances = uneven_distances<double>(60, 9, 3);
  auto moved = distances;
  for (double& d : moved.values) d = 8 * d + 100;
  for (auto const order : both_orders)
    CHECK(assigned(b, moved, {.order = order}) == assigned(b, distances, {.order = order}));
}

TEST_CASE_TEMPLATE("sinkhorn_assign: with ε = 0.003 no mass underflows", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  // Rows 0 and 1 are at the two ends of [−1, 1], a factor of e^−667 apart; their preferences between codes are much
  // smaller.
  matrix<double> const distances{{0.01, 0}, {1, 0.9999}, {0.02, 0}, {1, 0.9998}};
  for_each_instruction_set([&] {
    for (auto const order : both_orders)
      CHECK(assigned(b, distances, {.rounds = 1000, .order = order}) == std::vector<index_t>{1, 0, 1, 0});
  });
}

TEST_CASE_TEMPLATE(
    "sinkhorn_assign: a row whose mass underflows gets its nearest code, and a code whose mass underflows gets no row",
    B, MQL4GREC_TEST_BACKENDS) {
  B b;
  for_each_instruction_set([&] {
    for (auto const order : both_orders) {
      // Exponents of −6667 and less: in the first row only code 0 has mass, in the second no code has.
      CHECK(assigned<float>(b, {{0, 1, 3}, {3, 2, 2.5f}}, {.epsilon = 1e-4, .order = order}) ==
            std::vector<index_t>{0, 1});
      CHECK(assigned<float>(b, {{0, 1}, {0, 2}, {0, 3}}, {.epsilon = 1e-4, .order = order}) ==
            std::vector<index_t>{0, 0, 0});
    }
  });
}

TEST_CASE_TEMPLATE("sinkhorn_assign: with distances that aren't finite every row gets its nearest code", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  for (float const odd : {NAN, INFINITY})
    for_each_instruction_set([&] {
      for (auto const order : both_orders)
        CHECK(assigned<float>(b, {{1, 2, odd}, {odd, 1, 2}, {2, 1, 0}, {3, 1, 5}}, {.order = order})[3] == 1);
      CHECK(assigned<float>(b, {{odd, odd}, {1, 0}}) == std::vector<index_t>{0, 1});
    });
}

TEST_CASE("sinkhorn_plan: the last scaling of `order` is exact, and the other one after convergence") {
  reference::backend b;
  auto const distances = on(b, uneven_distances<double>(20, 6, 2));
  for (auto const order : both_orders)
    for (int const count : {1, 2000}) {
      auto plan = poisoned<double>(b, {20, 6});
      sinkhorn_plan<double>(b, distances, {0.05, count, order}, plan);
      std::vector<double> rows(20), codes(6);
      for (index_t i = 0; i < 20; ++i)
        for (index_t k = 0; k < 6; ++k) {
          rows[static_cast<std::size_t>(i)] += (*plan)(i, k);
          codes[static_cast<std::size_t>(k)] += (*plan)(i, k);
        }
      if (count > 1 || order == sinkhorn_order::samples_last) CHECK_CLOSE(rows, constant(20, 1 / 20.), 1e-12);
      if (count > 1 || order == sinkhorn_order::codes_last) CHECK_CLOSE(codes, constant(6, 1 / 6.), 1e-12);
    }
}

TEST_CASE_TEMPLATE("sinkhorn_assign: equals the reference at edge-case sizes, with every instruction set", S,
                   MQL4GREC_TEST_FAST_SETTINGS) {
  using T = typename S::scalar;
  typename S::backend fast;
  reference::backend exact;
  for (index_t n : {0, 1, 2, 3, 40, 129})
    for (index_t k : {1, 2, 7, 15, 16, 17, 33})
      for (double const e : {0.05, 0.003, 0.0002})
        for (auto const order : both_orders)
          for (int const count : {0, 1, 2, 50}) {
            auto const distances = uneven_distances<T>(n, k, 5);
            how_to const how{e, count, order};
            auto const expected = assigned(exact, distances, how);
            for_each_instruction_set([&] { CHECK(assigned(fast, distances, how, n % 2 ? 5 : 0) == expected); });
          }
}

TEST_CASE_TEMPLATE("sinkhorn_assign: equals the reference with more rows than a GPU's groups process at a time", S,
                   MQL4GREC_TEST_FAST_SETTINGS) {
  using T = typename S::scalar;
  typename S::backend fast;
  reference::backend exact;
  auto const distances = uneven_distances<T>(40'000, 3, 5);
  how_to const how{.epsilon = 0.05, .rounds = 3};
  CHECK(assigned(fast, distances, how) == assigned(exact, distances, how));
}

namespace {
/// Plans and codes computed by PyTorch; tests/golden/README.md describes how.
struct golden_plans {
  safetensors file{std::filesystem::path(MQL4GREC_TEST_GOLDEN_DIR) / "rqvae_sinkhorn" / "golden.safetensors"};

  matrix<float> table(std::string const& name) const {
    auto const& extents = file.info(name).shape;
    return {{extents[0], extents[1]}, file.values<float>(name)};
  }
  template <class Check>
  void for_each(Check&& check) const {
    for (std::string const e : {"0.003", "0.05"})
      for (auto const order : both_orders) {
        std::string const name = order == sinkhorn_order::codes_last ? "codes_last" : "samples_last";
        CAPTURE(name + " " + e);
        check(how_to{.epsilon = std::stod(e), .order = order}, table(name + ".plan." + e),
              file.values<std::int32_t>(name + ".codes." + e));
      }
  }
};
}  // namespace

TEST_CASE_TEMPLATE("sinkhorn_assign: equals the released code's and SwAV's iterations", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  golden_plans const golden;
  golden.for_each([&](how_to how, matrix<float> const&, std::vector<std::int32_t> const& codes) {
    CHECK_CLOSE(assigned(b, golden.table("distances"), how), codes, 0);
  });
}

TEST_CASE("sinkhorn_plan: equals the released code's and SwAV's iterations") {
  reference::backend b;
  golden_plans const golden;
  auto const distances = on(b, golden.table("distances"));
  golden.for_each([&](how_to how, matrix<float> const& expected, std::vector<std::int32_t> const&) {
    auto plan = poisoned<double>(b, expected.extents());
    sinkhorn_plan<float>(b, distances, {how.epsilon, how.rounds, how.order}, plan);
    for (double& mass : as_span((*plan).flat())) mass *= static_cast<double>(expected.rows());
    CHECK_CLOSE(plan, expected, 1e-6);
  });
}

TEST_CASE("exp_of_double: the relative error is at most 1e-15 in the range that the plan needs") {
  double worst = 0;
  for (double x = -708; x <= 700; x += 0.0137)
    worst = larger(worst, std::abs(cpu::detail::exp_of_double(x) / std::exp(x) - 1));
  CHECK(worst < 1e-15);
  CHECK(cpu::detail::exp_of_double(0) == 1);
  CHECK(std::isnan(cpu::detail::exp_of_double(NAN)));
}
