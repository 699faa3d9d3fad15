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

rank::list_conditions other_conditions() {
  return {
      .search = {.beams = 50, .length_penalty = 0.1, .normalize = search::normalization::children, .score_eos = false},
      .fusion = rank::calibrated{.weights = {0.1, 2}}.name(),
      .modalities = {"image"},
      .max_history = 7,
      .fill_in = true};
}
}  // namespace

TEST_CASE("fit_calibration: neighbours that violate the order are pooled, as by hand") {
  std::vector<rank::outcome> const outcomes = {{3, true}, {1, false}, {2, true}, {4, false}, {5, true}, {6, true}};
  auto const fitted = rank::fit_calibration(outcomes, {}, {.group = 1});
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
  auto const fitted = rank::fit_calibration(outcomes, {}, {.group = 4});
  CHECK_CLOSE(fitted.scores, std::vector<double>({1, 2.2}), 1e-12);
  CHECK_CLOSE(fitted.probabilities, std::vector<double>({1. / 7, 3. / 5}), 1e-12);
  CHECK(rank::fit_calibration(std::vector<rank::outcome>{{2, true}}, {}).probabilities == std::vector<double>{1});
  CHECK_THROWS_AS(rank::fit_calibration({}, {}), error);
  CHECK_THROWS_AS(rank::fit_calibration(outcomes, {}, {.group = 0}), error);
  outcomes.push_back({std::numeric_limits<double>::infinity(), true});
  CHECK_THROWS_AS(rank::fit_calibration(outcomes, {}), error);
  CHECK_THROWS_AS(static_cast<void>(rank::score_calibration().probability(0)), error);
}

TEST_CASE("fit_calibration: recovers a known probability, and reduces the error on new outcomes; seeds 1 and 2") {
  auto const fitted = rank::fit_calibration(draw(40000, 1, truth), {});
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

TEST_CASE("difference: names the first condition that differs; rules without a name always do") {
  rank::list_conditions const usual, other = other_conditions();
  CHECK(rank::difference(usual, usual).empty());
  CHECK(rank::difference(other, other).empty());
  auto changed = usual;
  CHECK(changed.modalities == std::vector<std::string>{"text", "image"});
  auto const says = [&](std::string const& expected) {
    CHECK(rank::difference(changed, usual) == expected);
    changed = usual;
  };
  changed.search.beams = 3;
  says("fitted with beams 3, expected 20");
  changed.search.length_penalty = 0.1;
  says("fitted with length_penalty 0.1, expected 1");
  changed.search.normalize = search::normalization::children;
  says("fitted with normalize children, expected vocabulary");
  changed.search.score_eos = false;
  says("fitted with score_eos false, expected true");
  changed.fusion = rank::any_fusion(rank::calibrated{.sharpness = 0.1, .weights = {1, 3}}).name();
  says("fitted with fusion 'calibrated, sharpness 0.1, weights 1 3', expected 'average_plus_one'");
  changed.modalities = {"text"};
  says("fitted with modalities text, expected text and image");
  changed.max_history = 3;
  says("fitted with max_history 3, expected 20");
  changed.fill_in = true;
  says("fitted with fill_in true, expected false");
  changed.search.block_rows = 1;
  says("");
  changed.fusion = std::string(200, 'x') + "\n1";
  auto longer = changed;
  longer.fusion += "2";
  CHECK(rank::difference(changed, longer).find('\n') == std::string::npos);
  CHECK_FALSE(rank::difference(changed, longer).empty());
  changed.fusion = "";
  CHECK(rank::difference(changed, changed).find("(a rule without name())") != std::string::npos);
}

TEST_CASE("calibration: is read as it was written, and damaged files are refused") {
  temporary_directory const root;
  auto const file = root / "calibration.json";
  auto const fitted = rank::fit_calibration(draw(5000, 3, truth), other_conditions());
  rank::write_calibration(file, fitted);
  CHECK(rank::read_calibration(file) == fitted);
  auto const whole = read_json(file);
  auto const fault = [&](json const& changes) {
    auto damaged = whole;
    damaged.merge_patch(changes);  // null removes a key
    write_json(file, damaged);
    return complaint<file_error>([&] { return rank::read_calibration(file); });
  };
  for (auto const* const text :
       {R"({"probabilities": null})", R"({"scores": [], "probabilities": []})",
        R"({"scores": [1], "probabilities": [0, 1]})", R"({"scores": [2, 1], "probabilities": [0, 1]})",
        R"({"scores": [1, 2], "probabilities": [1, 0]})", R"({"scores": [1, 2], "probabilities": [0, 1.5]})",
        R"({"scores": [1, 2], "probabilities": [-1, 1]})", R"({"beams": 0})", R"({"beams": 2.5})",
        R"({"beams": 18446744073709551615})", R"({"beams": "3"})", R"({"length_penalty": "1"})", R"({"fusion": ""})",
        R"({"normalize": "trie"})", R"({"score_eos": 1})", R"({"modalities": "text"})", R"({"modalities": [1]})",
        R"({"max_history": 21})", R"({"fill_in": 0})"}) {
    CAPTURE(text);
    CHECK(fault(json::parse(text)).starts_with(file.string() + ": key '"));
  }
  for (auto const* const key : {"beams", "length_penalty", "normalize", "score_eos", "fusion", "modalities",
                                "max_history", "fill_in"})  // as in files of earlier versions
    CHECK(fault({{key, nullptr}}) ==
          file.string() + ": key '" + key +
              "' is missing: files of earlier versions don't state what they were fitted with; `mql4grec evaluate "
              "--calibrate` writes it again");
  CHECK_THROWS_AS(rank::write_calibration(file, rank::fit_calibration(draw(500, 3, truth), {.fusion = ""})), error);
  CHECK(json(rank::measure_reliability(std::vector<rank::outcome>{{0.25, true}})).dump() ==
        R"({"bins":[{"count":1,"predicted":0.25,"observed":1.0}],"expected_error":0.75})");
}
