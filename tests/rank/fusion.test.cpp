#include "mql4grec/rank/fusion.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "mql4grec/rank/markov.hpp"
#include "mql4grec/rank/popularity.hpp"
#include "mql4grec/rank/quotas.hpp"

using namespace mql4grec;

namespace {

struct entry {
  int item;
  double score;
};
rank::ranking list(std::vector<entry> const& entries) {
  rank::ranking out;
  for (auto const& [item, score] : entries) out.add(item_id(item), score);
  return out;
}
std::vector<item_id> items(std::vector<int> const& numbers) {
  std::vector<item_id> out;
  for (auto const n : numbers) out.push_back(item_id(n));
  return out;
}
template <rank::FusionPolicy P>
rank::ranking fuse(P const& policy, std::vector<rank::ranking> const& lists) {
  return policy.fuse(lists);
}
/// A rule without a name.
struct first_list {
  rank::ranking fuse(std::span<rank::ranking const> lists) const { return lists.front(); }
  bool operator==(first_list const&) const = default;
};

struct changing_set {
  bool operator()(std::size_t, item_id) { return true; }
};
template <class IsIn>
concept Quotas = requires(IsIn is_in) {
  rank::within_quotas({}, 1, {}, is_in);
};
static_assert(Quotas<bool (*)(std::size_t, item_id)> && !Quotas<changing_set>);

}  // namespace

TEST_CASE("average_plus_one: an item in both lists beats all others with (s₁ + s₂) / 2 + 1") {
  auto const fused = fuse(rank::average_plus_one{}, {list({{1, -0.1}, {2, -0.5}}), list({{3, -0.05}, {2, -0.2}})});
  CHECK(fused.items == items({2, 3, 1}));
  CHECK(fused.scores[0] == doctest::Approx(0.65));
  CHECK(fused.scores[1] == doctest::Approx(-0.05));
  CHECK(fused.scores[2] == doctest::Approx(-0.1));
}

TEST_CASE("average_plus_one: an item that occurs twice in a list counts with its best score") {
  auto const once = fuse(rank::average_plus_one{}, {list({{1, -0.1}, {2, -0.3}}), list({{2, -0.5}})});
  auto const best_first =
      fuse(rank::average_plus_one{}, {list({{1, -0.1}, {2, -0.3}, {2, -0.9}}), list({{2, -0.5}, {2, -0.6}})});
  auto const best_last =
      fuse(rank::average_plus_one{}, {list({{2, -0.9}, {1, -0.1}, {2, -0.3}}), list({{2, -0.6}, {2, -0.5}})});
  CHECK(once == best_first);
  CHECK(once == best_last);
}

TEST_CASE("average_plus_one: ties are resolved to text before image, then by the order of the list") {
  auto const fused = fuse(rank::average_plus_one{}, {list({{7, -1}, {3, -1}}), list({{9, -1}, {1, -1}})});
  CHECK(fused.items == items({7, 3, 9, 1}));
}

TEST_CASE("average_plus_one: a third list adds one more to what all three agree on") {
  auto const fused =
      fuse(rank::average_plus_one{}, {list({{1, -0.3}}), list({{1, -0.6}, {2, -0.1}}), list({{1, -0.9}, {2, -0.1}})});
  CHECK(fused.items == items({1, 2}));
  CHECK(fused.scores[0] == doctest::Approx(-0.6 + 2));
  CHECK(fused.scores[1] == doctest::Approx(-0.1 + 1));
}

TEST_CASE("calibrated: scores become each list's probabilities, and the mean of those ranks") {
  auto const fused = fuse(rank::calibrated{}, {list({{1, std::log(3.0)}, {2, 0.0}}), list({{2, -50.0}})});
  CHECK(fused.items == items({2, 1}));
  CHECK(std::exp(fused.scores[0]) == doctest::Approx((0.25 + 1) / 2));
  CHECK(std::exp(fused.scores[1]) == doctest::Approx(0.75 / 2));
}

TEST_CASE("calibrated: probabilities over all items sum to one, whatever is added to a list's scores") {
  auto const text = list({{1, -1.0}, {2, -2.0}, {3, -700.0}});
  for (double const shift : {0.0, -1000.0, 1000.0}) {
    auto const fused = fuse(rank::calibrated{.sharpness = 5}, {text, list({{4, shift - 1}, {2, shift - 1.5}})});
    double sum = 0;
    for (auto const score : fused.scores) sum += std::exp(score);
    CHECK(sum == doctest::Approx(1));
    CHECK(fused.items.front() == item_id{1});
  }
}

TEST_CASE("fusion: a score of −∞ isn't a missing one") {
  double const none = -std::numeric_limits<double>::infinity();
  auto const fused = fuse(rank::average_plus_one{}, {list({{1, none}, {2, -1}}), list({{2, none}, {3, -1}})});
  CHECK(fused.items == items({3, 1, 2}));
  CHECK(fused.scores == std::vector<double>{-1, none, none});
  CHECK(fuse(rank::calibrated{}, {list({{1, none}, {2, -1}}), list({{2, -3}})}).scores == std::vector<double>{0, none});
  CHECK(std::isnan(fuse(rank::calibrated{}, {list({{1, none}})}).scores[0]));
}

TEST_CASE("fusion: no lists give an empty ranking, and a single list keeps its order") {
  auto const one = list({{5, -0.2}, {4, -0.2}, {6, -0.4}});
  CHECK(fuse(rank::average_plus_one{}, {}).items.empty());
  CHECK(fuse(rank::calibrated{}, {rank::ranking{}, rank::ranking{}}).items.empty());
  CHECK(fuse(rank::average_plus_one{}, {one, rank::ranking{}}) == one);
  CHECK(fuse(rank::calibrated{}, {one, rank::ranking{}}).items == one.items);
}

TEST_CASE("popularity: items by their number of training interactions, ties by id") {
  catalog::interactions data;
  data.add_user("0", items({2, 1, 4, 4}));
  data.add_user("1", items({2, 3, 4, 4}));
  data.add_user("2", items({0}));
  auto const best = rank::popularity(data, 4);
  CHECK(best.items == items({2, 0, 1, 3}));
  CHECK(best.scores == std::vector<double>{2, 1, 1, 1});
  CHECK(rank::popularity(data, 99).size() == 5);
  CHECK(rank::popularity(data, 0).size() == 0);
}

TEST_CASE("markov: items by the transitions from the last one, then by popularity, then by id") {
  catalog::interactions data;  // the last two items of a user are not for training
  data.add_user("0", items({2, 1, 2, 3, 2, 1, 9, 9}));
  data.add_user("1", items({2, 0, 3, 9, 9}));
  rank::markov_chain const chain(data, 4);
  auto const after_two = chain.rank_after(item_id{2});
  CHECK(after_two.items == items({1, 3, 0, 2}));
  for (auto const& [place, score] : {std::pair{0, 2 + 2 / 9.0}, {1, 1 + 2 / 9.0}, {2, 1 + 1 / 9.0}, {3, 4 / 9.0}})
    CHECK(after_two.scores[static_cast<std::size_t>(place)] == doctest::Approx(score / 5));
  CHECK(chain.rank_after(item_id{9}).items == rank::popularity(data, 4).items);
  CHECK(rank::markov_chain(data, 1).rank_after(item_id{2}).items == items({1}));
  CHECK(rank::markov_chain(data, 99).rank_after(item_id{2}).size() == data.item_count);
}

TEST_CASE("any_fusion: has the name of its rule, with all digits of its parameters, or none") {
  CHECK(rank::any_fusion().name() == "average_plus_one");
  CHECK(rank::any_fusion(rank::calibrated{}).name() == "calibrated, sharpness 1");
  double const more = std::nextafter(5.0, 6.0);
  CHECK(rank::any_fusion(rank::calibrated{.sharpness = more}).name() !=
        rank::any_fusion(rank::calibrated{.sharpness = 5}).name());
  CHECK(rank::any_fusion(rank::calibrated{.weights = {0.25, 1e-7}}).name() ==
        "calibrated, sharpness 1, weights 0.25 1e-07");
  CHECK(rank::any_fusion(first_list{}).name().empty());
}

TEST_CASE("calibrated: weights move the order from one list to the other, and their scale doesn't matter") {
  std::vector<rank::ranking> const lists = {list({{1, -1.0}, {2, -2.0}}), list({{3, -1.0}, {2, -2.0}})};
  auto const first = rank::calibrated{.weights = {3, 1}}.fuse(lists),
             second = rank::calibrated{.weights = {1, 3}}.fuse(lists);
  CHECK(index(first.items.front()) == 1);
  CHECK(index(second.items.front()) == 3);
  auto const equal = rank::calibrated{.weights = {2, 2}}.fuse(lists), plain = rank::calibrated{}.fuse(lists);
  CHECK(equal.items == plain.items);
  for (std::size_t i = 0; i < plain.scores.size(); ++i) CHECK(equal.scores[i] == doctest::Approx(plain.scores[i]));
  CHECK_THROWS_WITH_AS(rank::calibrated{.weights = {1}}.fuse(lists),
                       "calibrated: 1 weights for 2 lists, expected one for each", error);
  CHECK_THROWS_AS((rank::calibrated{.weights = {1, -1}}.fuse(lists)), error);
  CHECK_THROWS_AS((rank::calibrated{.weights = {0, 0}}.fuse(lists)), error);
}
