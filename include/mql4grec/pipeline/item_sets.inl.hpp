#pragma once
// Definitions of what pipeline/item_sets.hpp declares.
#include <algorithm>
#include <functional>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "mql4grec/catalog/dataset_paths.hpp"
#include "mql4grec/catalog/read.hpp"
#include "mql4grec/core/detail/words.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/pipeline/item_sets.hpp"

namespace mql4grec::pipeline {

namespace detail {

/// The largest number of sets that descriptions give an item; others are left for the file of sets and for changes.
inline constexpr std::size_t most_described = 32;
/// The largest number of sets that descriptions give a dataset.
inline constexpr std::size_t most_described_sets = 32768;

/// Adds an item to the sets of its brand and of its categories.
MQL4GREC_DEFINITION void add_to_sets(search::named_sets& sets, item_id item,
                                     catalog::item_description const& description) {
  std::vector<std::string> names;
  auto const add = [&](std::string const& kind, std::string_view name) {
    while (!name.empty() && name.front() == ' ') name.remove_prefix(1);
    while (!name.empty() && name.back() == ' ') name.remove_suffix(1);
    auto const whole = kind + std::string(name);
    bool const fits = !name.empty() && std::ssize(whole) <= search::max_set_name_bytes;
    if (fits && names.size() < most_described && std::ranges::count(names, whole) == 0) names.push_back(whole);
  };
  add("brand:", description.brand);
  std::string_view rest = description.categories;
  while (!rest.empty()) {
    auto const end = std::min(rest.find(','), rest.size());
    add("category:", rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  for (auto const& name : names) sets[name].push_back(item);
}

/// Removes the smallest of too many sets, and of equally large ones the last by name.
MQL4GREC_DEFINITION void keep_largest(search::named_sets& sets) {
  if (sets.size() <= most_described_sets) return;
  std::vector<search::named_sets::iterator> order;
  for (auto at = sets.begin(); at != sets.end(); ++at) order.push_back(at);
  std::ranges::stable_sort(order, std::ranges::greater(), [](auto const& at) { return at->second.size(); });
  for (auto i = most_described_sets; i < order.size(); ++i) sets.erase(order[i]);
}

/// Throws file_error if the sets of a file and those of the descriptions are more than a catalog may have.
MQL4GREC_DEFINITION void check_limits(std::filesystem::path const& file, index_t item_count,
                                      search::named_sets const& sets) {
  expects_file(std::ssize(sets) <= search::max_item_sets, file, "there are ", sets.size(),
               " sets with those of the descriptions, expected at most ", search::max_item_sets);
  std::vector<index_t> sets_of(to_size(item_count)), last(to_size(item_count));  // the last one of each item, from 1
  index_t number = 0;
  for (auto const& [name, items] : sets) {
    ++number;
    for (auto const item : items) {
      if (index(item) >= item_count || std::exchange(last[to_size(item)], number) == number) continue;
      expects_file(++sets_of[to_size(item)] <= search::max_sets_of_item, file, "item ", index(item),
                   " is in more than ", search::max_sets_of_item, " sets with those of its description");
    }
  }
}

/// Finds the raw ids of a file, which is read when the first is looked for.
MQL4GREC_DEFINITION item_finder finder_in(std::filesystem::path const& file) {
  return [file, number_of = std::unordered_map<std::string, item_id>(),
          read = false](std::string const& raw_id) mutable -> std::optional<item_id> {
    if (!std::exchange(read, true) && std::filesystem::exists(file)) {
      std::int32_t number = 0;
      for (auto& id : catalog::read_ids(file)) number_of.emplace(std::move(id), item_id(number++));
    }
    auto const found = number_of.find(raw_id);
    return found == number_of.end() ? std::nullopt : std::optional(found->second);
  };
}

/// Adds the sets of a file.
MQL4GREC_DEFINITION void read_sets_file(std::filesystem::path const& file, index_t item_count, item_finder const& find,
                                        search::named_sets& sets) {
  auto const all = read_json(file);
  expects_file(all.is_object(), file, "expected an object of sets, each a list of items");
  for (auto const& [name, list] : all.items()) {
    auto const key = core::detail::printable(name);
    bool const fits = !name.empty() && std::ssize(name) <= search::max_set_name_bytes;
    expects_file(fits, file, "key '", key, "' has ", name.size(), " bytes, expected 1 to ", search::max_set_name_bytes);
    expects_file(list.is_array(), file, "key '", key, "' is a ", list.type_name(), ", expected a list of items");
    auto& items = sets[name];
    items.clear();  // it replaces one of the descriptions
    for (auto const& value : list) {
      std::optional<item_id> found;
      if (value.is_string())
        found = find(value.get<std::string>());
      else if (value.is_number_unsigned() && value.get<std::uint64_t>() < static_cast<std::uint64_t>(item_count))
        found = item_id(value.get<std::int32_t>());
      if (!found) raise<file_error>(file.string(), ": key '", key, "': there is no item ", core::detail::shown(value));
      items.push_back(*found);
    }
  }
}

}  // namespace detail

MQL4GREC_DEFINITION search::named_sets read_item_sets(std::filesystem::path const& directory,
                                                      tasks::dataset const& data, item_finder const& find) {
  search::named_sets sets;
  for (auto const& [item, description] : data.items) detail::add_to_sets(sets, item, description);
  detail::keep_largest(sets);
  catalog::dataset_paths const paths(directory);
  if (std::filesystem::exists(paths.sets())) {
    auto const items = data.interactions.item_count;
    detail::read_sets_file(paths.sets(), items, find ? find : detail::finder_in(paths.item_ids()), sets);
    detail::check_limits(paths.sets(), items, sets);
  }
  return sets;
}

}  // namespace mql4grec::pipeline
