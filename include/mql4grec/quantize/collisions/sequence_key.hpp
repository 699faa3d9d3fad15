#pragma once
// Sequences of codes packed into one number. Numbers compare like the sequences.
#include <bit>
#include <span>
#include <vector>

#include "mql4grec/quantize/codebook/code_table.hpp"

namespace mql4grec::quantize::detail {

/// A packed sequence, or a packed prefix of one.
__extension__ typedef unsigned __int128 sequence_key;

/// The layout of a key: the first level has the most significant bits. Throws error when the codes need more than 128
/// bits.
class key_packing {
 public:
  explicit key_packing(std::vector<index_t> const& sizes) : sizes_(sizes) {
    int sum = 0;
    for (auto const k : sizes) {
      bits_.push_back(static_cast<int>(std::bit_width(static_cast<std::uint64_t>(k - 1))));
      sum += bits_.back();
    }
    expects(sum <= 128, "codes of all levels take ", sum, " bits together, expected at most 128");
  }

  index_t levels() const { return std::ssize(sizes_); }
  index_t size(index_t level) const { return sizes_[to_size(level)]; }
  /// Packs codes of the first levels; the codes of all levels give an item's key.
  sequence_key pack(std::span<code_t const> codes) const {
    sequence_key key = 0;
    for (std::size_t l = 0; l < codes.size(); ++l) key = append(key, static_cast<index_t>(l), codes[l]);
    return key;
  }
  /// The codes of a prefix of all levels but the last.
  std::vector<code_t> prefix_codes(sequence_key prefix) const {
    std::vector<code_t> codes(sizes_.size() - 1);
    for (auto l = codes.size(); l-- > 0; prefix >>= bits_[l])
      codes[l] = code_t(static_cast<std::int32_t>(prefix & ((sequence_key{1} << bits_[l]) - 1)));
    return codes;
  }
  /// The key of all codes of a sequence but the last.
  sequence_key prefix_of(std::span<code_t const> sequence) const { return pack(sequence.first(sequence.size() - 1)); }
  /// The key of a prefix with one more code.
  sequence_key append(sequence_key prefix, index_t level, code_t code) const {
    return prefix << bits_[to_size(level)] | static_cast<sequence_key>(index(code));
  }
  /// The code of the last level in an item's key.
  code_t last(sequence_key key) const {
    return code_t(static_cast<std::int32_t>(key & ((sequence_key{1} << bits_.back()) - 1)));
  }
  /// The key of all codes but the last in an item's key.
  sequence_key prefix(sequence_key key) const { return key >> bits_.back(); }

 private:
  std::vector<index_t> sizes_;
  std::vector<int> bits_;
};

struct key_hash {
  std::size_t operator()(sequence_key key) const {
    std::uint64_t x = static_cast<std::uint64_t>(key) ^ (static_cast<std::uint64_t>(key >> 64) * 0x9E3779B97F4A7C15u);
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;  // SplitMix64's finaliser, so that neighbouring keys don't collide
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return static_cast<std::size_t>(x ^ (x >> 31));
  }
};

/// An item and the key of its sequence.
struct keyed_item {
  sequence_key key;
  item_id item;
};
/// Orders items by key, then by item.
void sort_by_key(std::vector<keyed_item>& items);
/// All items that have a sequence, ordered by key, then by item.
[[nodiscard]] std::vector<keyed_item> items_by_key(code_table const& table);

/// Calls visit(span of the items of one key) for every key, in order.
template <class Visit>
void for_each_sequence(std::span<keyed_item const> order, Visit&& visit) {
  for (std::size_t begin = 0, end = 0; begin < order.size(); begin = end) {
    while (end < order.size() && order[end].key == order[begin].key) ++end;
    visit(order.subspan(begin, end - begin));
  }
}

}  // namespace mql4grec::quantize::detail

#if !MQL4GREC_COMPILED
#include "mql4grec/quantize/collisions/sequence_key.inl.hpp"
#endif
