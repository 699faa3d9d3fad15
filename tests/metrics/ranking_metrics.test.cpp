#include "mql4grec/metrics/ranking_metrics.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

using namespace mql4grec;

namespace {
metrics::metric_values const nothing{.at = {{.k = 1}, {.k = 5}, {.k = 10}}};

metrics::metric_values of_one(metrics::placement at) {
  metrics::metric_accumulator mean;
  mean.add(at);
  return mean.mean();
}
std::vector<token_t> tokens(std::vector<int> const& numbers) {
  std::vector<token_t> out;
  for (auto const n : numbers) out.push_back(token_t(n));
  return out;
}
}  // namespace

TEST_CASE("metrics: the gain at a rank is 1 / log2(rank + 2), and zero from k on") {
  CHECK(of_one({0, 1}) == metrics::metric_values{.at = {{1, 1, 1}, {5, 1, 1}, {10, 1, 1}}});
  auto const third = of_one({2, 1});
  CHECK(third.hit(1) == 0);
  CHECK(third.hit(5) == 1);
  CHECK(third.ndcg(5) == doctest::Approx(0.5));  // 1 / log2 4
  auto const sixth = of_one({5, 1});
  CHECK(sixth.hit(5) == 0);
  CHECK(sixth.ndcg(5) == 0);
  CHECK(sixth.hit(10) == 1);
  CHECK(sixth.ndcg(10) == doctest::Approx(0.3562071871));  // 1 / log2 7
  CHECK(of_one({10, 1}) == nothing);
  CHECK(of_one({}) == nothing);
}

TEST_CASE("metrics: values are means over users including misses, and undefined without users") {
  metrics::metric_accumulator mean;
  CHECK(mean.mean() == nothing);
  mean.add({0, 1});
  mean.add({2, 1});
  mean.add({});
  mean.add({7, 1});
  CHECK(mean.users() == 4);
  CHECK(mean.mean().hit(1) == 0.25);
  CHECK(mean.mean().hit(5) == 0.5);
  CHECK(mean.mean().hit(10) == 0.75);
  CHECK(mean.mean().ndcg(5) == doctest::Approx((1 + 0.5) / 4));
  CHECK(mean.mean().ndcg(10) == doctest::Approx((1 + 0.5 + 1 / std::log2(9.0)) / 4));
}

TEST_CASE("metrics: three items that share a sequence have each of their ranks with probability 1/3") {
  auto const values = of_one({1, 3});  // positions 1, 2, 3
  CHECK(values.hit(1) == 0);
  CHECK(values.hit(5) == 1);
  CHECK(values.ndcg(5) == doctest::Approx((1 / std::log2(3.0) + 1 / std::log2(4.0) + 1 / std::log2(5.0)) / 3));
  auto const cut = of_one({3, 4});  // positions 3, 4 | 5, 6
  CHECK(cut.hit(5) == 0.5);
  CHECK(cut.ndcg(5) == doctest::Approx((1 / std::log2(5.0) + 1 / std::log2(6.0)) / 4));
  CHECK(of_one({0, 4}).hit(1) == 0.25);
  CHECK(of_one({0, 1000}).hit(10) == doctest::Approx(0.01));
}

TEST_CASE("metrics: the expectation over a group is the mean over its possible ranks") {
  for (index_t before = 0; before < 13; ++before)
    for (index_t group = 1; group < 13; ++group) {
      metrics::metric_accumulator enumerated;
      for (index_t place = before; place < before + group; ++place) enumerated.add({place, 1});
      auto const mean = enumerated.mean(), expected = of_one({before, group});
      CHECK(expected.hit(1) == doctest::Approx(mean.hit(1)));
      CHECK(expected.hit(5) == doctest::Approx(mean.hit(5)));
      CHECK(expected.hit(10) == doctest::Approx(mean.hit(10)));
      CHECK(expected.ndcg(5) == doctest::Approx(mean.ndcg(5)));
      CHECK(expected.ndcg(10) == doctest::Approx(mean.ndcg(10)));
    }
}

TEST_CASE("place_of: only a complete sequence is a hit") {
  auto const found = tokens({1, 2, 1, 3, 2, 3});
  CHECK(metrics::place_of(found, tokens({1, 3})) == metrics::placement{1, 1});
  CHECK(metrics::place_of(found, tokens({2, 1})) == metrics::placement{});
  CHECK(metrics::place_of(std::vector<token_t>{}, tokens({1, 2})) == metrics::placement{});
  CHECK_THROWS_AS(metrics::place_of(found, tokens({1, 2, 3, 4})), error);
  CHECK_THROWS_AS(metrics::place_of(found, std::vector<token_t>{}), error);
}

TEST_CASE("expected_place_of: entries of equal score are one group, regardless of the order within it") {
  rank::ranking list;
  list.add(item_id{4}, 0.9);
  list.add(item_id{1}, 0.5);
  list.add(item_id{2}, 0.5);
  list.add(item_id{3}, 0.1);
  CHECK(metrics::expected_place_of(list, item_id{1}) == metrics::placement{1, 2});
  CHECK(metrics::expected_place_of(list, item_id{2}) == metrics::placement{1, 2});
  CHECK(metrics::expected_place_of(list, item_id{3}) == metrics::placement{3, 1});
  CHECK(metrics::expected_place_of(list, item_id{9}) == metrics::placement{});
  CHECK(metrics::place_of(list, item_id{2}) == metrics::placement{2, 1});
  CHECK(metrics::place_of(list, item_id{9}) == metrics::placement{});
}
