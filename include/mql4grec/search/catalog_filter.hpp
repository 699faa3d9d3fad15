#pragma once
// The filter of a request, applied to a version of a live catalog, and drafts of new items in it.
#include <algorithm>
#include <functional>
#include <span>
#include <vector>

#include "mql4grec/search/constraint.hpp"
#include "mql4grec/search/filtered_trie.hpp"
#include "mql4grec/search/live_catalog.hpp"
#include "mql4grec/search/prefix_drafter.hpp"

namespace mql4grec::search {

/// One modality of a version: the table of a trie.
struct catalog_modality {
  catalog_version const& version;  ///< must outlive this object
  trie_group const& group;         ///< of the version
  index_t table;                   ///< the position of the modality in group.kinds

  /// The modality.
  language::modality kind() const { return group.kinds[to_size(table)]; }
  /// The root of all its sequences.
  node_t root() const { return group.trie.root(table); }
  /// The item's sequence, or an empty span.
  std::span<token_t const> sequence(item_id item) const { return version.sequence(kind(), item); }
  /// The sequences of the items that have one, sorted.
  template <class Items>
  sequence_list sequences(Items const& items) const {
    sequence_list list;
    for (auto const item : items)
      if (auto const tokens = sequence(item); !tokens.empty()) list.push_back(tokens);
    sort_sequences(list);
    return list;
  }
};

namespace detail {

/// The root of what remains without these items. A sequence remains as long as one of its items is wanted.
inline node_t drop_items(filtered_trie& to, catalog_modality const& from, std::span<item_id const> items,
                         item_choice const& wanted) {
  auto list = from.sequences(items);
  std::erase_if(list, [&](auto const sequence) {
    return std::ranges::any_of(from.group.trie.items(from.group.trie.find(from.table, sequence)), std::cref(wanted));
  });
  return list.empty() ? from.root() : to.drop(from.group.trie, from.table, list);
}

}  // namespace detail

/// Adds a root below which a modality has the sequences of all items that a filter allows; `wanted` is made of the
/// filter. The time follows the allowed or the denied items, whichever are fewer, where the filter has a list of them.
[[nodiscard]] inline node_t add_filter(filtered_trie& to, catalog_modality const& from, item_filter const& filter,
                                       item_choice const& wanted) {
  if (!filter.allow) return detail::drop_items(to, from, filter.deny, wanted);
  if (std::ssize(*filter.allow) <= from.version.items() / 2) {
    auto allowed = *filter.allow;
    std::erase_if(allowed, [&](item_id item) { return !wanted(item); });
    return to.keep(from.group.trie, from.table, from.sequences(allowed));
  }
  item_list others;
  for (index_t i = 0; i < from.version.items(); ++i)
    if (auto const item = item_id(static_cast<std::int32_t>(i)); !wanted(item)) others.push_back(item);
  return detail::drop_items(to, from, others, wanted);
}

/// Adds a root below which a modality has the sequences of `new_items` that a prefix_drafter drafts for some beams,
/// best first. Throws error if an option is negative.
[[nodiscard]] inline node_t add_draft(filtered_trie& to, catalog_modality const& from, item_list const& new_items,
                                      std::span<node_t const> beams, draft_options const& options) {
  auto const fresh = from.sequences(new_items);
  std::vector<std::span<token_t const>> paths;
  for (auto const leaf : beams) paths.push_back(from.sequence(from.group.trie.items(leaf).front()));
  auto const drafted = draft_sequences(fresh, paths, options);
  return to.keep(from.group.trie, from.table, drafted);
}

}  // namespace mql4grec::search
