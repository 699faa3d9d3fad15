#pragma once
// The codes that a quantizer assigns to items, one per level. The tokens of language/ represent these codes with the
// prefixes of their modality.
#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/ids.hpp"
#include "mql4grec/core/view.hpp"

namespace mql4grec::quantize {

/// Codes (items, levels). An item without features in the modality has no sequence; its row contains −1. Const member
/// functions may be called from several threads at once.
class code_table {
 public:
  /// The code of an item without a sequence.
  static constexpr code_t missing{-1};

  /// A table without items and levels.
  code_table() = default;
  /// A table in which no item has a sequence; `sizes` is K of each level. Throws error when there are no levels, a
  /// level has no codes or `items` is negative.
  code_table(index_t items, std::vector<index_t> sizes) : sizes_(std::move(sizes)), items_(items) {
    expects(items >= 0, "a code table of ", items, " items, expected at least 0");
    expects(!sizes_.empty(), "a code table needs at least one level");
    for (auto const k : sizes_) expects(k >= 1, "a code table has a level of ", k, " codes, expected at least 1");
    codes_.assign(to_size(items * levels()), missing);
  }

  /// The number of items, with or without a sequence.
  index_t items() const { return items_; }
  /// The number of codes per sequence.
  index_t levels() const { return std::ssize(sizes_); }
  /// K of a level.
  index_t size(index_t level) const { return sizes_[to_size(level)]; }
  /// K of all levels.
  std::vector<index_t> const& sizes() const { return sizes_; }

  /// Whether the item has a sequence; false for items out of range.
  bool has(item_id item) const { return index(item) >= 0 && index(item) < items_ && codes_[place(item)] != missing; }
  /// The codes of an item (levels), or an empty span.
  std::span<code_t const> of(item_id item) const {
    if (!has(item)) return {};
    return {codes_.data() + place(item), sizes_.size()};
  }

  /// Sets the codes of an item (levels). Throws error when the item or a code is out of range.
  void set(item_id item, std::span<code_t const> codes) {
    expects(index(item) >= 0 && index(item) < items_, "item ", index(item), " of a code table of ", items_, " items");
    expects(std::ssize(codes) == levels(), "item ", index(item), " has ", codes.size(), " codes, expected ", levels());
    for (index_t l = 0; l < levels(); ++l) {
      auto const code = index(codes[to_size(l)]);
      expects(code >= 0 && code < size(l), "item ", index(item), ", level ", l, ": code ", code, ", expected 0 to ",
              size(l) - 1);
    }
    std::copy(codes.begin(), codes.end(), codes_.begin() + static_cast<index_t>(place(item)));
  }
  /// Removes the item's sequence, if any.
  void remove(item_id item) {
    if (has(item)) std::fill_n(codes_.begin() + static_cast<index_t>(place(item)), levels(), missing);
  }

  /// All codes (items, levels), for kernels. Writers must keep the codes in range.
  host_matrix_view<code_t> all() { return {codes_.data(), items_, levels()}; }
  /// All codes (items, levels), const.
  host_matrix_view<code_t const> all() const { return {codes_.data(), items_, levels()}; }

  bool operator==(code_table const&) const = default;

 private:
  std::size_t place(item_id item) const { return to_size(index(item) * levels()); }

  std::vector<index_t> sizes_;  // (levels): K
  index_t items_ = 0;
  std::vector<code_t> codes_;  // (items, levels)
};

}  // namespace mql4grec::quantize
