#pragma once
// A check of all sequences of a table for collisions.
#include <string>

#include "mql4grec/quantize/collisions/collisions.hpp"

namespace mql4grec::quantize {

/// The result of comparing all sequences of a table: evidence that no two items share one, or examples of items that
/// do.
struct uniqueness_report {
  index_t items = 0, missing = 0;                  ///< items of the table; those of them without a sequence
  index_t distinct = 0;                            ///< distinct sequences
  index_t groups = 0;                              ///< sequences that several items share
  std::vector<std::vector<item_id>> first_groups;  ///< the items of the first few of these sequences, at most 5

  /// Whether no two items share a sequence.
  bool unique() const { return groups == 0; }
  /// The report in one line, such as "4344 items with 4344 different sequences: each has its own".
  std::string summary() const {
    std::string text =
        std::to_string(items - missing) + " items with " + std::to_string(distinct) + " different sequences";
    if (missing > 0) text += ", " + std::to_string(missing) + " items without one";
    return text + (unique() ? ": each has its own" : ": " + std::to_string(groups) + " sequences are shared");
  }
  bool operator==(uniqueness_report const&) const = default;
};

/// Compares all sequences of a table.
[[nodiscard]] inline uniqueness_report check_uniqueness(code_table const& table) {
  constexpr std::size_t shown = 5;
  auto const order = detail::items_by_key(table);
  uniqueness_report out{.items = table.items(), .missing = table.items() - std::ssize(order), .first_groups = {}};
  detail::for_each_sequence(order, [&](std::span<detail::keyed_item const> same) {
    ++out.distinct;
    if (same.size() < 2) return;
    ++out.groups;
    if (out.first_groups.size() == shown) return;
    auto& group = out.first_groups.emplace_back();
    for (auto const& one : same) group.push_back(one.item);
  });
  return out;
}

}  // namespace mql4grec::quantize
