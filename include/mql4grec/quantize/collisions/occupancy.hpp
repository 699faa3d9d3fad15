#pragma once
// The set of sequences in use. The keys of the catalog are kept in one sorted array. A prefix that is queried gets a
// bit per code of the last level, so memory grows with the number of queried prefixes, not with the number of possible
// ones.
#include <unordered_map>

#include "mql4grec/quantize/collisions/sequence_key.hpp"

namespace mql4grec::quantize::detail {

/// The sequences in use, queried by prefix. Not thread safe: queries cache the codes of their prefix.
class occupancy {
 public:
  /// All sequences of the table are in use; `order` contains its items in the order of their keys.
  occupancy(code_table const& table, std::span<keyed_item const> order) : packing_(table.sizes()) {
    for_each_sequence(order, [&](std::span<keyed_item const> same) { keys_.push_back(same.front().key); });
  }

  key_packing const& packing() const { return packing_; }

  /// The number of free codes of the last level for a prefix.
  index_t free_codes(sequence_key prefix) { return last_codes(prefix).free; }
  /// Whether a code of the last level is free for a prefix.
  bool is_free(sequence_key prefix, index_t code) {
    return !(last_codes(prefix).taken[to_size(code / 64)] >> (code % 64) & 1);
  }
  /// Marks a free code as used.
  void take(sequence_key prefix, index_t code) { flip(prefix, code, -1); }
  /// Marks a used code as free.
  void release(sequence_key prefix, index_t code) { flip(prefix, code, +1); }

 private:
  /// The codes of the last level for one prefix.
  struct prefix_codes {
    std::vector<std::uint64_t> taken;  // one bit per code
    index_t free;
  };

  prefix_codes& last_codes(sequence_key prefix) {
    auto const [found, is_new] = prefixes_.try_emplace(prefix);
    if (is_new) {
      index_t const k = packing_.size(packing_.levels() - 1);
      found->second = {std::vector<std::uint64_t>(to_size((k + 63) / 64)), k};
      auto next = std::ranges::lower_bound(keys_, packing_.append(prefix, packing_.levels() - 1, code_t{0}));
      for (; next != keys_.end() && packing_.prefix(*next) == prefix; ++next) {
        auto const code = index(packing_.last(*next));
        found->second.taken[to_size(code / 64)] |= std::uint64_t{1} << (code % 64);
        --found->second.free;
      }
    }
    return found->second;
  }
  void flip(sequence_key prefix, index_t code, index_t more) {
    auto& codes = last_codes(prefix);
    codes.taken[to_size(code / 64)] ^= std::uint64_t{1} << (code % 64);
    codes.free += more;
  }

  key_packing packing_;
  std::vector<sequence_key> keys_;  // sorted, each once
  std::unordered_map<sequence_key, prefix_codes, key_hash> prefixes_;
};

}  // namespace mql4grec::quantize::detail
