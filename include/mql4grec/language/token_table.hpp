#pragma once
// The token sequences of all items in one modality. An item whose text or image is missing has no sequence: of()
// returns an empty span, so writing the tokens of a history omits the item. Memory is proportional to the number of
// items with a sequence, not to the largest item number.
#include <algorithm>
#include <span>
#include <utility>

#include "mql4grec/core/column.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/ids.hpp"
#include "mql4grec/language/vocabulary.hpp"

namespace mql4grec::language {

/// A map from items to token sequences of equal length. Const member functions may be called from several threads at
/// once.
class token_table {
 public:
  /// A table without items.
  token_table() = default;

  /// A table for items 0 … items − 1, none of which has a sequence yet. Every sequence will have `levels` ≥ 1 tokens.
  token_table(modality kind, index_t items, index_t levels) : kind_(kind), items_(items), levels_(levels) {
    expects(items >= 0 && levels >= 1, "a token table of ", items, " items and ", levels, " levels");
  }

  /// A table for items 0 … items − 1 with columns that may be mapped from a file: the items with a sequence, in
  /// ascending order and less than `items`, and their sequences (present, levels). Only their sizes are checked; throws
  /// error when they don't fit together.
  token_table(modality kind, index_t items, index_t levels, column<item_id> present, column<token_t> tokens)
      : token_table(kind, items, levels) {
    expects(present.size() * to_size(levels) == tokens.size(), "a token table of ", present.size(), " sequences of ",
            levels, " tokens with ", tokens.size(), " tokens");
    present_ = std::move(present);
    tokens_ = std::move(tokens);
  }

  /// The modality of the tokens.
  modality kind() const { return kind_; }
  /// The number of items: one more than the largest item number that is allowed.
  index_t items() const { return items_; }
  /// The number of tokens per sequence.
  index_t levels() const { return levels_; }

  /// Whether the item has a sequence; false for items out of range.
  bool has(item_id item) const { return row_of(item) < present_.size(); }
  /// Whether the sequences are in a mapped file. A change copies them into memory.
  bool is_mapped() const { return tokens_.is_mapped(); }

  /// The item's sequence (levels), or an empty span. Valid until the next set().
  std::span<token_t const> of(item_id item) const {
    auto const row = row_of(item);
    return row < present_.size() ? tokens().subspan(row * to_size(levels_), to_size(levels_))
                                 : std::span<token_t const>();
  }

  /// Sets the item's sequence. Fast when items are set in ascending order; setting an item before existing ones moves
  /// their sequences. Throws error when the item is out of range or the sequence doesn't have levels() tokens.
  void set(item_id item, std::span<token_t const> sequence) {
    expects(index(item) >= 0 && index(item) < items_, "item ", index(item), " of a table of ", items_, " items");
    expects(std::ssize(sequence) == levels_, "item ", index(item), " has ", sequence.size(), " tokens, expected ",
            levels_);
    auto& present = present_.own();
    auto& tokens = tokens_.own();
    auto const at = std::ranges::lower_bound(present, item);
    auto const place = tokens.begin() + (at - present.begin()) * levels_;
    if (at != present.end() && *at == item) {
      std::ranges::copy(sequence, place);
    } else {
      tokens.insert(place, sequence.begin(), sequence.end());
      present.insert(at, item);
    }
  }

  /// Removes all sequences and keeps the memory.
  void clear() {
    present_.own().clear();
    tokens_.own().clear();
  }
  /// Raises the number of items to at least `items`; the new items have no sequence.
  void widen(index_t items) { items_ = std::max(items_, items); }

  /// The items with a sequence, in ascending order.
  std::span<item_id const> present() const { return {present_.data(), present_.size()}; }
  /// The sequences of present(), back to back: (present, levels).
  std::span<token_t const> tokens() const { return {tokens_.data(), tokens_.size()}; }

  bool operator==(token_table const&) const = default;

 private:
  /// The item's position in present_, or the size of present_ when the item has no sequence.
  std::size_t row_of(item_id item) const {
    auto const size = std::ssize(present());
    if (size == 0 || index(item) < 0 || item > present_.back()) return to_size(size);
    // At most as many rows before it are missing as are missing before the last item.
    index_t const missing = index(present_.back()) + 1 - size;
    auto const* const first = present_.data() + std::max<index_t>(0, index(item) - missing);
    auto const* const last = present_.data() + std::min<index_t>(size, index(item) + 1);
    auto const* const at = std::lower_bound(first, last, item);
    return at != last && *at == item ? to_size(at - present_.data()) : to_size(size);
  }

  modality kind_ = modality::text;
  index_t items_ = 0;
  index_t levels_ = 0;
  column<item_id> present_;  // sorted
  column<token_t> tokens_;   // (present, levels)
};

/// The number of items with a sequence.
[[nodiscard]] inline index_t items_with_sequence(token_table const& table) { return std::ssize(table.present()); }

/// The number of items whose sequence a smaller item number also has; 0 when all sequences are distinct.
[[nodiscard]] inline index_t duplicate_items(token_table const& table) {
  std::vector<item_id> order(table.present().begin(), table.present().end());
  auto const before = [&](item_id a, item_id b) {
    return std::ranges::lexicographical_compare(table.of(a), table.of(b));
  };
  std::ranges::sort(order, before);
  index_t duplicates = 0;
  for (std::size_t i = 1; i < order.size(); ++i) duplicates += before(order[i - 1], order[i]) ? 0 : 1;
  return duplicates;
}

}  // namespace mql4grec::language
