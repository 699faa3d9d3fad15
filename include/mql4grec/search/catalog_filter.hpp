#pragma once
// The filter of a request, applied to a version of a live catalog, and drafts of new items in it.
#include <algorithm>
#include <functional>
#include <span>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "mql4grec/core/detail/words.hpp"
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

/// A filter prepared for many queries of a version: a predicate that returns whether an item is allowed.
class catalog_choice {
 public:
  /// Copies the lists of the filter into hash sets, with `also_denied`, and finds its sets. The version must outlive
  /// this object. Throws error for a set that the version doesn't have.
  catalog_choice(item_filter const& filter, catalog_version const& version, std::span<item_id const> also_denied = {})
      : lists_(filter), also_denied_(also_denied.begin(), also_denied.end()), version_(&version) {
    for (auto const& [names, numbers] : {std::pair(&filter.any_of, &any_of_), std::pair(&filter.all_of, &all_of_),
                                         std::pair(&filter.none_of, &none_of_)})
      for (auto const& name : *names) numbers->push_back(set_of(version, name));
  }
  /// The number of a set of a version. Throws error if there is none with this name.
  static index_t set_of(catalog_version const& version, std::string const& name) {
    auto const found = version.set(name);
    expects(found.has_value(), "filter: there is no set '", core::detail::printable(name), "'");
    return *found;
  }

  /// Whether the item is allowed.
  bool operator()(item_id item) const {
    auto const has = [&](index_t set) { return version_->contains(set, item); };
    return lists_(item) && !also_denied_.contains(item) && (any_of_.empty() || std::ranges::any_of(any_of_, has)) &&
           std::ranges::all_of(all_of_, has) && std::ranges::none_of(none_of_, has);
  }
  /// The same rules without the lists, in one modality of the version.
  table_rules tables(trie_group const& group, index_t table) const {
    table_rules out{.main = group.trie.root(table)};
    for (auto const& [numbers, roots] :
         {std::pair(&any_of_, &out.any_of), std::pair(&all_of_, &out.all_of), std::pair(&none_of_, &out.none_of)})
      for (auto const set : *numbers) roots->push_back(group.trie.root(group.table_of(set, table)));
    return out;
  }
  /// Items that aren't allowed besides those of the filter.
  std::unordered_set<item_id> const& also_denied() const { return also_denied_; }

 private:
  item_choice lists_;
  std::unordered_set<item_id> also_denied_;
  catalog_version const* version_;
  std::vector<index_t> any_of_, all_of_, none_of_;
};

namespace detail {

/// The root of what remains of a root without these items. A sequence remains as long as one of its items is wanted.
template <class Items>
node_t drop_items(filtered_trie& to, catalog_modality const& from, node_t root, Items const& items,
                  catalog_choice const& wanted) {
  auto list = from.sequences(items);
  std::erase_if(list, [&](auto const sequence) {
    return std::ranges::any_of(from.group.trie.items(from.group.trie.find(from.table, sequence)), std::cref(wanted));
  });
  return list.empty() ? root : to.drop(from.group.trie, root, list);
}

}  // namespace detail

/// Adds a root below which a modality has the sequences of all items that a filter allows; `wanted` is made of the
/// filter. The time follows the allowed or the denied items, whichever are fewer, where the filter has a list of them,
/// and the overlap of its sets; one set alone takes no time.
[[nodiscard]] inline node_t add_filter(filtered_trie& to, catalog_modality const& from, item_filter const& filter,
                                       catalog_choice const& wanted) {
  if (filter.allow && std::ssize(*filter.allow) <= from.version.items() / 2) {
    auto allowed = *filter.allow;
    std::erase_if(allowed, [&](item_id item) { return !wanted(item); });
    return to.keep(from.group.trie, from.table, from.sequences(allowed));
  }
  if (filter.allow) {
    item_list others;
    for (index_t i = 0; i < from.version.items(); ++i)
      if (auto const item = item_id(static_cast<std::int32_t>(i)); !wanted(item)) others.push_back(item);
    return detail::drop_items(to, from, from.root(), others, wanted);
  }
  auto root = to.combine(from.group.trie, wanted.tables(from.group, from.table), std::cref(wanted));
  root = detail::drop_items(to, from, root, filter.deny, wanted);
  return detail::drop_items(to, from, root, wanted.also_denied(), wanted);
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
