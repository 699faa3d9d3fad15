#pragma once
// A checksum that detects damaged and incomplete data. Not for data that somebody wants to forge.
#include <cstdint>
#include <cstring>
#include <span>

#include "mql4grec/core/scalar.hpp"

namespace mql4grec {
inline namespace core {

/// The checksum of bytes that come in blocks, whose number is known before.
class block_checksum {
 public:
  /// `bytes`: the number of all bytes. `seed` continues the checksum of earlier bytes.
  explicit block_checksum(std::size_t bytes, std::uint64_t seed = 0)
      : sum_(seed ^ (static_cast<std::uint64_t>(bytes) * 0x9e3779b97f4a7c15u)) {}

  /// Adds the next bytes: a multiple of eight, except for the last ones.
  void add(std::span<std::byte const> bytes) {
    std::size_t at = 0;
    for (; at + 8 <= bytes.size(); at += 8) {
      std::uint64_t word = 0;
      std::memcpy(&word, bytes.data() + at, 8);
      add(word);
    }
    if (at < bytes.size()) std::memcpy(&rest_, bytes.data() + at, bytes.size() - at);
  }
  /// The checksum. Call it once, at the end.
  std::uint64_t sum() {
    add(rest_);
    return sum_;
  }

 private:
  // Every step is a bijection of the sum so far: xor, a product with an odd number, and a shift that is xored.
  void add(std::uint64_t word) {
    sum_ = (sum_ ^ word) * 0xd6e8feb86659fd93u;
    sum_ ^= sum_ >> 32;
  }
  std::uint64_t sum_, rest_ = 0;
};

/// The checksum of some bytes and their number; `seed` continues the checksum of earlier bytes. A change of a single
/// word of eight bytes always changes the result.
[[nodiscard]] inline std::uint64_t checksum(std::span<std::byte const> bytes, std::uint64_t seed = 0) {
  block_checksum all(bytes.size(), seed);
  all.add(bytes);
  return all.sum();
}

}  // namespace core
}  // namespace mql4grec
