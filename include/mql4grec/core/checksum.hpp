#pragma once
// A checksum that detects damaged and incomplete data. Not for data that somebody wants to forge.
#include <cstdint>
#include <cstring>
#include <span>

#include "mql4grec/core/scalar.hpp"

namespace mql4grec {
inline namespace core {

/// The checksum of some bytes and their number; `seed` continues the checksum of earlier bytes. A change of a single
/// word of eight bytes always changes the result.
[[nodiscard]] inline std::uint64_t checksum(std::span<std::byte const> bytes, std::uint64_t seed = 0) {
  // Every step is a bijection of the sum so far: xor, a product with an odd number, and a shift that is xored.
  std::uint64_t sum = seed ^ (static_cast<std::uint64_t>(bytes.size()) * 0x9e3779b97f4a7c15u);
  auto const add = [&](std::uint64_t word) {
    sum = (sum ^ word) * 0xd6e8feb86659fd93u;
    sum ^= sum >> 32;
  };
  std::size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, 8);
    add(word);
  }
  std::uint64_t rest = 0;
  if (at < bytes.size()) std::memcpy(&rest, bytes.data() + at, bytes.size() - at);
  add(rest);
  return sum;
}

}  // namespace core
}  // namespace mql4grec
