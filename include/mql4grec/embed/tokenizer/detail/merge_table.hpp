#pragma once
// The merges of a byte-pair encoding, by the two tokens that are merged.
#include <bit>
#include <cstdint>
#include <vector>

#include "mql4grec/core/ids.hpp"

namespace mql4grec::embed::detail {

/// A hash table with linear probing: a lookup for each two neighbours of a text is what a byte-pair encoding spends its
/// time on, and this one touches one cache line where std::unordered_map touches three.
class merge_table {
 public:
  /// What becomes of two tokens.
  struct merge {
    std::uint32_t rank = 0;  ///< lower ranks are applied first
    token_t result{};        ///< the token that replaces both
  };

  /// An empty table.
  merge_table() : merge_table(0) {}
  /// With room for `count` merges.
  explicit merge_table(std::size_t count) : entries_(std::bit_ceil(2 * count + 1)) {}

  /// Adds a merge of two tokens, not negative, or replaces it. No more than `count` different ones.
  void set(token_t left, token_t right, merge const& value) {
    auto const pair = key(left, right);
    auto at = first(pair);
    while (entries_[at].pair != pair && entries_[at].pair != empty) at = next(at);
    entries_[at] = {pair, value};
  }

  /// The merge of two tokens, or null.
  merge const* find(token_t left, token_t right) const {
    auto const pair = key(left, right);
    for (auto at = first(pair); entries_[at].pair != empty; at = next(at))
      if (entries_[at].pair == pair) return &entries_[at].value;
    return nullptr;
  }

 private:
  static constexpr std::uint64_t empty = ~std::uint64_t{0};
  struct entry {
    std::uint64_t pair = empty;
    merge value;
  };

  static std::uint64_t key(token_t left, token_t right) {
    return (std::uint64_t{static_cast<std::uint32_t>(left)} << 32) | static_cast<std::uint32_t>(right);
  }
  std::size_t first(std::uint64_t pair) const {
    pair = (pair ^ (pair >> 31)) * 0x9E3779B97F4A7C15u;
    return static_cast<std::size_t>(pair ^ (pair >> 29)) & (entries_.size() - 1);
  }
  std::size_t next(std::size_t at) const { return (at + 1) & (entries_.size() - 1); }

  std::vector<entry> entries_;  // a power of two, at most half full
};

}  // namespace mql4grec::embed::detail
