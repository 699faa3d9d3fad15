#pragma once
// A check of all sequences of a table for collisions. Several ranks, each with the sequences of some items, divide the
// sequences into ranges. Each rank gets the keys of one range from all, sorts them and compares neighbours; what the
// ranks have counted makes one verdict:
//
//     rank 0   keys  7 2 9 4 ─┐ exchange ┌─►  2 3 4 4     a sequence is shared
//     rank 1   keys  3 8 4 6 ─┘          └─►  6 7 8 9
#include <algorithm>
#include <string>
#include <vector>

#include "mql4grec/quantize/collisions/collisions.hpp"
#include "mql4grec/train/exchange.hpp"

namespace mql4grec::quantize {

/// The result of comparing all sequences of a table: evidence that no two items share one, or examples of items that
/// do.
struct uniqueness_report {
  index_t items = 0, missing = 0;                  ///< items of the table; those of them without a sequence
  index_t distinct = 0;                            ///< distinct sequences
  index_t groups = 0;                              ///< sequences that several items share
  std::vector<std::vector<item_id>> first_groups;  ///< the items of the first few of these sequences, at most 5

  /// (items − distinct sequences) / items, without items that have no sequence; as collision_rate().
  double collision_rate() const {
    return items > missing ? static_cast<double>(items - missing - distinct) / static_cast<double>(items - missing) : 0;
  }
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

namespace detail {

/// The items of one range of keys, those of all ranks, ordered by key, then by item. `mine` is ordered likewise. Keys
/// of later ranks are higher, and equal ones are on one rank.
[[nodiscard]] inline std::vector<keyed_item> exchange_by_key(train::host_communicator const& ranks,
                                                             std::vector<keyed_item> mine) {
  if (ranks.world_size() == 1) return mine;
  constexpr std::size_t samples = 256;  // of each rank: ranges then hold about as many keys
  std::vector<sequence_key> sample;
  for (std::size_t i = 0; i < std::min(samples, mine.size()); ++i)
    sample.push_back(mine[i * mine.size() / std::min(samples, mine.size())].key);
  sample = train::gather<sequence_key>(ranks, sample);
  std::ranges::sort(sample);
  std::vector<index_t> offsets = {0};
  for (index_t r = 1; r < ranks.world_size(); ++r) {
    auto const place = to_size(std::ssize(sample) * r / ranks.world_size());
    auto const begins =
        sample.empty() ? mine.begin() : std::ranges::lower_bound(mine, sample[place], {}, &keyed_item::key);
    offsets.push_back(begins - mine.begin());
  }
  offsets.push_back(std::ssize(mine));
  auto range = train::exchange<keyed_item>(ranks, mine, offsets);
  sort_by_key(range);
  return range;
}

}  // namespace detail

/// Compares all sequences of a table. With several ranks, each has a table of all items, in which every item has its
/// sequence on one rank at most; all get the report on all sequences.
[[nodiscard]] inline uniqueness_report check_uniqueness(code_table const& table,
                                                        train::host_communicator const& ranks = {}) {
  constexpr std::size_t shown = 5;
  auto const order = detail::exchange_by_key(ranks, detail::items_by_key(table));
  uniqueness_report out{.items = table.items(), .missing = table.items() - std::ssize(order), .first_groups = {}};
  detail::for_each_sequence(order, [&](std::span<detail::keyed_item const> same) {
    ++out.distinct;
    if (same.size() < 2) return;
    ++out.groups;
    if (out.first_groups.size() == shown) return;
    auto& group = out.first_groups.emplace_back();
    for (auto const& one : same) group.push_back(one.item);
  });
  if (ranks.world_size() == 1) return out;
  out.missing = table.items() - train::sum_of_ranks(ranks, std::ssize(order));
  out.distinct = train::sum_of_ranks(ranks, out.distinct);
  out.groups = train::sum_of_ranks(ranks, out.groups);
  std::vector<index_t> sizes;
  std::vector<item_id> items;
  for (auto const& group : out.first_groups) {
    sizes.push_back(std::ssize(group));
    items.insert(items.end(), group.begin(), group.end());
  }
  sizes = train::gather<index_t>(ranks, sizes);
  items = train::gather<item_id>(ranks, items);
  out.first_groups.clear();
  auto next = items.begin();
  for (std::size_t g = 0; g < std::min(shown, sizes.size()); next += sizes[g++])
    out.first_groups.emplace_back(next, next + sizes[g]);
  return out;
}

}  // namespace mql4grec::quantize
