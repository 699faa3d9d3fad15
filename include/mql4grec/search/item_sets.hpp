#pragma once
// Which items are in which named sets, such as categories or brands. What a writer of a live_catalog knows; requests
// find the sets of a version as tables of its tries.
#include <algorithm>
#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mql4grec/core/detail/words.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/search/constraint.hpp"

namespace mql4grec::search {

/// Sets of items by name. The lists are in any order, and may contain items that have no sequence yet, but no negative
/// ones.
using named_sets = std::map<std::string, item_list>;

/// The largest number of sets that an item may be in.
inline constexpr index_t max_sets_of_item = 64;
/// The largest number of sets of a catalog.
inline constexpr index_t max_item_sets = 65536;
/// The most bytes of a set's name.
inline constexpr index_t max_set_name_bytes = 256;

namespace detail {

/// Throws error for a name that no set may have.
inline void check_set_name(std::string_view name) {
  expects(!name.empty() && std::ssize(name) <= max_set_name_bytes, "catalog: a name of a set has ", name.size(),
          " bytes, expected 1 to ", max_set_name_bytes);
}

/// The sets of each item, which change. Cheap to copy: what it began with is shared.
class item_sets {
 public:
  /// The numbers of all sets, by name.
  using names = std::map<std::string, index_t, std::less<>>;

  item_sets() : item_sets(named_sets()) {}
  /// Sets are numbered in the order of their names. Throws error for a name or a number that isn't allowed.
  explicit item_sets(named_sets const& sets) {
    expects(std::ssize(sets) <= max_item_sets, "catalog: ", sets.size(), " sets, expected at most ", max_item_sets);
    auto numbers = std::make_shared<names>();
    auto base = std::make_shared<std::vector<entry>>();
    for (auto const& [name, items] : sets) {
      check_set_name(name);
      auto const number = static_cast<std::int32_t>(numbers->size());
      numbers->emplace(name, number);
      for (auto const item : items) {
        expects(index(item) >= 0, "catalog: set '", core::detail::printable(name), "' has item ", index(item),
                ", expected at least 0");
        base->push_back({item, number});
      }
    }
    std::ranges::sort(*base);
    base->erase(std::unique(base->begin(), base->end()), base->end());
    for (std::size_t i = 0; i < base->size(); ++i)
      expects(i < to_size(max_sets_of_item) || (*base)[i].item != (*base)[i - to_size(max_sets_of_item)].item,
              "catalog: item ", index((*base)[i].item), " is in more than ", max_sets_of_item, " sets");
    numbers_ = std::move(numbers);
    base_ = std::move(base);
  }

  /// The numbers of all sets.
  std::shared_ptr<names const> const& numbers() const { return numbers_; }
  /// The number of sets.
  index_t size() const { return std::ssize(*numbers_); }
  /// The sets of an item, ascending.
  std::vector<std::int32_t> of(item_id item) const {
    if (auto const found = changed_.find(item); found != changed_.end()) return found->second;
    std::vector<std::int32_t> all;
    for (auto at = std::ranges::lower_bound(*base_, entry{item, 0}); at != base_->end() && at->item == item; ++at)
      all.push_back(at->set);
    return all;
  }
  /// Puts an item in these sets and no others. Names that no set has make new ones, which get the next numbers.
  void put(item_id item, std::span<std::string const> sets) {
    std::vector<std::int32_t> all;
    std::shared_ptr<names> more;
    for (auto const& name : sets) {
      auto const& known = more ? *more : *numbers_;
      if (auto const found = known.find(name); found != known.end()) {
        all.push_back(static_cast<std::int32_t>(found->second));
        continue;
      }
      if (!more) more = std::make_shared<names>(*numbers_);
      all.push_back(static_cast<std::int32_t>(more->size()));
      more->emplace(name, all.back());
    }
    if (more) numbers_ = std::move(more);
    std::ranges::sort(all);
    all.erase(std::unique(all.begin(), all.end()), all.end());
    changed_[item] = std::move(all);
  }
  /// The items of each set that are less than `items`, by the number of the set.
  std::vector<item_list> lists(index_t items) const {
    std::vector<item_list> all(to_size(size()));
    for (auto const& [item, set] : *base_)
      if (index(item) < items && !changed_.contains(item)) all[to_size(index_t{set})].push_back(item);
    for (auto const& [item, sets] : changed_)
      for (auto const set : sets) all[to_size(index_t{set})].push_back(item);
    return all;
  }
  /// The same, if the catalog had begun with other sets: items that put() has moved stay where they are, and sets keep
  /// their numbers. Throws error for a name or a number that isn't allowed.
  item_sets beginning_with(named_sets const& sets) const {
    item_sets const fresh(sets);
    auto numbers = std::make_shared<names>(*numbers_);
    std::vector<std::int32_t> number_of;  // by the number in `fresh`, where names ascend
    for (auto const& [name, number] : *fresh.numbers_)
      number_of.push_back(static_cast<std::int32_t>(numbers->emplace(name, std::ssize(*numbers)).first->second));
    expects(std::ssize(*numbers) <= max_item_sets, "catalog: more than ", max_item_sets,
            " sets, those that have been replaced included");
    auto base = std::make_shared<std::vector<entry>>(*fresh.base_);
    for (auto& each : *base) each.set = number_of[to_size(index_t{each.set})];
    std::ranges::sort(*base);
    item_sets out = *this;
    out.numbers_ = std::move(numbers);
    out.base_ = std::move(base);
    return out;
  }
  /// The items that both began with in some set, ascending, without those that put() has moved.
  item_list items_of_beginnings(item_sets const& other) const {
    item_list all;
    for (auto const* each : {this, &other})
      for (auto const& [item, set] : *each->base_)
        if (!changed_.contains(item)) all.push_back(item);
    std::ranges::sort(all);
    all.erase(std::unique(all.begin(), all.end()), all.end());
    return all;
  }
  /// The names of an item's sets, in ascending order.
  std::vector<std::string> names_of(item_id item) const {
    auto const sets = of(item);
    std::vector<std::string> all;
    if (sets.empty()) return all;
    for (auto const& [name, number] : *numbers_)
      if (std::ranges::binary_search(sets, static_cast<std::int32_t>(number))) all.push_back(name);
    return all;
  }
  /// The items whose sets have changed, with the names of their sets.
  std::map<item_id, std::vector<std::string>> changed_names() const {
    std::vector<std::string const*> name_of(numbers_->size());
    for (auto const& [name, number] : *numbers_) name_of[to_size(number)] = &name;
    std::map<item_id, std::vector<std::string>> all;
    for (auto const& [item, sets] : changed_) {
      auto& names_of_item = all[item];
      for (auto const set : sets) names_of_item.push_back(*name_of[to_size(index_t{set})]);
    }
    return all;
  }

 private:
  struct entry {
    item_id item;
    std::int32_t set;
    auto operator<=>(entry const&) const = default;
  };
  std::shared_ptr<names const> numbers_;
  std::shared_ptr<std::vector<entry> const> base_;  // sorted
  std::map<item_id, std::vector<std::int32_t>> changed_;
};

}  // namespace detail

}  // namespace mql4grec::search
