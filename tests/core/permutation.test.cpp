#include "mql4grec/core/permutation.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <string>
#include <vector>

using namespace mql4grec;

namespace {

std::vector<index_t> entries(keyed_permutation const& order) {
  std::vector<index_t> all;
  for (index_t i = 0; i < order.size(); ++i) all.push_back(order[i]);
  return all;
}

bool is_permutation_of_all(std::vector<index_t> numbers) {
  std::ranges::sort(numbers);
  for (std::size_t i = 0; i < numbers.size(); ++i)
    if (numbers[i] != static_cast<index_t>(i)) return false;
  return true;
}

}  // namespace

TEST_CASE("keyed_permutation: every number occurs once, for all small sizes and around powers of two") {
  for (index_t n = 0; n < 300; ++n) CHECK(is_permutation_of_all(entries({n, 7, 3})));
  for (index_t const n : {1023, 1024, 1025, 65535, 65536, 65537, 100'000})
    for (std::uint64_t const seed : {0u, 1u, 99u}) CHECK(is_permutation_of_all(entries({n, seed, 0})));
}

TEST_CASE("keyed_permutation: a function of size, seed and stream; entries don't depend on the order of reading") {
  keyed_permutation const order(1'000'000'007, 42, 5), same(1'000'000'007, 42, 5);
  keyed_permutation const other_seed(1'000'000'007, 43, 5), other_stream(1'000'000'007, 42, 6);
  int equal = 0;
  for (index_t i = 999; i >= 0; --i) {
    CHECK(order[i] == same[i]);
    CHECK((order[i] >= 0 && order[i] < order.size()));
    equal += (order[i] == other_seed[i]) + (order[i] == other_stream[i]);
  }
  CHECK(equal == 0);
  // A resumed run of another version of the library must read the same examples.
  CHECK(std::vector{order[0], order[1], order[1'000'000'006]} == std::vector<index_t>{938981189, 563325307, 16378836});
  CHECK_THROWS_AS(keyed_permutation(-1, 0, 0), error);
}

TEST_CASE("keyed_permutation: sizes beyond 32 bits are distinct and within range") {
  keyed_permutation const order(index_t{5} << 40, 1, 2);
  std::set<index_t> seen;
  for (index_t i = 0; i < 10'000; ++i) {
    CHECK((order[i] >= 0 && order[i] < order.size()));
    seen.insert(order[i]);
  }
  CHECK(seen.size() == 10'000);
}

TEST_CASE("keyed_permutation: positions, differences of neighbours and inversions are those of random orders") {
  constexpr index_t n = 100'000;
  auto const all = entries({n, 12, 0});
  // Numbers of ten parts of the range in ten parts of the positions: chi-square with 81 degrees of freedom.
  double cells[10][10] = {};
  for (index_t i = 0; i < n; ++i) ++cells[i * 10 / n][all[to_size(i)] * 10 / n];
  double chi_square = 0;
  for (auto const& row : cells)
    for (double const cell : row) chi_square += (cell - n / 100.0) * (cell - n / 100.0) / (n / 100.0);
  CHECK(std::abs(chi_square - 81) < 5 * std::sqrt(2.0 * 81));
  // The mean distance of neighbours is n / 3, with a standard deviation of about n / sqrt(18 n).
  double distance = 0;
  for (index_t i = 1; i < n; ++i) distance += std::abs(static_cast<double>(all[to_size(i)] - all[to_size(i - 1)]));
  CHECK(std::abs(distance / n - n / 3.0) < 6 * n / std::sqrt(18.0 * n));
  // Half of all pairs at a distance of 1 … 16 are inversions.
  for (index_t d = 1; d <= 16; d *= 2) {
    double inversions = 0;
    for (index_t i = d; i < n; ++i) inversions += all[to_size(i)] < all[to_size(i - d)] ? 1 : 0;
    CHECK(std::abs(inversions / n - 0.5) < 6 * 0.5 / std::sqrt(static_cast<double>(n)));
  }
}

TEST_CASE("keyed_permutation: where a number stands is uniform over seeds") {
  constexpr index_t n = 1000;
  constexpr int seeds = 50'000;
  std::vector<double> counts(n, 0);
  for (int seed = 0; seed < seeds; ++seed)
    ++counts[to_size(keyed_permutation(n, static_cast<std::uint64_t>(seed), 0)[123])];
  double chi_square = 0;
  for (double const count : counts) chi_square += (count - 50) * (count - 50) / 50;
  CHECK(std::abs(chi_square - (n - 1)) < 5 * std::sqrt(2.0 * (n - 1)));
}

TEST_CASE("example_order: the stored order of few examples, a computed one of many; each epoch has its own") {
  example_order const few(1000, 42, 3);
  auto const stored = epoch_order(1000, 42, 3);
  for (index_t i = 0; i < 1000; ++i) CHECK(few[i] == stored[to_size(i)]);
  example_order const many(1000, 42, 3, 999), next(1000, 42, 4, 999);
  std::vector<index_t> all;
  int equal = 0;
  for (index_t i = 0; i < many.size(); ++i) {
    all.push_back(many[i]);
    equal += many[i] == next[i] ? 1 : 0;
  }
  CHECK(all != stored);
  CHECK(is_permutation_of_all(all));
  CHECK(equal < 20);
  CHECK(example_order().size() == 0);
}
