#pragma once
// Random orders of numbers that are too many for memory. A keyed permutation is computed entry by entry, so it can be
// read at any position by any number of readers: a resumed run continues with the same order without any state.
#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/random.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec {
inline namespace core {

/// A random permutation of 0 … n − 1 in a few bytes, a function of (n, seed, stream): a Feistel network over the bits
/// of the position whose round function is Philox, with cycle walking for n that aren't a power of two (Black and
/// Rogaway, "Ciphers with arbitrary finite domains", 2002). An entry takes about 0.1 µs. For n below a few hundred not
/// all permutations are possible; use shuffle() there. Const member functions may be called from several threads.
class keyed_permutation {
 public:
  /// Throws error when n is negative.
  keyed_permutation(index_t n, std::uint64_t seed, std::uint64_t stream) : size_(n), key_(key_of(seed)) {
    expects(n >= 0, "a permutation of ", n, " numbers");
    int const bits =
        std::max(2, static_cast<int>(std::bit_width(static_cast<std::uint64_t>(std::max<index_t>(n, 1) - 1))));
    low_bits_ = bits / 2;
    low_ = (std::uint64_t{1} << low_bits_) - 1;
    high_ = (std::uint64_t{1} << (bits - low_bits_)) - 1;
    stream_ = key_of(stream);
  }

  /// The number of entries.
  index_t size() const { return size_; }
  /// Entry i, 0 ≤ i < size().
  index_t operator[](index_t i) const {
    auto at = static_cast<std::uint64_t>(i);
    do at = network(at);
    while (at >= static_cast<std::uint64_t>(size_));  // at most every second entry of the network, on average
    return static_cast<index_t>(at);
  }

 private:
  /// A permutation of the numbers of high and low bits together.
  std::uint64_t network(std::uint64_t at) const {
    std::uint64_t low = at & low_, high = at >> low_bits_;
    for (std::uint32_t round = 0; round < 6; round += 2) {
      high ^= mixed(low, round) & high_;
      low ^= mixed(high, round + 1) & low_;
    }
    return high << low_bits_ | low;
  }
  /// Random bits of a half in a round. A half has at most 32 bits.
  std::uint32_t mixed(std::uint64_t half, std::uint32_t round) const {
    return philox<7>({static_cast<std::uint32_t>(half), round, stream_[0], stream_[1]}, key_)[0];
  }

  index_t size_;
  philox_key key_, stream_;
  int low_bits_;
  std::uint64_t low_, high_;  // masks of the halves
};

/// The order of the examples of one epoch, a function of (number of examples, seed, epoch). That of epoch_order(), in
/// memory, for up to `stored` examples; a keyed_permutation, in constant memory, for more. Const member functions may
/// be called from several threads.
class example_order {
 public:
  /// The number of examples up to which an order is stored: 128 MiB.
  static constexpr index_t most_stored = index_t{1} << 24;

  /// No examples.
  example_order() = default;
  /// Throws error when n is negative.
  example_order(index_t n, std::uint64_t seed, std::uint64_t epoch, index_t stored = most_stored)
      : computed_(n, seed, 0x6f72646572u ^ (epoch << 40)) {
    if (n <= stored) order_ = epoch_order(n, seed, epoch);
  }

  /// The number of examples.
  index_t size() const { return computed_.size(); }
  /// The example at position i of the epoch, 0 ≤ i < size().
  index_t operator[](index_t i) const { return order_.empty() ? computed_[i] : order_[to_size(i)]; }

 private:
  keyed_permutation computed_{0, 0, 0};
  std::vector<index_t> order_;  // empty: computed
};

}  // namespace core
}  // namespace mql4grec
