#pragma once
// The token sequences of items in one modality, which change while requests read them. A reader gets the sequence that
// an item had in its version: a change appends a row and links it to the item's previous one.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "mql4grec/core/reserved_array.hpp"
#include "mql4grec/language/token_table.hpp"

namespace mql4grec::search {

/// The sizes of live_tokens. Only address space is reserved.
struct live_tokens_capacity {
  index_t spare_rows = index_t{1} << 18;   ///< changes that fit before the table has to be rebuilt
  index_t spare_items = index_t{1} << 22;  ///< items beyond the largest number that has a sequence
};

/// A map from items and versions to sequences. One thread at a time calls set(); any number of threads call of()
/// meanwhile, for versions that have been published to them after the set() of these versions.
class live_tokens {
 public:
  /// The sequences of a table, in every version.
  explicit live_tokens(language::token_table const& table, live_tokens_capacity const& capacity = {})
      : live_tokens(table.kind(), table.levels(), table.present().empty() ? 0 : index(table.present().back()) + 1,
                    std::ssize(table.present()), capacity) {
    for (auto const item : table.present()) add_base(item, table.of(item));
  }
  /// The sequences that another map has in a version, with room for items 0 … items − 1. May be called while the other
  /// one is read and changed.
  live_tokens(live_tokens const& other, std::uint64_t version, index_t items, live_tokens_capacity const& capacity)
      : live_tokens(other.kind_, other.levels_, std::max(items, other.end()), other.count(version), capacity) {
    for (index_t i = 0; i < other.end(); ++i)
      if (auto const sequence = other.of(item_id(static_cast<std::int32_t>(i)), version); !sequence.empty())
        add_base(item_id(static_cast<std::int32_t>(i)), sequence);
  }

  /// The modality of the tokens.
  language::modality kind() const { return kind_; }
  /// The number of tokens per sequence.
  index_t levels() const { return levels_; }

  /// The sequence that the item has in a version, or an empty span. Valid as long as this object.
  std::span<token_t const> of(item_id item, std::uint64_t version) const {
    if (index(item) < 0 || index(item) >= latest_.capacity()) return {};
    auto row = std::atomic_ref(latest_[index(item)]).load(std::memory_order_acquire);
    while (row > base_ && changes_[row - base_].version > version) row = changes_[row - base_].previous;
    if (row == 0 || (row > base_ && !changes_[row - base_].present)) return {};
    return {tokens_.data() + static_cast<index_t>(row) * levels_, to_size(levels_)};
  }

  /// Whether a further change of this item fits the reserved memory.
  bool has_room(item_id item) const {
    return index(item) < latest_.capacity() && rows_ - base_ + 1 < changes_.capacity();
  }
  /// Gives the item a sequence, or none, from a version on. The versions of later calls must not be smaller.
  void set(item_id item, std::span<token_t const> sequence, std::uint64_t version) {
    expects(has_room(item), "live tokens: no room for item ", index(item));
    auto const latest = std::atomic_ref(latest_[index(item)]);
    auto const row = ++rows_;
    changes_[row - base_] = {version, latest.load(std::memory_order_relaxed), !sequence.empty()};
    std::ranges::copy(sequence, tokens_.data() + static_cast<index_t>(row) * levels_);
    latest.store(row, std::memory_order_release);
    if (index(item) >= end()) std::atomic_ref(end_).store(index(item) + 1, std::memory_order_relaxed);
  }

 private:
  using row_t = std::int32_t;  // 0: no row

  /// Of a row that was added by set().
  struct change {
    std::uint64_t version;  // the first version that contains the row
    row_t previous;         // the item's row in earlier versions
    bool present;           // false: the item has no sequence
  };

  live_tokens(language::modality kind, index_t levels, index_t items, index_t present,
              live_tokens_capacity const& capacity)
      : kind_(kind), levels_(levels), base_(static_cast<row_t>(present)), rows_(0) {
    constexpr index_t limit = std::numeric_limits<row_t>::max();
    index_t const rows = std::min(limit, present + capacity.spare_rows + 2);
    latest_ = reserved_array<row_t>(std::min(limit, items + capacity.spare_items));
    tokens_ = reserved_array<token_t>(rows * levels);
    changes_ = reserved_array<change>(rows - present);
  }
  void add_base(item_id item, std::span<token_t const> sequence) {
    std::ranges::copy(sequence, tokens_.data() + static_cast<index_t>(++rows_) * levels_);
    latest_[index(item)] = rows_;
    end_ = std::max<index_t>(end_, index(item) + 1);
  }
  index_t end() const { return std::atomic_ref(end_).load(std::memory_order_relaxed); }
  index_t count(std::uint64_t version) const {
    index_t present = 0;
    for (index_t i = 0; i < end(); ++i) present += of(item_id(static_cast<std::int32_t>(i)), version).empty() ? 0 : 1;
    return present;
  }

  language::modality kind_;
  index_t levels_;
  mutable index_t end_ = 0;         // one more than the largest item that ever had a row; atomic while others read
  row_t base_, rows_;               // rows 1 … base_ are in every version
  reserved_array<row_t> latest_;    // (items): the newest row; atomic while others read
  reserved_array<token_t> tokens_;  // (rows, levels)
  reserved_array<change> changes_;  // of the rows from base_ + 1 on
};

}  // namespace mql4grec::search
