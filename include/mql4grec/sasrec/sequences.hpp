#pragma once
// Histories as a batch: packed back to back, with the item that follows each one as the target.
#include <algorithm>
#include <span>
#include <vector>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/ids.hpp"

namespace mql4grec::sasrec {

/// Packed histories. Positions are counted from the last item of a history, which has position 0.
struct sequences {
  std::vector<token_t> items;          ///< of all histories, each oldest first
  std::vector<token_t> positions;      ///< of each item
  std::vector<token_t> targets;        ///< the item after each one; empty for histories that are only ranked
  std::vector<index_t> offsets = {0};  ///< (histories + 1)

  /// The number of histories.
  index_t size() const { return std::ssize(offsets) - 1; }
  /// Removes all histories and keeps the memory.
  void clear() {
    items.clear();
    positions.clear();
    targets.clear();
    offsets.resize(1);
  }
  /// Appends the last `most` items of a history. Throws error for an empty history.
  void add(std::span<item_id const> history, index_t most) {
    expects(!history.empty(), "sasrec: a history is empty");
    history = history.last(std::min(history.size(), to_size(most)));
    for (std::size_t i = 0; i < history.size(); ++i) {
      items.push_back(static_cast<token_t>(history[i]));
      positions.push_back(static_cast<token_t>(history.size() - 1 - i));
    }
    offsets.push_back(std::ssize(items));
  }
  /// Appends the last `most` items of a history before its last one; each predicts the one after it. Throws error for a
  /// history of fewer than two items.
  void add_with_targets(std::span<item_id const> history, index_t most) {
    expects(history.size() >= 2, "sasrec: a history of ", history.size(), " items has no targets");
    add(history.first(history.size() - 1), most);
    auto const count = to_size(offsets[to_size(size())] - offsets[to_size(size() - 1)]);
    for (auto const item : history.last(count)) targets.push_back(static_cast<token_t>(item));
  }
};

/// The histories first … last − 1 of a batch.
struct sequence_range {
  index_t first = 0, last = 0;  ///< number of the first history, and one more than that of the last
};

/// Cuts a batch into ranges of about equal numbers of items, as few as `items` items a range allow; their number is a
/// multiple of `workers` where there are enough histories.
inline void cut(sequences const& all, index_t items, index_t workers, std::vector<sequence_range>& out) {
  out.clear();
  index_t const total = std::ssize(all.items), round = std::max<index_t>(1, items) * workers;
  index_t const parts = (total + round - 1) / round * workers;
  index_t first = 0;
  for (index_t s = 1; s <= all.size(); ++s) {
    if (all.offsets[to_size(s)] * parts < total * (std::ssize(out) + 1)) continue;
    out.push_back({first, s});
    first = s;
  }
}

}  // namespace mql4grec::sasrec
