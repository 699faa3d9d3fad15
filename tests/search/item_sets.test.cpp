#include "mql4grec/search/item_sets.hpp"

#include <doctest/doctest.h>

#include <array>
#include <map>
#include <set>

#include "core/temporary_directory.hpp"
#include "mql4grec/core/random.hpp"
#include "mql4grec/search/catalog_filter.hpp"
#include "support/check_close.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
constexpr index_t levels = 3, codes = 6;
using sequence = std::vector<token_t>;
using modalities = std::vector<sequence>;  // of an item; empty ones for those that it lacks

sequence random_sequence(random_stream& random) {
  sequence tokens;
  for (index_t l = 0; l < levels; ++l) tokens.push_back(token_t(codes * l + random.below(codes)));
  return tokens;
}

/// Items and sets in plain containers.
struct plain_catalog {
  std::map<item_id, modalities> items = {};
  std::map<std::string, std::set<item_id>> sets = {};

  void make(search::catalog_change const& change) {
    auto& all = items[change.item] = change.sequences;
    all.resize(2);
    if (!change.sets) return;
    for (auto& [name, members] : sets) members.erase(change.item);
    for (auto const& name : *change.sets) sets[name].insert(change.item);
  }
  bool has(std::string const& set, item_id item) const {
    auto const found = sets.find(set);
    return found != sets.end() && found->second.contains(item);
  }
  bool allows(search::item_filter const& filter, item_id item) const {
    auto const in = [&](std::string const& set) { return has(set, item); };
    return (!filter.allow || std::ranges::count(*filter.allow, item) > 0) &&
           std::ranges::count(filter.deny, item) == 0 &&
           (filter.any_of.empty() || std::ranges::any_of(filter.any_of, in)) &&
           std::ranges::all_of(filter.all_of, in) && std::ranges::none_of(filter.none_of, in);
  }
  /// The items that a modality can reach by a filter.
  std::set<item_id> allowed(search::item_filter const& filter, std::size_t modality) const {
    std::set<item_id> out;
    for (auto const& [item, all] : items)
      if (!all[modality].empty() && allows(filter, item)) out.insert(item);
    return out;
  }
};

std::vector<language::token_table> tables_of(plain_catalog const& from, index_t items) {
  std::vector<language::token_table> out;
  for (std::size_t m = 0; m < 2; ++m) {
    auto& table = out.emplace_back(language::modality(static_cast<int>(m)), items, levels);
    for (auto const& [item, all] : from.items)
      if (!all[m].empty()) table.set(item, all[m]);
  }
  return out;
}
search::named_sets lists_of(plain_catalog const& from) {
  search::named_sets out;
  for (auto const& [name, members] : from.sets) out[name].assign(members.begin(), members.end());
  return out;
}

/// What a search finds below a root: all its items, if every node leads to an item.
std::set<item_id> items_below(search::filtered_trie const& filtered, search::trie_version const& version, node_t root,
                              search::catalog_choice const& wanted) {
  auto arrays = version.arrays();
  arrays.added = filtered.nodes();
  std::set<item_id> out;
  auto const collect = [&](auto const& self, node_t node, index_t depth) -> bool {
    bool any = false;
    if (depth == levels) {
      for (auto const item : filtered.items(version, node))
        if (wanted(item)) any = out.insert(item).second || any;
      return any;
    }
    for (auto child = arrays.first_child(node); child < arrays.children_end(node); ++child) {
      CHECK((child == arrays.first_child(node) || arrays.token(child - 1) < arrays.token(child)));
      bool const leads = self(self, child, depth + 1);
      CHECK(leads);  // a beam would end in nothing
      any = any || leads;
    }
    return any;
  };
  collect(collect, root, 0);
  return out;
}

void check_filter(plain_catalog const& expected, search::catalog_version const& version,
                  search::item_filter const& filter) {
  search::catalog_choice const wanted(filter, version);
  for (index_t m = 0; m < 2; ++m) {
    search::filtered_trie filtered;
    search::catalog_modality const modality{version, version.groups()[0], m};
    auto const root = search::add_filter(filtered, modality, filter, wanted);
    CHECK(items_below(filtered, modality.group.trie, root, wanted) == expected.allowed(filter, to_size(m)));
  }
}

plain_catalog random_catalog(index_t items, random_stream& random) {
  plain_catalog out;
  for (int i = 0; i < items; ++i) {
    auto& all = out.items[item_id{i}];
    all.resize(2);
    for (auto& each : all)
      if (random.below(8) > 0) each = random_sequence(random);
  }
  return out;
}
/// Some of the names, each once or twice.
std::vector<std::string> some_of(std::vector<std::string> const& names, index_t most, random_stream& random) {
  std::vector<std::string> out;
  for (index_t n = random.below(most + 1); n > 0; --n)
    out.push_back(names[to_size(static_cast<index_t>(random.below(std::ssize(names))))]);
  return out;
}
search::item_filter random_filter(std::vector<std::string> const& names, index_t items, random_stream& random) {
  search::item_filter filter{
      .any_of = some_of(names, 3, random), .all_of = some_of(names, 2, random), .none_of = some_of(names, 2, random)};
  auto const list = [&](index_t most) {
    search::item_list some;
    for (index_t n = random.below(most); n > 0; --n) some.push_back(item_id(random.below(items + 5)));
    return some;
  };
  if (random.below(3) == 0) filter.deny = list(20);
  if (random.below(4) == 0) filter.allow = list(random.below(2) == 0 ? 20 : 4 * items);
  return filter;
}
search::catalog_change random_change(plain_catalog const& now, index_t items, random_stream& random) {
  search::catalog_change change{item_id(random.below(items + 20))};
  auto const before = now.items.find(change.item);
  if (before != now.items.end() && random.below(3) == 0)
    change.sequences = before->second;  // only the sets change, if anything
  else if (random.below(4) > 0)
    change.sequences = {random_sequence(random), random.below(3) == 0 ? sequence() : random_sequence(random)};
  if (random.below(2) == 0) change.sets = some_of({"a", "b", "c", "new", "newer"}, 4, random);
  return change;
}
}  // namespace

TEST_CASE("item sets: filters leave the items that a loop over the catalog leaves, at every selectivity") {
  constexpr index_t items = 10000;
  random_stream random(3, 0);
  auto expected = random_catalog(items, random);
  std::vector<std::string> names = {"empty"};
  expected.sets["empty"];
  for (double const share : {1., .5, .1, .01, .001, .0001})
    for (char const copy : {'x', 'y'}) {
      auto const& name = names.emplace_back(std::to_string(share) + copy);
      for (int i = 0; i < items; ++i)
        if (random.uniform() < share) expected.sets[name].insert(item_id{i});
      expected.sets[name].insert(item_id{7});
    }
  search::live_catalog const catalog(tables_of(expected, items), {.sets = lists_of(expected)});
  auto const version = catalog.version();
  for (auto const& name : names) {
    check_filter(expected, version, {.any_of = {name}});
    check_filter(expected, version, {.all_of = {name}, .none_of = {names[2]}});
    check_filter(expected, version, {.none_of = {name}});
  }
  for (int i = 0; i < 60; ++i) check_filter(expected, version, random_filter(names, items, random));
}

TEST_CASE("item sets: they follow changes of items, merges, other beginnings and restarts, and versions keep theirs") {
  constexpr index_t items = 40;
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    random_stream random(seed, 1);
    auto now = random_catalog(items, random);
    for (auto const* name : {"a", "b", "c"})
      for (index_t i = 0; i < items + 10; ++i)  // the last ones aren't in the catalog yet
        if (random.below(3) == 0) now.sets[name].insert(item_id(static_cast<int>(i)));
    temporary_directory const directory;
    auto const tables = tables_of(now, items);
    search::live_catalog_options options{.log = directory / "log",
                                         .snapshot_after = seed % 2 == 0 ? index_t{1} : index_t{1} << 20,
                                         .sets = lists_of(now)};
    std::optional<search::live_catalog> catalog(std::in_place, tables, options);
    std::vector<std::pair<search::catalog_version, plain_catalog>> versions;
    std::set<item_id> moved;  // to other sets, by changes
    for (int round = 0; round < 12; ++round) {
      for (int n = 0; n < 10; ++n) {
        auto const change = random_change(now, items, random);
        if (change.sets) moved.insert(change.item);
        now.make(change);
        catalog->apply({&change, 1});
      }
      if (round % 4 == 1) catalog->merge();
      if (round % 4 == 2) {
        options.sets.clear();
        for (auto& [name, members] : now.sets)
          std::erase_if(members, [&](item_id item) { return !moved.contains(item); });
        std::erase_if(now.sets, [](auto const& set) { return set.second.empty(); });
        for (auto const* name : {"a", "b", "c", round > 6 ? "d" : "new"}) {
          auto& list = options.sets[name];
          now.sets[name];
          for (int i = 0; i < items + 10; ++i)
            if (random.below(4) == 0) list.push_back(item_id{i});
          for (auto const item : list)
            if (!moved.contains(item)) now.sets[name].insert(item);
        }
        catalog->replace_sets(options.sets);
      }
      if (round % 4 == 3) {
        versions.clear();  // these are of the catalog that ends
        catalog.reset();
        catalog.emplace(tables, options);
      }
      versions.emplace_back(catalog->version(), now);
      for (auto const& [item, sequences] : now.items) {
        std::vector<std::string> names;
        for (auto const& [name, members] : now.sets)
          if (members.contains(item)) names.push_back(name);
        CHECK(catalog->sets_of(item) == names);
      }
      for (auto const& [version, expected] : versions) {
        auto const names = version.set_names();
        for (auto const& [name, members] : expected.sets) {
          REQUIRE(version.set(name).has_value());
          check_filter(expected, version, {.any_of = {name}});
          for (auto const& [item, sequences] : expected.items)
            CHECK(version.contains(*version.set(name), item) ==
                  (members.contains(item) && (!sequences[0].empty() || !sequences[1].empty())));
        }
        for (int n = 0; n < 4; ++n) check_filter(expected, version, random_filter(names, items, random));
      }
    }
  }
}

TEST_CASE("item sets: a change is made in all sets even where memory for changes is short") {
  random_stream random(5, 0);
  auto now = random_catalog(30, random);
  for (int i = 0; i < 30; ++i) now.sets["a"].insert(item_id{i});
  search::live_catalog catalog(tables_of(now, 30), {.sets = lists_of(now),
                                                    .tries = {.spare_nodes = 20000, .spare_entries = 2000},
                                                    .tokens = {.spare_rows = 10, .spare_items = 4}});
  for (int n = 0; n < 300; ++n) {
    auto const change = random_change(now, 30, random);
    now.make(change);
    catalog.apply({&change, 1});
  }
  auto const version = catalog.version();
  for (auto const& name : version.set_names()) check_filter(now, version, {.any_of = {name}});

  search::named_sets sets;  // hundreds of new ones, while there is room for a few
  for (int i = 0; i < 900; ++i) sets["set " + std::to_string(i)] = {item_id{i % 30}, item_id{(i + 7) % 30}};
  for (auto const& [name, list] : sets) now.sets[name] = {list.begin(), list.end()};
  search::live_catalog fresh(tables_of(now, 60), {.sets = {{"gone", {item_id{1}, item_id{2}}}},
                                                  .tries = {.spare_nodes = 20000, .spare_entries = 2000}});
  auto const before = fresh.version();
  fresh.replace_sets(sets);
  auto const after = fresh.version();
  CHECK_FALSE(before.set("set 3").has_value());
  CHECK(before.contains(*before.set("gone"), item_id{1}));
  CHECK_FALSE(after.contains(*after.set("gone"), item_id{1}));
  for (auto const& [name, list] : sets) check_filter(now, after, {.any_of = {name}});
}

TEST_CASE("item sets: names and numbers out of range are refused, and nothing is changed") {
  random_stream random(1, 0);
  auto const tables = tables_of(random_catalog(10, random), 10);
  auto const refused = [&](search::named_sets const& sets) {
    return complaint<error>([&] { search::live_catalog(tables, {.sets = sets}); });
  };
  CHECK(refused({{"", {}}}) == "catalog: a name of a set has 0 bytes, expected 1 to 256");
  CHECK(refused({{std::string(257, 'x'), {}}}) == "catalog: a name of a set has 257 bytes, expected 1 to 256");
  CHECK(refused({{"a\nb", {item_id{1}, item_id{-1}}}}) == "catalog: set 'a?b' has item -1, expected at least 0");
  search::named_sets many;
  for (int i = 0; i < 65; ++i) many[std::to_string(i)] = {item_id{3}};
  CHECK(refused(many) == "catalog: item 3 is in more than 64 sets");
  many["0"].clear();
  search::live_catalog catalog(tables, {.sets = many});
  search::catalog_change change{item_id{2}, {random_sequence(random)}, std::vector<std::string>(65, "a")};
  CHECK(complaint<error>([&] { catalog.apply({&change, 1}); }) == "catalog: item 2 is in 65 sets, expected at most 64");
  change.sets = {""};
  CHECK_THROWS_AS(catalog.apply({&change, 1}), error);
  CHECK(complaint<error>([&] {
          catalog.replace_sets({{"", {}}});
        }) == "catalog: a name of a set has 0 bytes, expected 1 to 256");
  search::named_sets all;
  for (int i = 0; i < 65536 - 64; ++i) all["set " + std::to_string(i)];
  CHECK(complaint<error>([&] { catalog.replace_sets(all); }) ==
        "catalog: more than 65536 sets, those that have been replaced included");
  CHECK(catalog.sets_of(item_id{3}).size() == 64);
  CHECK(catalog.version().number() == 0);
  auto const version = catalog.version();
  CHECK(complaint<error>([&] { search::catalog_choice({.none_of = {"nowhere"}}, version); }) ==
        "filter: there is no set 'nowhere'");
  std::string const euros = "€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€€";  // 40, of three bytes each
  CHECK(complaint<error>([&] { search::catalog_choice({.none_of = {"\n" + euros}}, version); }) ==
        "filter: there is no set '?" + euros.substr(3) + "'");
}
