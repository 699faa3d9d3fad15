#pragma once
#include <string>

#include "mql4grec/quantize/collisions/collisions.hpp"

namespace mql4grec {

/// What was found by looking at every sequence of a table: a proof that no two items share one, or who does.
struct uniqueness_report {
  index_t items = 0, missing = 0;                  ///< of the table, and of them those without a sequence
  index_t distinct = 0;                            ///< sequences
  index_t groups = 0;                              ///< sequences that two or more items have
  std::vector<std::vector<item_id>> first_groups;  ///< the first few of them

  bool unique() const { return groups == 0; }
  /// "4,344 items … " in one line, numbers plain.
  std::string summary() const {
    std::string text =
        std::to_string(items - missing) + " items with " + std::to_string(distinct) + " different sequences";
    if (missing > 0) text += ", " + std::to_string(missing) + " items without one";
    return text + (unique() ? ": each has its own" : ": " + std::to_string(groups) + " sequences are shared");
  }
  bool operator==(uniqueness_report const&) const = default;
};

inline uniqueness_report check_uniqueness(code_table const& table) {
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

/// Throws error, naming items, unless every item with a sequence has its own.
inline void require_unique(uniqueness_report const& found) {
  if (found.unique()) return;
  auto const& group = found.first_groups.front();
  detail::raise("codes: ", found.groups, " sequences are shared by several items; items ", index(group[0]), " and ",
                index(group[1]), " have the same");
}

}  // namespace mql4grec
