#include "mql4grec/quantize/collisions/collisions.hpp"

#include <map>
#include <set>
#include <tuple>

#include "mql4grec/quantize/codebook/capacity.hpp"
#include "mql4grec/quantize/codebook/residual_quantizer.hpp"
#include "mql4grec/quantize/collisions/match.hpp"
#include "mql4grec/quantize/collisions/reallocate.hpp"
#include "mql4grec/quantize/collisions/suffix.hpp"
#include "mql4grec/quantize/collisions/uniqueness_report.hpp"
#include "mql4grec/train/threads.hpp"
#include "support/backends.hpp"
#include "support/check_close.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
using host = reference::backend;
using sequence = std::vector<code_t>;

static_assert(quantize::CollisionPolicy<quantize::reallocate, host> &&
              quantize::CollisionPolicy<quantize::match, host> && quantize::CollisionPolicy<quantize::suffix, host> &&
              quantize::CollisionPolicy<quantize::keep_collisions, host>);

item_id item(index_t i) { return item_id(static_cast<std::int32_t>(i)); }
sequence codes_of(quantize::code_table const& table, index_t i) {
  return {table.of(item(i)).begin(), table.of(item(i)).end()};
}

/// A catalog with latents, codebooks and the nearest codes.
struct quantized_items {
  cpu::backend backend;
  quantize::codebook_set<cpu::backend, float> books;
  matrix<float> latents;
  quantize::code_table table;
  std::vector<quantize::codebook_view<cpu::backend, float>> levels;

  quantized_items(matrix<float> z, std::vector<index_t> sizes, std::uint64_t seed = 3)
      : books(backend, sizes, z.columns()), latents(std::move(z)), table(latents.rows(), sizes) {
    for (index_t l = 0; l < books.levels(); ++l) {
      auto const values =
          random_normal<float>({books.size(l), latents.columns()}, seed + static_cast<std::uint64_t>(l)).values;
      for (std::size_t i = 0; i < values.size(); ++i)
        books.vectors(l).data[i] = values[i] * std::pow(0.5f, static_cast<float>(l));
    }
    levels = books.views();
    auto rest = latents.values;
    std::vector<code_t> codes(static_cast<std::size_t>(latents.rows() * table.levels()));
    host_matrix_view<code_t> const by_level(codes.data(), table.levels(), latents.rows());
    quantize::quantize<float>(backend, std::span<quantize::codebook_view<cpu::backend, float> const>(levels),
                              host_matrix_view<float>(rest.data(), latents.rows(), latents.columns()), by_level);
    for (index_t i = 0; i < latents.rows(); ++i) {
      sequence mine;
      for (index_t l = 0; l < table.levels(); ++l) mine.push_back(by_level(l, i));
      table.set(item(i), mine);
    }
  }

  template <class Policy>
  quantize::collision_outcome resolve(Policy const& policy, quantize::code_table const& kept = {}) {
    return policy.resolve(backend, table, std::span<quantize::codebook_view<cpu::backend, float> const>(levels),
                          quantize::matrix_latents(latents), kept);
  }
  double cost(index_t i) const {
    return quantize::detail::sequence_cost<cpu::backend>(
        levels, {latents.values.data() + i * latents.columns(), latents.columns()}, table.of(item(i)));
  }
};

quantized_items random_catalog(index_t items, std::vector<index_t> sizes, std::uint64_t seed = 1) {
  return {random_normal<float>({items, 3}, seed), std::move(sizes), seed + 50};
}

/// The paper's rule in a simple form for few items: sorted lists of all codes, groups in their order, nothing cached.
quantize::code_table reallocate_plainly(quantized_items const& given) {
  auto table = given.table;
  auto const levels = table.levels();
  auto const& z = given.latents;
  auto const distances = [&](index_t i, sequence const& prefix) {
    std::vector<double> rest(static_cast<std::size_t>(z.columns()));
    for (index_t j = 0; j < z.columns(); ++j) {
      rest[static_cast<std::size_t>(j)] = static_cast<double>(z.values[static_cast<std::size_t>(i * z.columns() + j)]);
      for (std::size_t l = 0; l < prefix.size(); ++l)
        rest[static_cast<std::size_t>(j)] -=
            static_cast<double>(given.books.vectors(static_cast<index_t>(l))(index(prefix[l]), j));
    }
    auto const vectors = given.books.vectors(std::ssize(prefix));
    std::vector<std::pair<double, index_t>> all;
    for (index_t k = 0; k < vectors.rows(); ++k) {
      double sum = 0;
      for (index_t j = 0; j < z.columns(); ++j)
        sum += std::pow(rest[static_cast<std::size_t>(j)] - static_cast<double>(vectors(k, j)), 2);
      all.emplace_back(sum, k);
    }
    return all;
  };
  std::set<sequence> used;
  for (index_t i = 0; i < table.items(); ++i)
    if (table.has(item(i))) used.insert(codes_of(table, i));
  for (auto const& group : quantize::collision_groups(table)) {
    used.erase(codes_of(table, index(group.front())));
    // All prefixes of an item in its order: its own codes first, then by distance; deeper levels vary fastest.
    std::map<index_t, std::vector<sequence>> prefixes;
    for (auto const member : group) {
      auto const i = index(member);
      auto const own = codes_of(table, i);
      std::vector<sequence> list = {{}};
      for (index_t l = 0; l + 1 < levels; ++l) {
        std::vector<sequence> longer;
        for (auto const& prefix : list) {
          auto order = distances(i, prefix);
          std::ranges::sort(order);
          if (std::equal(prefix.begin(), prefix.end(), own.begin()))
            std::stable_partition(order.begin(), order.end(), [&](auto const& entry) {
              return entry.second == index(own[static_cast<std::size_t>(l)]);
            });
          for (auto const& [distance, k] : order) {
            longer.push_back(prefix);
            longer.back().push_back(code_t(static_cast<std::int32_t>(k)));
          }
        }
        list = std::move(longer);
      }
      prefixes[i] = std::move(list);
    }
    auto const free = [&](sequence const& prefix, index_t k) {
      auto whole = prefix;
      whole.push_back(code_t(static_cast<std::int32_t>(k)));
      return !used.contains(whole);
    };
    auto const any_free = [&](sequence const& prefix) {
      for (index_t k = 0; k < table.size(levels - 1); ++k)
        if (free(prefix, k)) return true;
      return false;
    };
    std::vector<index_t> waiting;
    std::map<index_t, std::size_t> at;
    for (auto const member : group) waiting.push_back(index(member));
    while (!waiting.empty()) {
      std::map<sequence, std::vector<index_t>> places;
      for (auto const i : waiting) places[prefixes[i][at[i]]].push_back(i);
      waiting.clear();
      for (auto& place : places) {
        auto const& prefix = place.first;
        auto& here = place.second;
        std::ranges::sort(here, {},
                          [&](index_t i) { return std::pair(std::ranges::min(distances(i, prefix)).first, i); });
        for (auto const i : here) {
          auto order = distances(i, prefix);
          std::ranges::sort(order);
          auto const found = std::ranges::find_if(order, [&](auto const& entry) { return free(prefix, entry.second); });
          if (found == order.end()) {
            do ++at[i];
            while (at[i] < prefixes[i].size() && !any_free(prefixes[i][at[i]]));
            REQUIRE(at[i] < prefixes[i].size());
            waiting.push_back(i);
            continue;
          }
          auto whole = prefix;
          whole.push_back(code_t(static_cast<std::int32_t>(found->second)));
          used.insert(whole);
          table.set(item(i), whole);
        }
      }
    }
  }
  return table;
}

void check_resolved(quantized_items const& before, quantized_items const& after) {
  CHECK(quantize::check_uniqueness(after.table).unique());
  std::set<item_id> colliding;
  for (auto const& group : quantize::collision_groups(before.table)) colliding.insert(group.begin(), group.end());
  for (index_t i = 0; i < before.table.items(); ++i) {
    CHECK(before.table.has(item(i)) == after.table.has(item(i)));
    if (!colliding.contains(item(i))) CHECK(codes_of(before.table, i) == codes_of(after.table, i));
  }
}

struct shape_of_codes {
  index_t items;
  std::vector<index_t> sizes;
};
std::vector<shape_of_codes> const shapes = {{60, {3, 4, 5}}, {60, {4, 4, 4}}, {30, {2, 3, 2, 3}},
                                            {7, {7}},        {12, {1, 12}},   {12, {4, 1, 3}},
                                            {60, {60, 1}},   {1, {1, 1}},     {24, {2, 3, 4}}};
}  // namespace

TEST_CASE("collisions: groups are the items that share a sequence, and the rate counts all but one of each") {
  quantize::code_table table(7, {4, 4});
  for (auto const& [i, a, b] : {std::array{0, 1, 2}, {1, 0, 3}, {2, 1, 2}, {4, 0, 3}, {5, 1, 2}, {6, 3, 3}})
    table.set(item(i), sequence{code_t(a), code_t(b)});
  CHECK(quantize::collision_groups(table) ==
        std::vector<std::vector<item_id>>{{item(1), item(4)}, {item(0), item(2), item(5)}});
  CHECK(quantize::collision_rate(table) == doctest::Approx(3. / 6));
  CHECK(quantize::collision_rate(quantize::code_table(3, {2})) == 0);
}

TEST_CASE("collisions: codes that need more bits than a key has are refused with both numbers") {
  CHECK_THROWS_WITH_AS(std::ignore = quantize::collision_rate(quantize::code_table(1, std::vector<index_t>(17, 256))),
                       "codes of all levels take 136 bits together, expected at most 128", error);
  CHECK(quantize::collision_rate(quantize::code_table(1, std::vector<index_t>(16, 256))) == 0);
}

TEST_CASE("reallocate: afterwards every item has its own sequence, and items that didn't collide keep theirs") {
  for (auto const& shape : shapes)
    for (std::uint64_t const seed : {1u, 2u, 3u}) {
      index_t const items = shape.items;
      auto const& sizes = shape.sizes;
      CAPTURE(items);
      auto const before = random_catalog(items, sizes, seed);
      auto after = random_catalog(items, sizes, seed);
      auto const outcome = after.resolve(quantize::reallocate{});
      check_resolved(before, after);
      index_t moved = 0;
      for (index_t i = 0; i < items; ++i) moved += codes_of(before.table, i) == codes_of(after.table, i) ? 0 : 1;
      CHECK(outcome.moved == moved);
    }
}

TEST_CASE("reallocate: equals a plain implementation of the paper's rule") {
  for (auto const& shape : shapes)
    for (std::uint64_t const seed : {4u, 5u}) {
      index_t const items = shape.items;
      auto const& sizes = shape.sizes;
      CAPTURE(items);
      auto given = random_catalog(items, sizes, seed);
      auto const expected = reallocate_plainly(given);
      given.resolve(quantize::reallocate{});
      CHECK(given.table == expected);
    }
}

TEST_CASE_TEMPLATE("collisions: items numbered in another order get the same sequences", Policy, quantize::reallocate,
                   quantize::match) {
  for (auto const& shape : shapes) {
    index_t const n = shape.items;
    auto const& sizes = shape.sizes;
    CAPTURE(n);
    auto const z = random_normal<float>({n, 3}, 8);
    auto const order = epoch_order(n, 5, 0);
    matrix<float> shuffled(z.extents(), z.values);
    for (index_t i = 0; i < n; ++i)
      std::copy_n(z.values.begin() + order[static_cast<std::size_t>(i)] * 3, 3, shuffled.values.begin() + i * 3);
    quantized_items one(z, sizes), other(shuffled, sizes);
    one.resolve(Policy{});
    other.resolve(Policy{});
    for (index_t i = 0; i < n; ++i)
      CHECK(codes_of(other.table, i) == codes_of(one.table, order[static_cast<std::size_t>(i)]));
  }
}

TEST_CASE("reallocate: the items of a full prefix move one level up, and two levels when that prefix is full as well") {
  // Width 1; the code vectors are 0, 10, 20 · 0, 1, 2 · 0, 0.1. Items with latent 0 fill 0 0 x, then 0 1 x, then 0 2 x,
  // then 10 0 x.
  quantized_items equal_items(constant({7, 1}, 0.f), {3, 3, 2});
  for (index_t l = 0; l < 3; ++l)
    for (index_t k = 0; k < equal_items.books.size(l); ++k)
      equal_items.books.vectors(l)(k, 0) =
          static_cast<float>(k) * std::array{10.f, 1.f, 0.1f}[static_cast<std::size_t>(l)];
  for (index_t i = 0; i < 7; ++i) equal_items.table.set(item(i), sequence(3, code_t{0}));
  equal_items.resolve(quantize::reallocate{});
  auto const all = [](int a, int b, int c) { return sequence{code_t(a), code_t(b), code_t(c)}; };
  std::vector<sequence> const expected = {all(0, 0, 0), all(0, 0, 1), all(0, 1, 0), all(0, 1, 1),
                                          all(0, 2, 0), all(0, 2, 1), all(1, 0, 0)};
  for (index_t i = 0; i < 7; ++i) CHECK(codes_of(equal_items.table, i) == expected[static_cast<std::size_t>(i)]);
}

TEST_CASE("reallocate: a thousand equal items fill level after level") {
  quantized_items equal_items(constant({10 * 10 * 10, 3}, 0.3f), {10, 10, 10});
  equal_items.resolve(quantize::reallocate{});
  CHECK(quantize::check_uniqueness(equal_items.table).distinct == 1000);
}

TEST_CASE_TEMPLATE("collisions: more items than sequences are an error with both numbers, and the table is unchanged",
                   Policy, quantize::reallocate, quantize::match) {
  quantized_items full(constant({28, 3}, 0.3f), {3, 3, 3});
  auto const before = full.table;
  CHECK_THROWS_WITH_AS(
      full.resolve(Policy{}),
      "collisions: 28 items, item 27 among them, but 3 levels hold 27 sequences; use more levels or more codes", error);
  CHECK(full.table == before);
}

TEST_CASE("reallocate: the nearest of a group keeps its sequence when it is the nearest code of the last level") {
  auto const before = random_catalog(60, {3, 4, 5}, 2);
  auto after = random_catalog(60, {3, 4, 5}, 2);
  after.resolve(quantize::reallocate{});
  for (auto const& group : quantize::collision_groups(before.table))
    CHECK(std::ranges::count_if(group, [&](item_id i) {
            return codes_of(before.table, index(i)) == codes_of(after.table, index(i));
          }) == 1);
}

TEST_CASE("match: costs no more than the greedy choice, and every item has its own sequence") {
  index_t compared = 0, skipped = 0;  // prefixes
  for (auto const& shape : shapes)
    for (std::uint64_t const seed : {1u, 2u, 3u}) {
      index_t const items = shape.items;
      auto const& sizes = shape.sizes;
      CAPTURE(items);
      auto const before = random_catalog(items, sizes, seed);
      auto greedy = random_catalog(items, sizes, seed), best = random_catalog(items, sizes, seed);
      greedy.resolve(quantize::reallocate{});
      best.resolve(quantize::match{});
      check_resolved(before, best);
      std::map<sequence, std::array<double, 2>> by_prefix;  // costs are comparable when no item left the prefix
      std::map<sequence, bool> stayed;
      for (auto const& group : quantize::collision_groups(before.table))
        for (auto const i : group) {
          auto prefix = codes_of(before.table, index(i));
          prefix.pop_back();
          auto const inside = [&](quantized_items const& c) {
            return std::ranges::equal(prefix, c.table.of(i).first(prefix.size()));
          };
          stayed.try_emplace(prefix, true).first->second &= inside(greedy) && inside(best);
          by_prefix[prefix][0] += greedy.cost(index(i));
          by_prefix[prefix][1] += best.cost(index(i));
        }
      for (auto const& [prefix, costs] : by_prefix) {
        if (stayed[prefix]) CHECK(costs[1] <= costs[0] + 1e-6);
        ++(stayed[prefix] ? compared : skipped);
      }
    }
  INFO(skipped, " prefixes skipped");
  CHECK(compared >= 10);
}

TEST_CASE("minimum_cost_matching: equals the minimum over all permutations") {
  for (std::uint64_t seed = 0; seed < 20; ++seed)
    for (auto const& size : {std::pair<index_t, index_t>(1, 1), {2, 3}, {3, 3}, {4, 6}, {5, 5}, {0, 2}}) {
      index_t const rows = size.first, columns = size.second;
      auto const costs = random_normal({rows, columns}, seed).values;
      std::vector<index_t> order(static_cast<std::size_t>(columns));
      for (index_t j = 0; j < columns; ++j) order[static_cast<std::size_t>(j)] = j;
      auto const sum = [&](std::vector<index_t> const& chosen) {
        double all = 0;
        for (index_t i = 0; i < rows; ++i)
          all += costs[static_cast<std::size_t>(i * columns + chosen[static_cast<std::size_t>(i)])];
        return all;
      };
      double best = INFINITY;
      do best = std::min(best, sum(order));
      while (std::ranges::next_permutation(order).found);
      auto const found = quantize::detail::minimum_cost_matching(costs, rows, columns);
      CHECK(std::set(found.begin(), found.end()).size() == static_cast<std::size_t>(rows));
      CHECK_CLOSE(sum(found), best, 1e-12);
    }
  CHECK_THROWS_WITH_AS(std::ignore = quantize::detail::minimum_cost_matching({1, 2}, 2, 1),
                       "matching: 2 rows for 1 columns, expected at most as many", error);
}

TEST_CASE("match: items moved from a full prefix get no code that items of another prefix are matched with") {
  index_t compared = 0, skipped = 0;  // prefixes
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    CAPTURE(seed);
    auto const before = random_catalog(40, {2, 3, 8}, seed);
    auto after = random_catalog(40, {2, 3, 8}, seed);
    auto const outcome = after.resolve(quantize::match{});
    std::map<sequence, std::vector<index_t>> by_prefix;
    std::map<sequence, std::set<index_t>> kept;  // codes of each prefix whose item doesn't collide
    double cost_after = 0;
    std::set<index_t> colliding;
    for (auto const& group : quantize::collision_groups(before.table))
      for (auto const i : group) {
        auto prefix = codes_of(before.table, index(i));
        prefix.pop_back();
        by_prefix[prefix].push_back(index(i));
        cost_after += after.cost(index(i));
        colliding.insert(index(i));
      }
    CHECK_CLOSE(outcome.cost_after, cost_after, 1e-9);
    for (index_t i = 0; i < 40; ++i)
      if (auto prefix = codes_of(before.table, i); !colliding.contains(i)) {
        auto const code = index(prefix.back());
        prefix.pop_back();
        kept[prefix].insert(code);
      }
    for (auto const& [prefix, members] : by_prefix) {
      std::vector<double> costs;
      double found = 0;
      for (auto const i : members) {
        auto whole = prefix;
        whole.emplace_back();
        for (index_t k = 0; k < 8; ++k) {
          whole.back() = code_t(static_cast<std::int32_t>(k));
          if (!kept[prefix].contains(k))
            costs.push_back(quantize::detail::sequence_cost<cpu::backend>(
                before.levels, host_matrix_view<float const>(before.latents).row(i), whole));
        }
        found += after.cost(i);
      }
      auto const n = std::ssize(members), free = 8 - std::ssize(kept[prefix]);
      ++(n > free ? skipped : compared);
      if (n > free) continue;
      auto const chosen = quantize::detail::minimum_cost_matching(costs, n, free);
      double best = 0;
      for (index_t i = 0; i < n; ++i)
        best += costs[static_cast<std::size_t>(i * free + chosen[static_cast<std::size_t>(i)])];
      CHECK(found == doctest::Approx(best).epsilon(1e-9));
    }
  }
  INFO(skipped, " prefixes skipped");
  CHECK(compared >= 50);
}

TEST_CASE("suffix: numbers the items of a sequence on an additional level") {
  auto given = random_catalog(60, {2, 2}, 1);
  auto const before = given.table;
  given.resolve(quantize::suffix{.codes = 40});
  CHECK(given.table.sizes() == std::vector<index_t>{2, 2, 40});
  CHECK(quantize::check_uniqueness(given.table).unique());
  std::map<sequence, int> next;
  for (index_t i = 0; i < 60; ++i) {
    auto expected = codes_of(before, i);
    auto const count = next[expected]++;
    expected.push_back(code_t(count));
    CHECK(codes_of(given.table, i) == expected);
  }
  auto full = random_catalog(60, {2, 2}, 1);
  CHECK_THROWS_WITH_AS(full.resolve(quantize::suffix{.codes = 3}), doctest::Contains("items share a sequence"), error);
  CHECK(full.table == before);
}

TEST_CASE("collisions: missing items stay missing under every policy") {
  auto const try_policy = [](auto const& policy) {
    auto given = random_catalog(60, {3, 4, 5}, 2);
    for (index_t i = 0; i < 60; i += 3) given.table.remove(item(i));
    given.resolve(policy);
    for (index_t i = 0; i < 60; ++i) CHECK(given.table.has(item(i)) == (i % 3 != 0));
    CHECK(quantize::check_uniqueness(given.table).missing == 20);
  };
  try_policy(quantize::reallocate{});
  try_policy(quantize::match{});
  try_policy(quantize::suffix{});
  try_policy(quantize::keep_collisions{});
}

TEST_CASE_TEMPLATE("collisions: kept items never move, and the others get free sequences", Policy, quantize::reallocate,
                   quantize::match) {
  for (auto const& [items, sizes] : {shape_of_codes{60, {3, 4, 5}}, shape_of_codes{24, {2, 3, 4}}}) {
    CAPTURE(items);
    auto given = random_catalog(items, sizes, 3);
    auto first = random_catalog(items, sizes, 3);
    for (index_t i = 1; i < items; i += 2) first.table.remove(item(i));
    first.resolve(Policy());
    for (index_t i = 0; i < items; i += 2) given.table.set(item(i), codes_of(first.table, i));
    auto const before = given.table;
    auto const outcome = given.resolve(Policy(), first.table);
    CHECK(quantize::check_uniqueness(given.table).unique());
    index_t moved = 0;
    for (index_t i = 0; i < items; ++i) {
      if (i % 2 == 0) CHECK(codes_of(given.table, i) == codes_of(first.table, i));
      moved += codes_of(given.table, i) == codes_of(before, i) ? 0 : 1;
    }
    CHECK(outcome.moved == moved);
    CHECK(outcome.colliding >= moved);
  }
}

TEST_CASE_TEMPLATE("collisions: an item that collides with a kept one goes to the nearest free code of its prefix",
                   Policy, quantize::reallocate, quantize::match) {
  auto given = random_catalog(2, {3, 4, 5}, 2);
  given.latents.values = {0.3f, -0.2f, 0.1f, 0.3f, -0.2f, 0.1f};
  auto const own = codes_of(given.table, 0);
  given.table.set(item(1), own);
  auto kept = given.table;
  kept.remove(item(1));
  auto const outcome = given.resolve(Policy(), kept);
  CHECK(outcome.colliding == 1);
  CHECK(outcome.moved == 1);
  CHECK(outcome.cost_before == given.cost(0));
  CHECK(outcome.cost_after == given.cost(1));
  CHECK(codes_of(given.table, 0) == own);
  auto best = own;
  double least = INFINITY;
  for (int k = 0; k < 5; ++k) {
    auto codes = own;
    codes.back() = code_t(k);
    if (codes == own) continue;
    given.table.set(item(0), codes);
    if (given.cost(0) < least) {
      least = given.cost(0);
      best = codes;
    }
  }
  CHECK(codes_of(given.table, 1) == best);
}

TEST_CASE_TEMPLATE("collisions: kept items that share a sequence go on sharing it", Policy, quantize::reallocate,
                   quantize::match, quantize::keep_collisions) {
  auto given = random_catalog(4, {3, 4, 5}, 2);
  auto const own = codes_of(given.table, 0);
  for (index_t i = 0; i < 4; ++i) given.table.set(item(i), own);
  auto kept = given.table;
  kept.remove(item(2));
  kept.remove(item(3));
  auto const outcome = given.resolve(Policy(), kept);
  CHECK(outcome.colliding == 2);
  CHECK(codes_of(given.table, 0) == own);
  CHECK(codes_of(given.table, 1) == own);
  bool const moves = !std::same_as<Policy, quantize::keep_collisions>;
  CHECK((codes_of(given.table, 2) != own) == moves);
  CHECK((codes_of(given.table, 2) != codes_of(given.table, 3)) == moves);
}

TEST_CASE("suffix: kept items keep their number, and the others get the smallest that are left") {
  auto given = random_catalog(5, {2, 2}, 1);
  auto const own = codes_of(given.table, 0);
  for (index_t i = 1; i < 5; ++i) given.table.set(item(i), own);
  quantize::code_table kept(5, {2, 2, 8});
  kept.set(item(3), sequence{own[0], own[1], code_t{1}});
  CHECK(given.resolve(quantize::suffix{.codes = 8}, kept).colliding == 4);
  std::vector<int> numbers;
  for (index_t i = 0; i < 5; ++i) numbers.push_back(static_cast<int>(codes_of(given.table, i).back()));
  CHECK(numbers == std::vector<int>{0, 2, 3, 1, 4});
}

TEST_CASE("match: new items of a prefix whose codes are all kept move to another prefix") {
  auto given = random_catalog(8, {2, 2}, 2);
  for (int k = 0; k < 2; ++k) given.table.set(item(k), sequence{code_t{0}, code_t(k)});
  given.table.set(item(2), sequence{code_t{0}, code_t{1}});
  for (index_t i = 3; i < 8; ++i) given.table.remove(item(i));
  auto kept = given.table;
  kept.remove(item(2));
  given.resolve(quantize::match{}, kept);
  CHECK(codes_of(given.table, 2).front() == code_t{1});
  CHECK(codes_of(given.table, 0) == sequence{code_t{0}, code_t{0}});
  CHECK(codes_of(given.table, 1) == sequence{code_t{0}, code_t{1}});
}

TEST_CASE("collisions: codebooks that don't match the table are refused") {
  auto given = random_catalog(9, {3, 4}, 2);
  given.levels.pop_back();
  CHECK_THROWS_WITH_AS(given.resolve(quantize::reallocate{}), "collisions: 1 codebooks for a table of 2 levels", error);
  auto other = random_catalog(9, {3, 5}, 2);
  std::swap(given.levels, other.levels);
  CHECK_THROWS_WITH_AS(given.resolve(quantize::match{}), "collisions: the codebook of level 1 is 5 × 3, expected 4 × 3",
                       error);
}

TEST_CASE("uniqueness_report: counts the sequences and lists items that share one") {
  quantize::code_table table(5, {4});
  for (auto const& [i, a] : {std::array{0, 1}, {2, 1}, {3, 2}, {4, 1}}) table.set(item(i), sequence{code_t(a)});
  auto const found = quantize::check_uniqueness(table);
  CHECK(found.distinct == 2);
  CHECK(found.missing == 1);
  CHECK(found.first_groups == std::vector<std::vector<item_id>>{{item(0), item(2), item(4)}});
  CHECK(found.summary() == "4 items with 2 different sequences, 1 items without one: 1 sequences are shared");
  CHECK_FALSE(found.unique());
  table.remove(item(0));
  table.remove(item(4));
  CHECK(quantize::check_uniqueness(table).summary() ==
        "2 items with 2 different sequences, 3 items without one: each has its own");
}

TEST_CASE("uniqueness_report: several ranks, each with some of the items, find what one finds in the whole table") {
  random_stream random(3, 0);
  for (index_t const codes : {1, 3, 40}) {  // all items share a sequence; many do; few or none do
    quantize::code_table table(90, {codes, codes});
    for (int i = 0; i < 90; ++i)
      if (i % 7 != 3) table.set(item(i), sequence{code_t(random.below(codes)), code_t(random.below(codes))});
    auto const whole = quantize::check_uniqueness(table);
    CHECK_CLOSE(whole.collision_rate(), quantize::collision_rate(table), 0);
    for (index_t const ranks : {1, 2, 3, 5})
      train::run_on_threads(ranks, [&](train::host_communicator communicator) {
        auto own = table;
        for (int i = 0; i < 90; ++i)
          if ((i * i + i / 9) % ranks != communicator.rank()) own.remove(item(i));
        CHECK(quantize::check_uniqueness(own, communicator) == whole);
      });
  }
  quantize::code_table const empty(4, {3});
  train::run_on_threads(
      3, [&](train::host_communicator ranks) { CHECK(quantize::check_uniqueness(empty, ranks).missing == 4); });
}

TEST_CASE("capacity: the expectation before training equals the formula for uniform choice") {
  auto const small = quantize::expected_capacity({2, 3}, 4);
  CHECK(small.log2_sequences == doctest::Approx(std::log2(6.)));
  CHECK(small.expected_collisions == doctest::Approx(4 - 6 * (1 - std::pow(5. / 6, 4))));
  auto const exact = [](long double m, long double n) {
    return static_cast<double>(n + m * std::expm1(n * std::log1p(-1 / m)));
  };
  for (index_t n : {1'000, 1'000'000, 10'000'000, 1'000'000'000}) {
    CAPTURE(n);
    CHECK(quantize::expected_capacity({256, 256, 256, 256}, n).expected_collisions ==
          doctest::Approx(exact(0x1p32L, static_cast<long double>(n))).epsilon(1e-8));
    CHECK(quantize::expected_capacity({512, 512, 512}, n).expected_collisions ==
          doctest::Approx(exact(0x1p27L, static_cast<long double>(n))).epsilon(1e-8));
  }
  CHECK(quantize::expected_capacity({256, 256, 256, 256}, 0).expected_collisions == 0);
}

TEST_CASE("capacity: the fill of every level after training") {
  quantize::code_table table(6, {2, 3});
  for (auto const& [i, a, b] : {std::array{0, 0, 0}, {1, 0, 1}, {2, 0, 2}, {3, 1, 0}})
    table.set(item(i), sequence{code_t(a), code_t(b)});
  auto const report = quantize::capacity_of(table);
  CHECK(report.levels[0] ==
        quantize::level_fill{.prefixes = 1, .fullest = 4, .mean = 4, .fullest_share = 4. / 6, .full_share = 0});
  CHECK(report.levels[1] ==
        quantize::level_fill{.prefixes = 2, .fullest = 3, .mean = 2, .fullest_share = 1, .full_share = 0.5});
  CHECK(report.items_until_full == doctest::Approx(4));
}
