#include "mql4grec/rank/calibration.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "core/temporary_directory.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/core/random.hpp"
#include "mql4grec/rank/calibration_json.hpp"
#include "support/check_close.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
/// Outcomes with scores −5 … 0, which are next with probability truth(score).
template <class Truth>
std::vector<rank::outcome> draw(index_t count, std::uint64_t seed, Truth truth) {
  random_stream random(seed, 0);
  std::vector<rank::outcome> all;
  for (index_t i = 0; i < count; ++i) {
    double const score = -5 * random.uniform();
    all.push_back({score, random.uniform() < truth(score)});
  }
  return all;
}
double truth(double score) { return 0.4 * std::exp(score); }
}  // namespace

TEST_CASE("fit_calibration: neighbours that violate the order are pooled, as by hand") {
  std::vector<rank::outcome> const outcomes = {{3, true}, {1, false}, {2, true}, {4, false}, {5, true}, {6, true}};
  auto const fitted = rank::fit_calibration(outcomes, {.group = 1});
  // 0 | 1, 1, 0 → 2/3 | 1, 1: equal neighbours are pooled too
  CHECK_CLOSE(fitted.scores, std::vector<double>({1, 3, 5.5}), 1e-12);
  CHECK_CLOSE(fitted.probabilities, std::vector<double>({0, 2. / 3, 1}), 1e-12);
  CHECK(fitted.probability(-100) == 0);
  CHECK_CLOSE(fitted.probability(2), 1. / 3, 1e-12);
  CHECK_CLOSE(fitted.probability(3), 2. / 3, 1e-12);
  CHECK(fitted.probability(100) == 1);
}

TEST_CASE("fit_calibration: groups have at least so many outcomes, and equal scores are never divided") {
  std::vector<rank::outcome> outcomes;
  for (int i = 0; i < 7; ++i) outcomes.push_back({1, i < 1});
  for (int i = 0; i < 4; ++i) outcomes.push_back({2, i < 2});
  outcomes.push_back({3, true});
  auto const fitted = rank::fit_calibration(outcomes, {.group = 4});
  CHECK_CLOSE(fitted.scores, std::vector<double>({1, 2.2}), 1e-12);
  CHECK_CLOSE(fitted.probabilities, std::vector<double>({1. / 7, 3. / 5}), 1e-12);
  CHECK(rank::fit_calibration(std::vector<rank::outcome>{{2, true}}).probabilities == std::vector<double>{1});
  CHECK_THROWS_AS(rank::fit_calibration({}), error);
  CHECK_THROWS_AS(rank::fit_calibration(outcomes, {.group = 0}), error);
  outcomes.push_back({std::numeric_limits<double>::infinity(), true});
  CHECK_THROWS_AS(rank::fit_calibration(outcomes), error);
  CHECK_THROWS_AS(static_cast<void>(rank::score_calibration().probability(0)), error);
}

TEST_CASE("fit_calibration: recovers a known probability, and reduces the error on new outcomes; seeds 1 and 2") {
  auto const fitted = rank::fit_calibration(draw(40000, 1, truth));
  for (double const score : {-4., -3., -2., -1., -0.3}) CHECK_CLOSE(fitted.probability(score), truth(score), 0.02);
  auto before = draw(40000, 2, truth), after = before;
  for (auto& one : before) one.score = std::exp(one.score);
  for (auto& one : after) one.score = fitted.probability(one.score);
  auto const first = rank::measure_reliability(before), second = rank::measure_reliability(after);
  CHECK(first.expected_error > 0.1);  // 0.6 E[exp(s)]
  CHECK(second.expected_error < 0.01);
  CHECK(first.bins.size() == 10);
}

TEST_CASE("measure_reliability: bins and the expected error by hand") {
  std::vector<rank::outcome> const predictions = {{0.1, false}, {0.1, true}, {0.2, false}, {0.9, true}};
  auto const two = rank::measure_reliability(predictions, 2);
  REQUIRE(two.bins.size() == 2);
  CHECK(two.bins[0].count == 2);
  CHECK_CLOSE(two.bins[0].predicted, 0.1, 1e-12);
  CHECK_CLOSE(two.bins[0].observed, 0.5, 1e-12);
  CHECK_CLOSE(two.bins[1].predicted, 0.55, 1e-12);
  CHECK_CLOSE(two.bins[1].observed, 0.5, 1e-12);
  CHECK_CLOSE(two.expected_error, 0.5 * 0.4 + 0.5 * 0.05, 1e-12);
  CHECK(rank::measure_reliability(predictions, 4).bins.size() == 3);  // equal probabilities stay together
  CHECK(rank::measure_reliability({}).bins.empty());
  CHECK_THROWS_AS(rank::measure_reliability(predictions, 0), error);
  CHECK_THROWS_AS(rank::measure_reliability(std::vector<rank::outcome>{{1.5, true}}), error);
}

TEST_CASE("calibration: is read as it was written, and damaged files are refused") {
  temporary_directory const root;
  auto const file = root / "calibration.json";
  auto const fitted = rank::fit_calibration(draw(5000, 3, truth));
  rank::write_calibration(file, fitted);
  CHECK(rank::read_calibration(file) == fitted);
  for (auto const* const text :
       {R"({"scores": [1, 2]})", R"({"scores": [], "probabilities": []})",
        R"({"scores": [1], "probabilities": [0, 1]})", R"({"scores": [2, 1], "probabilities": [0, 1]})",
        R"({"scores": [1, 2], "probabilities": [1, 0]})", R"({"scores": [1, 2], "probabilities": [0, 1.5]})",
        R"({"scores": [1, 2], "probabilities": [-1, 1]})"}) {
    write_json(file, json::parse(text));
    CHECK_THROWS_AS(rank::read_calibration(file), file_error);
  }
  CHECK(json(rank::measure_reliability(std::vector<rank::outcome>{{0.25, true}})).dump() ==
        R"({"bins":[{"count":1,"predicted":0.25,"observed":1.0}],"expected_error":0.75})");
}
