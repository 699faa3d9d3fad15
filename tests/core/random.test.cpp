#include "mql4grec/core/random.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <vector>

using namespace mql4grec;

namespace {
constexpr philox_counter zeros = {0, 0, 0, 0}, ones = {~0u, ~0u, ~0u, ~0u},
                         pi = {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344};
constexpr philox_key zero_key = {0, 0}, one_key = {~0u, ~0u}, pi_key = {0xa4093822, 0x299f31d0};
}  // namespace

// Known answers from the file kat_vectors of Random123.
TEST_CASE("philox: ten rounds give the authors' known answers") {
  CHECK(philox(zeros, zero_key) == philox_counter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox(ones, one_key) == philox_counter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox(pi, pi_key) == philox_counter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("philox: seven rounds give the authors' known answers") {
  CHECK(philox<7>(zeros, zero_key) == philox_counter{0x5f6fb709, 0x0d893f64, 0x4f121f81, 0x4f730a48});
  CHECK(philox<7>(ones, one_key) == philox_counter{0x5207ddc2, 0x45165e59, 0x4d8ee751, 0x8c52f662});
  CHECK(philox<7>(pi, pi_key) == philox_counter{0x4dfccaba, 0x190a87f0, 0xc47362ba, 0xb6b5242a});
}

TEST_CASE("philox: is a constant expression") {
  static_assert(philox(zeros, zero_key)[0] == 0x6627e8d5);
  static_assert(key_of(0x0123456789abcdefu) == philox_key{0x89abcdef, 0x01234567});
}

TEST_CASE("random_stream: its numbers are philox's blocks at counters (0, stream), (1, stream) …") {
  std::uint64_t const seed = 0x1122334455667788u, stream = 0x99aabbccddeeff00u;
  random_stream random(seed, stream);
  for (std::uint32_t block = 0; block < 3; ++block)
    for (std::uint32_t const word : philox({block, 0, 0xddeeff00u, 0x99aabbccu}, key_of(seed)))
      CHECK(random.bits() == word);
}

TEST_CASE("random_stream: the sequence is determined by seed and stream") {
  auto const head = [](std::uint64_t seed, std::uint64_t stream) {
    random_stream random(seed, stream);
    std::vector<std::uint32_t> words(64);
    std::ranges::generate(words, [&] { return random.bits(); });
    return words;
  };
  CHECK(head(1, 2) == head(1, 2));
  CHECK(head(1, 2) != head(2, 2));
  CHECK(head(1, 2) != head(1, 3));
  CHECK(head(1, 2) != head(1, 2 + (std::uint64_t{1} << 32)));
}

TEST_CASE("random_stream: uniform numbers lie in [0, 1) with mean 1/2 and variance 1/12") {
  random_stream random(3, 0);
  double sum = 0, squares = 0;
  int const n = 100'000;
  for (int i = 0; i < n; ++i) {
    double const x = random.uniform();
    REQUIRE(x >= 0);
    REQUIRE(x < 1);
    sum += x;
    squares += x * x;
  }
  CHECK(std::abs(sum / n - 0.5) < 5 * std::sqrt(1.0 / 12 / n));
  CHECK(std::abs(squares / n - 1.0 / 3) < 5 * std::sqrt(4.0 / 45 / n));
}

TEST_CASE("random_stream: below(n) is uniform over 0 … n − 1") {
  for (index_t const n : {1, 2, 7, 1000}) {
    random_stream random(4, static_cast<std::uint64_t>(n));
    std::vector<index_t> hits(static_cast<std::size_t>(n));
    for (index_t i = 0; i < 1000 * n; ++i) ++hits.at(static_cast<std::size_t>(random.below(n)));
    auto const [least, most] = std::ranges::minmax(hits);
    CHECK(least > 800);  // six standard deviations
    CHECK(most < 1200);
  }
}

TEST_CASE("random_stream: below(n) reaches all of a range beyond 32 bits") {
  for (index_t const n : {index_t{3} << 29, index_t{3} << 36}) {
    random_stream random(5, 9);
    index_t thirds[3] = {}, odd = 0;
    for (int i = 0; i < 30000; ++i) {
      auto const drawn = random.below(n);
      REQUIRE(drawn >= 0);
      REQUIRE(drawn < n);
      ++thirds[drawn / (n / 3)];
      odd += drawn % 2;
    }
    for (auto const count : thirds) CHECK(std::abs(count - 10000) < 400);  // five standard deviations
    CHECK(std::abs(odd - 15000) < 450);
  }
}

TEST_CASE("random_stream: normal numbers are finite, with mean 0, variance 1 and fourth moment 3") {
  random_stream random(5, 0);
  double sum = 0, squares = 0, fourth = 0;
  int const n = 200'000;
  for (int i = 0; i < n; ++i) {
    double const x = random.normal();
    REQUIRE(std::isfinite(x));
    sum += x;
    squares += x * x;
    fourth += x * x * x * x;
  }
  CHECK(std::abs(sum / n) < 5 / std::sqrt(n));
  CHECK(std::abs(squares / n - 1) < 5 * std::sqrt(2.0 / n));
  CHECK(std::abs(fourth / n - 3) < 5 * std::sqrt(96.0 / n));
}

TEST_CASE("shuffle: a permutation determined by the stream") {
  std::vector<int> first(50), second(50), other(50);
  for (auto* v : {&first, &second, &other}) std::iota(v->begin(), v->end(), 0);
  shuffle(std::span<int>(first), random_stream(6, 0));
  shuffle(std::span<int>(second), random_stream(6, 0));
  shuffle(std::span<int>(other), random_stream(6, 1));
  CHECK(first == second);
  CHECK(first != other);
  std::ranges::sort(first);
  for (int i = 0; i < 50; ++i) CHECK(first[static_cast<std::size_t>(i)] == i);
}

TEST_CASE("shuffle: every order of three is equally likely") {
  std::vector<int> counts(27);
  for (std::uint64_t seed = 0; seed < 6000; ++seed) {
    std::vector<int> v = {0, 1, 2};
    shuffle(std::span<int>(v), random_stream(seed, 0));
    ++counts[static_cast<std::size_t>(9 * v[0] + 3 * v[1] + v[2])];
  }
  CHECK(std::ranges::count(counts, 0) == 21);
  for (int const count : counts)
    if (count > 0) CHECK(std::abs(count - 1000) < 180);
}

TEST_CASE("shuffle: zero and one entries are unchanged") {
  std::vector<int> none, one = {7};
  shuffle(std::span<int>(none), random_stream(1, 1));
  shuffle(std::span<int>(one), random_stream(1, 1));
  CHECK(one == std::vector<int>{7});
}

TEST_CASE("epoch_order: every epoch has its own permutation, determined by seed and epoch") {
  auto const first = epoch_order(1000, 42, 0);
  CHECK(std::set(first.begin(), first.end()).size() == 1000);
  CHECK(*std::ranges::max_element(first) == 999);
  CHECK(first == epoch_order(1000, 42, 0));
  CHECK(first != epoch_order(1000, 42, 1));
  CHECK(first != epoch_order(1000, 43, 0));
  CHECK(epoch_order(0, 1, 1).empty());
  CHECK(epoch_order(1, 1, 1) == std::vector<index_t>{0});
}
