#include "mql4grec/catalog/training_users.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>
#include <vector>

#include "catalog/scratch.hpp"
#include "mql4grec/catalog/split.hpp"
#include "mql4grec/rank/popularity.hpp"

using namespace mql4grec;
using catalog::first_users;
using catalog::random_users;
using catalog::selected_users;

namespace {
catalog::interactions users_of_four_items(index_t users) {
  catalog::interactions data;
  for (index_t u = 0; u < users; ++u)
    data.add_user(std::to_string(u), std::vector{item_id(4 * u), item_id(4 * u + 1), item_id(4 * u + 2), item_id(1)});
  return data;
}
}  // namespace

TEST_CASE("training_users: the first ones, or a random share; larger shares of a seed contain smaller ones") {
  CHECK(selected_users(9, first_users{3}) == std::vector{user_id{0}, user_id{1}, user_id{2}});
  CHECK(selected_users(2, first_users{3}).size() == 2);
  CHECK(selected_users(9, random_users{.share = 1}) == selected_users(9, first_users{9}));
  CHECK(selected_users(0, random_users{.share = 0.5}).empty());
  std::vector<user_id> smaller;
  for (double const share : {0.001, 0.01, 0.05, 0.1, 0.5}) {
    auto const users = selected_users(1000, random_users{.share = share, .seed = 7});
    CHECK(std::ssize(users) == static_cast<index_t>(1000 * share + 0.5));
    CHECK(std::ranges::is_sorted(users));
    CHECK(std::set<user_id>(users.begin(), users.end()).size() == users.size());
    CHECK(std::ranges::includes(users, smaller));
    smaller = users;
  }
  CHECK(selected_users(1000, random_users{.share = 0.5, .seed = 7}) == smaller);
  CHECK(selected_users(1000, random_users{.share = 0.5, .seed = 8}) != smaller);
  CHECK(selected_users(1000, random_users{.share = 1e-9, .seed = 7}).size() == 1);
}

TEST_CASE("training_users: a selection out of range is refused") {
  CHECK_THROWS_AS(catalog::validate(first_users{0}), error);
  for (double const share : {0.0, -1.0, 1.01, std::nan("")})
    CHECK_THROWS_AS(catalog::validate(random_users{.share = share}), error);
}

TEST_CASE("training_users: the others have no training items, and keep their validation and test targets") {
  auto const all = users_of_four_items(5);
  auto data = all;
  catalog::keep_training_users(data, first_users{2});
  for (index_t u = 0; u < 5; ++u) {
    auto const user = static_cast<user_id>(u);
    CHECK(catalog::is_training_user(data, user) == (u < 2));
    CHECK(catalog::training_items(data, user).size() == (u < 2 ? 2 : 0));
    CHECK(catalog::has_target(data, user, catalog::split::train) == (u < 2));
    for (auto const part : {catalog::split::valid, catalog::split::test}) {
      CHECK(catalog::target(data, user, part) == catalog::target(all, user, part));
      CHECK(std::ranges::equal(catalog::history(data, user, part), catalog::history(all, user, part)));
    }
  }
  CHECK(test::complaint_of([&] { return catalog::target(data, user_id{2}, catalog::split::train); }) ==
        "user 2 is not among the users that models are trained on");
  CHECK(catalog::evaluated_users(data) == catalog::evaluated_users(all));
  CHECK(catalog::evaluated_users(data, catalog::split::train).size() == 2);
  CHECK(rank::popularity(data, 9).scores.at(4) == 0);  // of the two users' four training items
  catalog::keep_training_users(data, random_users{.share = 1});
  CHECK(catalog::training_items(data, user_id{4}).size() == 2);
  data.add_user("late", {});
  CHECK_THROWS_AS(static_cast<void>(catalog::is_training_user(data, user_id{5})), error);
}
