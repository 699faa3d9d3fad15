#pragma once
// Counter-based random numbers (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): a number is a
// pure function of (key, counter). Host and device, one or many threads and any launch shape give the same numbers;
// resuming a run needs only the key and a step number.
#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "mql4grec/core/macros.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec {
inline namespace core {

/// The counter of Philox4x32, and its result.
using philox_counter = std::array<std::uint32_t, 4>;
/// The key of Philox4x32.
using philox_key = std::array<std::uint32_t, 2>;

/// Philox4x32 with a number of rounds: 10 is the authors' default, 7 the fewest that pass BigCrush.
template <int Rounds = 10>
MQL4GREC_HD MQL4GREC_INLINE constexpr philox_counter philox(philox_counter c, philox_key k) {
  for (int round = 0; round < Rounds; ++round) {
    std::uint64_t const p0 = std::uint64_t{0xD2511F53u} * c[0];
    std::uint64_t const p1 = std::uint64_t{0xCD9E8D57u} * c[2];
    c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ k[0], static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ k[1], static_cast<std::uint32_t>(p0)};
    k[0] += 0x9E3779B9u;
    k[1] += 0xBB67AE85u;
  }
  return c;
}

/// A key from a 64-bit seed.
constexpr philox_key key_of(std::uint64_t seed) {
  return {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)};
}

/// A sequence of random numbers. `seed` identifies the run, `stream` the purpose; different streams are independent.
class random_stream {
 public:
  /// Starts at the beginning of the stream.
  random_stream(std::uint64_t seed, std::uint64_t stream) : key_(key_of(seed)), stream_(key_of(stream)) {}

  /// The next 32 uniform bits.
  std::uint32_t bits() {
    if (position_ % 4 == 0) {
      std::uint64_t const block = position_ / 4;
      words_ = philox(
          {static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32), stream_[0], stream_[1]}, key_);
    }
    return words_[position_++ % 4];
  }
  /// Uniform in [0, 1), in multiples of 2⁻³².
  double uniform() { return static_cast<double>(bits()) * 0x1p-32; }
  /// Uniform integer in [0, n), n ≥ 1: the high word of a product with 32 random bits, or with 64 for n > 2²⁴.
  /// Probabilities differ by at most n / 2³² or n / 2⁶⁴ of their value.
  index_t below(index_t n) {
    std::uint64_t const high = bits();
    if (n <= index_t{1} << 24) return static_cast<index_t>((high * static_cast<std::uint64_t>(n)) >> 32);
    __extension__ using wide = unsigned __int128;
    return static_cast<index_t>((wide{high << 32 | bits()} * static_cast<std::uint64_t>(n)) >> 64);
  }
  /// Normal with mean 0 and variance 1 (Box–Muller; one number of the pair is used).
  double normal() {
    double const radius = std::sqrt(-2.0 * std::log((static_cast<double>(bits()) + 1.0) * 0x1p-32));
    return radius * std::cos(2.0 * std::numbers::pi * uniform());
  }

 private:
  philox_key key_, stream_;
  std::uint64_t position_ = 0;
  philox_counter words_{};
};

/// Shuffles entries (Fisher–Yates). The order depends only on the stream, not on the standard library.
template <class T>
void shuffle(std::span<T> entries, random_stream random) {
  for (std::size_t n = entries.size(); n > 1; --n)
    std::swap(entries[n - 1], entries[to_size(random.below(static_cast<index_t>(n)))]);
}

/// The numbers 0 … n − 1 in the order of one epoch, a function of (seed, epoch) only.
inline std::vector<index_t> epoch_order(index_t n, std::uint64_t seed, std::uint64_t epoch) {
  std::vector<index_t> order(to_size(n));
  std::iota(order.begin(), order.end(), index_t{0});
  shuffle(std::span(order), random_stream(seed, 0x6f72646572u ^ (epoch << 40)));
  return order;
}

}  // namespace core
}  // namespace mql4grec
