#pragma once
// The sequence of every item in one modality. An item whose text or picture is missing has no sequence: of() is then
// empty, so that writing a history simply leaves it out.
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
    tokens_.assign(static_cast<std::size_t>(items * levels), none);
  }

  modality kind() const { return kind_; }
  index_t items() const { return items_; }
  index_t levels() const { return levels_; }

  /// Whether the item has a sequence; false for items beyond the table too.
  bool has(item_id item) const { return index(item) >= 0 && index(item) < items_ && tokens_[row(item)] != none; }

  /// (levels) tokens, or none at all.
  std::span<token_t const> of(item_id item) const {
    if (!has(item)) return {};
    return {tokens_.data() + row(item), static_cast<std::size_t>(levels_)};
  }

  void set(item_id item, std::span<token_t const> sequence) {
    expects(index(item) >= 0 && index(item) < items_, "item ", index(item), " of a table of ", items_, " items");
    expects(std::ssize(sequence) == levels_, "item ", index(item), " has ", sequence.size(), " tokens, expected ",
            levels_);
    std::copy(sequence.begin(), sequence.end(), tokens_.begin() + static_cast<index_t>(row(item)));
  }

  /// (items, levels), rows back to back; a row of −1 where an item has no sequence.
  std::span<token_t const> tokens() const { return tokens_; }

  bool operator==(token_table const&) const = default;

 private:
  static constexpr token_t none{-1};
  std::size_t row(item_id item) const { return static_cast<std::size_t>(index(item) * levels_); }

  modality kind_ = modality::text;
  index_t items_ = 0;
  index_t levels_ = 0;
  std::vector<token_t> tokens_;  // (items, levels)
};

/// How many items have a sequence.
inline index_t items_with_sequence(token_table const& table) {
  index_t count = 0;
  for (index_t i = 0; i < table.items(); ++i) count += table.has(item_id(i)) ? 1 : 0;
  return count;
}

/// How many items have a sequence that an earlier item has too; 0 when a sequence names one item.
inline index_t duplicate_items(token_table const& table) {
  std::vector<item_id> order;
  for (index_t i = 0; i < table.items(); ++i)
    if (table.has(item_id(i))) order.push_back(item_id(i));
  auto const before = [&](item_id a, item_id b) {
    return std::ranges::lexicographical_compare(table.of(a), table.of(b));
  };
  std::ranges::sort(order, before);
  index_t duplicates = 0;
  for (std::size_t i = 1; i < order.size(); ++i) duplicates += before(order[i - 1], order[i]) ? 0 : 1;
  return duplicates;
}

}  // namespace mql4grec
