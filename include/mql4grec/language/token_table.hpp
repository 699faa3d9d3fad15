#pragma once
// The sequence of every item in one modality. An item whose text or picture is missing has no sequence: of() is then
// empty, so that writing a history simply leaves it out. Memory follows the items that have one, not the largest number
// of an item.
#include <algorithm>
#include <span>
#include <vector>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/ids.hpp"
#include "mql4grec/language/vocabulary.hpp"

namespace mql4grec {

class token_table {
 public:
  token_table() = default;

  /// `items` items, none of which has a sequence yet; each sequence will have `levels` ≥ 1 tokens.
  token_table(modality kind, index_t items, index_t levels) : kind_(kind), items_(items), levels_(levels) {
    expects(items >= 0 && levels >= 1, "a token table of ", items, " items and ", levels, " levels");
  }

  modality kind() const { return kind_; }
  /// One more than the largest number an item may have.
  index_t items() const { return items_; }
  index_t levels() const { return levels_; }

  /// Whether the item has a sequence; false for items beyond the table too.
  bool has(item_id item) const { return row_of(item) < present_.size(); }

  /// (levels) tokens, or none at all.
  std::span<token_t const> of(item_id item) const {
    auto const row = row_of(item);
    return row < present_.size()
               ? std::span(tokens_).subspan(row * static_cast<std::size_t>(levels_), static_cast<std::size_t>(levels_))
               : std::span<token_t const>();
  }

  /// Quick for items in the order of their numbers; one before others moves the sequences of these.
  void set(item_id item, std::span<token_t const> sequence) {
    expects(index(item) >= 0 && index(item) < items_, "item ", index(item), " of a table of ", items_, " items");
    expects(std::ssize(sequence) == levels_, "item ", index(item), " has ", sequence.size(), " tokens, expected ",
            levels_);
    auto const at = std::ranges::lower_bound(present_, item);
    auto const place = tokens_.begin() + (at - present_.begin()) * levels_;
    if (at != present_.end() && *at == item) {
      std::ranges::copy(sequence, place);
    } else {
      tokens_.insert(place, sequence.begin(), sequence.end());
      present_.insert(at, item);
    }
  }

  /// Lets items be numbered up to below `items`; those beyond the table so far have no sequence.
  void widen(index_t items) { items_ = std::max(items_, items); }

  /// The items with a sequence, by number.
  std::span<item_id const> present() const { return present_; }
  /// (present, levels), their sequences back to back.
  std::span<token_t const> tokens() const { return tokens_; }

  bool operator==(token_table const&) const = default;

 private:
  /// The item's place in present_, or one beyond.
  std::size_t row_of(item_id item) const {
    auto const guess = static_cast<std::size_t>(item);
    if (guess < present_.size() && present_[guess] == item) return guess;  // no item before it lacks a sequence
    auto const at = std::ranges::lower_bound(present_, item);
    return at != present_.end() && *at == item ? static_cast<std::size_t>(at - present_.begin()) : present_.size();
  }

  modality kind_ = modality::text;
  index_t items_ = 0;
  index_t levels_ = 0;
  std::vector<item_id> present_;  // sorted
  std::vector<token_t> tokens_;   // (present, levels)
};

/// How many items have a sequence.
inline index_t items_with_sequence(token_table const& table) { return std::ssize(table.present()); }

/// How many items have a sequence that an earlier item has too; 0 when a sequence names one item.
inline index_t duplicate_items(token_table const& table) {
  std::vector<item_id> order(table.present().begin(), table.present().end());
  auto const before = [&](item_id a, item_id b) {
    return std::ranges::lexicographical_compare(table.of(a), table.of(b));
  };
  std::ranges::sort(order, before);
  index_t duplicates = 0;
  for (std::size_t i = 1; i < order.size(); ++i) duplicates += before(order[i - 1], order[i]) ? 0 : 1;
  return duplicates;
}

}  // namespace mql4grec
