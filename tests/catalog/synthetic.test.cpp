#include "mql4grec/catalog/synthetic.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>

#include "mql4grec/catalog/split.hpp"
#include "mql4grec/metrics/ranking_metrics.hpp"
#include "mql4grec/rank/popularity.hpp"

using namespace mql4grec;

namespace {

std::array<code_t, 4> row(host_array<code_t, 2> const& codes, std::size_t i) {
  return {codes(i, 0), codes(i, 1), codes(i, 2), codes(i, 3)};
}

double distance(host_array<float, 2> const& features, std::size_t a, std::size_t b) {
  double sum = 0;
  for (std::size_t j = 0; j < features.shape(1); ++j) sum += std::pow(features(a, j) - features(b, j), 2);
  return std::sqrt(sum);
}

/// A predictor that counts kind → kind in the training parts: it predicts the same material and finish in the most
/// frequent next kind.
class counted_walk {
 public:
  explicit counted_walk(catalog::synthetic_dataset const& shop) : codes_(shop.codes[0]) {
    for (std::size_t i = 0; i < codes_.shape(0); ++i) item_with_[row(codes_, i)] = item_id(i);
    for (index_t u = 0; u < shop.interactions.users(); ++u) {
      auto const items = catalog::training_items(shop.interactions, user_id(u));
      for (std::size_t p = 1; p < items.size(); ++p) ++steps_[kind(items[p - 1])][kind(items[p])];
    }
  }
  item_id next(item_id last) const {
    auto const& counts = steps_.at(kind(last));
    auto wish = row(codes_, static_cast<std::size_t>(last));
    wish[0] = std::ranges::max_element(counts, {}, [](auto const& entry) { return entry.second; })->first;
    return item_with_.at(wish);
  }

 private:
  code_t kind(item_id item) const { return codes_(static_cast<std::size_t>(item), 0); }
  host_array<code_t, 2> const& codes_;
  std::map<std::array<code_t, 4>, item_id> item_with_;
  std::map<code_t, std::map<code_t, int>> steps_;
};

}  // namespace

TEST_CASE("synthetic: the catalog is determined by options and seed") {
  auto const one = catalog::make_synthetic_dataset({.users = 50}, 0);
  auto const again = catalog::make_synthetic_dataset({.users = 50}, 0);
  CHECK(one.interactions == again.interactions);
  CHECK(one.items == again.items);
  CHECK(one.features == again.features);
  CHECK(one.codes == again.codes);
  CHECK(catalog::make_synthetic_dataset({.users = 50, .seed = 1}, 0).interactions != one.interactions);
  CHECK(catalog::make_synthetic_dataset({.users = 60}, 0).interactions.of(user_id{7}).size() ==
        one.interactions.of(user_id{7}).size());
}

TEST_CASE("synthetic: no user interacts with an item twice, and histories have the requested lengths") {
  auto const shop = catalog::make_synthetic_dataset({.items = 14, .users = 200, .min_length = 3, .max_length = 14}, 0);
  std::set<std::size_t> lengths;
  for (index_t u = 0; u < 200; ++u) {
    auto const items = shop.interactions.of(user_id(u));
    lengths.insert(items.size());
    CHECK(std::set(items.begin(), items.end()).size() == items.size());
  }
  CHECK(*lengths.begin() == 3);
  CHECK(*lengths.rbegin() == 14);
  CHECK(shop.interactions.item_count == 14);
}

TEST_CASE("synthetic: a code sequence identifies one item of all datasets, including series") {
  for (index_t m = 0; m < 2; ++m) {
    std::set<std::array<code_t, 4>> seen;
    for (index_t d = 0; d < 3; ++d) {
      auto const shop = catalog::make_synthetic_dataset({.items = 900, .users = 1}, d);
      for (std::size_t i = 0; i < 900; ++i) {
        auto const codes = row(shop.codes[static_cast<std::size_t>(m)], i);
        CHECK(std::ranges::all_of(codes, [](code_t c) { return index(c) >= 0 && index(c) < 256; }));
        seen.insert(codes);
      }
    }
    CHECK(seen.size() == 2700);
  }
}

TEST_CASE("synthetic: titles contain an item's factors") {
  auto const shop = catalog::make_synthetic_dataset({.users = 0}, 0);
  std::set<std::string> titles;
  for (auto const& [id, item] : shop.items) titles.insert(item.title);
  CHECK(shop.name == "Instruments");
  CHECK(titles.size() == 400);
  CHECK(titles.contains("Vintage walnut acoustic guitar"));
  CHECK(catalog::make_synthetic_dataset({.users = 0}, 4).name == "Instruments2");
}

TEST_CASE("synthetic: text features are similar within a kind, image features within a material") {
  auto const shop = catalog::make_synthetic_dataset({.users = 0}, 0);
  for (std::size_t m = 0; m < 2; ++m) {
    double same = 0, other = 0;
    index_t sames = 0, others = 0;
    for (std::size_t a = 0; a < 400; ++a)
      for (std::size_t b = 0; b < a; ++b) {
        bool const alike = shop.codes[m](a, 0) == shop.codes[m](b, 0);
        (alike ? same : other) += distance(shop.features[m], a, b);
        ++(alike ? sames : others);
      }
    CHECK(same / static_cast<double>(sames) < 0.7 * other / static_cast<double>(others));
  }
}

TEST_CASE("synthetic: the next item follows from the history and not from popularity") {
  auto const shop = catalog::make_synthetic_dataset({}, 0);
  auto const popular = rank::popularity(shop.interactions, 10);
  counted_walk const walk(shop);
  metrics::metric_accumulator by_popularity, by_history;
  for (auto const user : catalog::evaluated_users(shop.interactions)) {
    auto const wanted = catalog::target(shop.interactions, user, catalog::split::test);
    rank::ranking guess;
    guess.add(walk.next(catalog::history(shop.interactions, user, catalog::split::test).back()), 1);
    by_popularity.add(metrics::place_of(popular, wanted));
    by_history.add(metrics::place_of(guess, wanted));
  }
  MESSAGE("hit@1 of counting " << by_history.mean().hit(1) << ", hit@10 of popularity "
                               << by_popularity.mean().hit(10));
  CHECK(by_history.mean().hit(1) > 0.35);
  CHECK(by_popularity.mean().hit(10) < 0.1);
}

TEST_CASE("synthetic: missing modalities leave rows of zeros and of -1") {
  auto const shop = catalog::make_synthetic_dataset({.users = 1, .missing_text = 0.2, .missing_image = 0.5}, 0);
  std::array<int, 2> missing = {0, 0};
  for (std::size_t i = 0; i < 400; ++i)
    for (std::size_t m = 0; m < 2; ++m) {
      bool const gone = shop.codes[m](i, 0) == code_t{-1};
      missing[m] += gone ? 1 : 0;
      CHECK((shop.codes[m](i, 3) == code_t{-1}) == gone);
      CHECK((shop.features[m](i, 0) == 0) == gone);
      if (m == 0) CHECK(shop.items.contains(item_id(i)) == !gone);
    }
  CHECK(std::abs(missing[0] - 80) < 30);
  CHECK(std::abs(missing[1] - 200) < 40);
}

TEST_CASE("synthetic: options out of range are refused with the numbers") {
  CHECK_THROWS_AS(catalog::make_synthetic_dataset({.items = 0}, 0), error);
  CHECK_THROWS_AS(catalog::make_synthetic_dataset({.items = 5}, 0), error);
  CHECK_THROWS_AS(catalog::make_synthetic_dataset({}, 25), error);
  CHECK_THROWS_AS(catalog::make_synthetic_dataset({.min_length = 9, .max_length = 8}, 0), error);
  CHECK(catalog::make_synthetic_dataset({.items = 1, .users = 3, .min_length = 0, .max_length = 1}, 0)
            .interactions.users() == 3);
}
