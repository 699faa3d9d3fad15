#pragma once
// The token sequences of items in one modality, which change while requests read them: a table that never changes, in
// memory or in a mapped file, and the changes since. A reader gets the sequence that an item had in its version: a
// change appends a row and links it to the item's previous one.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <utility>

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
  explicit live_tokens(language::token_table table, live_tokens_capacity const& capacity = {})
      : live_tokens(std::make_shared<language::token_table const>(std::move(table)), 0, 0, capacity) {}
  /// The sequences that another map has in a version, with room for items 0 … items − 1. Shares the table, and keeps
  /// the newest change of each item only. May be called while the other one is read and changed.
  live_tokens(live_tokens const& other, std::uint64_t version, index_t items, live_tokens_capacity const& capacity)
      : live_tokens(other.base_, std::max(items, other.end()), other.rows(), capacity) {
    other.each_changed(version, [&](item_id item, std::span<token_t const> sequence) { set(item, sequence, 0); });
  }

  /// The modality of the tokens.
  language::modality kind() const { return base_->kind(); }
  /// The number of tokens per sequence.
  index_t levels() const { return base_->levels(); }

  /// The sequence that the item has in a version, or an empty span. Valid as long as this object.
  std::span<token_t const> of(item_id item, std::uint64_t version) const {
    if (index(item) < 0 || index(item) >= latest_.capacity()) return {};
    auto const row = row_of(item, version);
    if (row == 0) return base_->of(item);
    return changes_[row].present ? sequence_of(row) : std::span<token_t const>();
  }
  /// The sequence that the item has in the table.
  std::span<token_t const> base_of(item_id item) const { return base_->of(item); }
  /// One more than the largest item number of the table.
  index_t base_items() const { return base_->items(); }
  /// Calls visit(item, sequence) for each item whose sequence in a version differs from that of the table.
  template <class Visit>
  void each_changed(std::uint64_t version, Visit&& visit) const {
    for (row_t row = 1, last = rows(); row <= last; ++row) {
      auto const item = changes_[row].item;
      if (row_of(item, version) != row) continue;  // there is a newer one, or it is newer than the version
      auto const sequence = changes_[row].present ? sequence_of(row) : std::span<token_t const>();
      if (!std::ranges::equal(sequence, base_->of(item))) visit(item, sequence);
    }
  }

  /// Whether a further change of this item fits the reserved memory.
  bool has_room(item_id item) const { return index(item) < latest_.capacity() && rows_ + 1 < changes_.capacity(); }
  /// Gives the item a sequence, or none, from a version on. The versions of later calls must not be smaller.
  void set(item_id item, std::span<token_t const> sequence, std::uint64_t version) {
    expects(has_room(item), "live tokens: no room for item ", index(item));
    auto const latest = std::atomic_ref(latest_[index(item)]);
    auto const row = static_cast<row_t>(rows_ + 1);
    changes_[row] = {version, latest.load(std::memory_order_relaxed), item, !sequence.empty()};
    std::ranges::copy(sequence, tokens_.data() + static_cast<index_t>(row) * levels());
    latest.store(row, std::memory_order_release);
    std::atomic_ref(rows_).store(row, std::memory_order_release);
    if (index(item) >= end()) std::atomic_ref(end_).store(index(item) + 1, std::memory_order_relaxed);
  }

 private:
  using row_t = std::int32_t;  // 0: no row

  struct change {
    std::uint64_t version;  // the first version that contains the row
    row_t previous;         // the item's row in earlier versions
    item_id item;
    bool present;  // false: the item has no sequence
  };

  /// `rows`: changes that are repeated.
  live_tokens(std::shared_ptr<language::token_table const> base, index_t items, index_t rows,
              live_tokens_capacity const& capacity)
      : base_(std::move(base)) {
    constexpr index_t limit = std::numeric_limits<row_t>::max();
    if (auto const present = base_->present(); !present.empty()) end_ = index(present.back()) + 1;
    index_t const most = std::min(limit, rows + capacity.spare_rows + 2);
    latest_ = reserved_array<row_t>(std::min(limit, std::max(items, end_) + capacity.spare_items));
    tokens_ = reserved_array<token_t>(most * levels());
    changes_ = reserved_array<change>(most);
  }
  std::span<token_t const> sequence_of(row_t row) const {
    return {tokens_.data() + static_cast<index_t>(row) * levels(), to_size(levels())};
  }
  /// The item's newest row in a version.
  row_t row_of(item_id item, std::uint64_t version) const {
    auto row = std::atomic_ref(latest_[index(item)]).load(std::memory_order_acquire);
    while (row > 0 && changes_[row].version > version) row = changes_[row].previous;
    return row;
  }
  index_t end() const { return std::atomic_ref(end_).load(std::memory_order_relaxed); }
  row_t rows() const { return std::atomic_ref(rows_).load(std::memory_order_acquire); }

  std::shared_ptr<language::token_table const> base_;
  mutable index_t end_ = 0;         // one more than the largest item that ever had a row; atomic while others read
  mutable row_t rows_ = 0;          // the last row; atomic while others read
  reserved_array<row_t> latest_;    // (items): the newest row; atomic while others read
  reserved_array<token_t> tokens_;  // (rows, levels)
  reserved_array<change> changes_;  // (rows)
};

}  // namespace mql4grec::search
