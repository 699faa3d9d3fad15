#pragma once
// A sequence of codes as one number whose order is that of the sequences.
#include <bit>
#include <span>
#include <vector>

#include "mql4grec/quantize/codebook/code_table.hpp"

namespace mql4grec::detail {

__extension__ typedef unsigned __int128 sequence_key;

/// How codes are packed: the first level stands highest.
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
  index_t size(index_t level) const { return sizes_[static_cast<std::size_t>(level)]; }
  /// The first so many codes; all of them is the item's key.
  sequence_key pack(std::span<code_t const> codes) const {
    sequence_key key = 0;
    for (std::size_t l = 0; l < codes.size(); ++l) key = append(key, static_cast<index_t>(l), codes[l]);
    return key;
  }
  /// The key of all codes of a whole sequence but the last.
  sequence_key prefix_of(std::span<code_t const> sequence) const { return pack(sequence.first(sequence.size() - 1)); }
  sequence_key append(sequence_key prefix, index_t level, code_t code) const {
    return prefix << bits_[static_cast<std::size_t>(level)] | static_cast<sequence_key>(index(code));
  }
  /// The code of the last level, and the key of what stands before it.
  code_t last(sequence_key key) const {
    return code_t(static_cast<std::int32_t>(key & ((sequence_key{1} << bits_.back()) - 1)));
  }
  sequence_key prefix(sequence_key key) const { return key >> bits_.back(); }

 private:
  std::vector<index_t> sizes_;
  std::vector<int> bits_;
};

struct key_hash {
  std::size_t operator()(sequence_key key) const {
    std::uint64_t x = static_cast<std::uint64_t>(key) ^ (static_cast<std::uint64_t>(key >> 64) * 0x9E3779B97F4A7C15u);
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;  // the finaliser of SplitMix64: neighbours must not meet
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return static_cast<std::size_t>(x ^ (x >> 31));
  }
};

/// Every item that has a sequence, in the order of keys, of equal ones in that of items.
struct keyed_item {
  sequence_key key;
  item_id item;
};
std::vector<keyed_item> items_by_key(code_table const& table);

/// visit(span of the items of one sequence) for every sequence, in order.
template <class Visit>
void for_each_sequence(std::span<keyed_item const> order, Visit&& visit) {
  for (std::size_t begin = 0, end = 0; begin < order.size(); begin = end) {
    while (end < order.size() && order[end].key == order[begin].key) ++end;
    visit(order.subspan(begin, end - begin));
  }
}

}  // namespace mql4grec::detail

#if !MQL4GREC_COMPILED
#include "mql4grec/quantize/collisions/sequence_key.inl.hpp"
#endif
