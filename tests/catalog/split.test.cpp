#include "mql4grec/catalog/split.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include "catalog/scratch.hpp"

using namespace mql4grec;
using test::complaint_of;
using test::has;

namespace {

std::vector<item_id> items(std::vector<int> const& numbers) {
  std::vector<item_id> out;
  for (auto const n : numbers) out.push_back(item_id(n));
  return out;
}
bool same(std::span<item_id const> found, std::vector<int> const& expected) {
  return std::ranges::equal(found, items(expected));
}
catalog::interactions of_users(std::vector<std::vector<int>> const& users) {
  catalog::interactions data;
  for (auto const& user : users) data.add_user("u" + std::to_string(data.users()), items(user));
  return data;
}

}  // namespace

TEST_CASE("interactions: users are rows, and the largest item determines the catalog's size") {
  auto const data = of_users({{3, 1}, {}, {7}});
  CHECK(data.users() == 3);
  CHECK(data.item_count == 8);
  CHECK(same(data.of(user_id{0}), {3, 1}));
  CHECK(data.of(user_id{1}).empty());
  CHECK(same(data.of(user_id{2}), {7}));
  CHECK(catalog::interactions{}.users() == 0);
  CHECK_THROWS_AS(data.of(user_id{3}), error);
  CHECK_THROWS_AS(data.of(user_id{-1}), error);
  CHECK_THROWS_AS(of_users({{-1}}), error);
}

TEST_CASE("split: the last item is the test target, the one before it the validation target, the rest is training") {
  auto const data = of_users({{5, 6, 7, 8, 9}});
  user_id const u{0};
  CHECK(same(catalog::training_items(data, u), {5, 6, 7}));
  CHECK(catalog::target(data, u, catalog::split::valid) == item_id{8});
  CHECK(catalog::target(data, u, catalog::split::test) == item_id{9});
  CHECK(same(catalog::history(data, u, catalog::split::valid), {5, 6, 7}));
  CHECK(same(catalog::history(data, u, catalog::split::test), {5, 6, 7, 8}));
  CHECK(catalog::target(data, u, catalog::split::train) == item_id{7});
  CHECK(same(catalog::history(data, u, catalog::split::train), {5, 6}));
}

TEST_CASE("split: a history is the last max_history items before the target") {
  std::vector<int> long_one(30);
  for (int i = 0; i < 30; ++i) long_one[static_cast<std::size_t>(i)] = i;
  auto const data = of_users({long_one});
  auto const before_test = catalog::history(data, user_id{0}, catalog::split::test);
  CHECK(before_test.size() == 20);
  CHECK(before_test.front() == item_id{9});
  CHECK(before_test.back() == item_id{28});
  CHECK(same(catalog::history(data, user_id{0}, catalog::split::test, 2), {27, 28}));
  CHECK(catalog::history(data, user_id{0}, catalog::split::test, 0).empty());
  CHECK_THROWS_AS(catalog::history(data, user_id{0}, catalog::split::test, -1), error);
}

TEST_CASE("split: a user with fewer than three items is used for training only, and is counted") {
  auto const data = of_users({{}, {1}, {1, 2}, {1, 2, 3}});
  CHECK(catalog::short_users(data) == 3);
  CHECK(catalog::evaluated_users(data) == std::vector{user_id{3}});
  CHECK(same(catalog::training_items(data, user_id{2}), {1, 2}));
  CHECK(same(catalog::training_items(data, user_id{3}), {1}));
  CHECK(catalog::training_items(data, user_id{0}).empty());
  auto const complaint = complaint_of([&] { return catalog::target(data, user_id{2}, catalog::split::test); });
  CHECK(has(complaint, "user 2 has only 2 items"));
  CHECK_THROWS_AS(catalog::target(data, user_id{0}, catalog::split::train), error);
}

TEST_CASE("split by time: the first item from then on is the test target, everything before it is known") {
  auto data = of_users({{5, 6, 7, 8, 9}, {1, 2}, {3, 4}, {5}, {}, {6, 7}});
  std::vector<double> const times = {1, 2, 2, 3, 4, 2, 3, 3, 3, 1, 2, 2};
  catalog::split_by_time(data, times, 3);
  REQUIRE(data.time.has_value());
  CHECK(data.time->known == std::vector<index_t>{3, 1, 0, 1, 0, 2});
  user_id const all{0}, one_before{1}, none_before{2}, none_after{5};
  CHECK(same(catalog::known_items(data, all), {5, 6, 7}));
  CHECK(same(catalog::training_items(data, all), {5, 6}));
  CHECK(catalog::target(data, all, catalog::split::valid) == item_id{7});
  CHECK(same(catalog::history(data, all, catalog::split::valid), {5, 6}));
  CHECK(catalog::target(data, all, catalog::split::test) == item_id{8});
  CHECK(same(catalog::history(data, all, catalog::split::test), {5, 6, 7}));
  CHECK(same(catalog::training_items(data, one_before), {1}));
  CHECK(catalog::target(data, one_before, catalog::split::test) == item_id{2});
  CHECK(catalog::evaluated_users(data) == std::vector{all, one_before});
  CHECK(catalog::evaluated_users(data, catalog::split::valid) == std::vector{all, none_after});
  CHECK(catalog::is_evaluated(data, all));
  CHECK(!catalog::is_evaluated(data, one_before));
  CHECK(catalog::short_users(data) == 4);
  CHECK(catalog::interacted_items(data) == items({1, 5, 6, 7}));
  CHECK(catalog::training_items(data, none_before).empty());
  CHECK(complaint_of([&] { return catalog::target(data, none_before, catalog::split::test); }) ==
        "user 2 has 2 items, 0 of them before the time of the split, and so no target there");
  CHECK_THROWS_AS(catalog::target(data, none_before, catalog::split::train), error);
  data.add_user("late", items({1}));
  CHECK_THROWS_AS(catalog::known_items(data, user_id{6}), error);
}

TEST_CASE("split by time: times that don't belong to the interactions are refused") {
  auto data = of_users({{1, 2}, {3}});
  CHECK(complaint_of([&] {
          catalog::split_by_time(data, std::vector{1.0, 2.0}, 2);
        }) == "times of 2 interactions, but there are 3");
  CHECK(complaint_of([&] {
          catalog::split_by_time(data, std::vector{2.0, 1.0, 5.0}, 2);
        }) == "the times of user 0 don't rise");
  CHECK(!data.time.has_value());
}
