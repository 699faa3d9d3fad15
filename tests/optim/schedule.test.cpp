#include "mql4grec/optim/schedule.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "mql4grec/core/json.hpp"
#include "support/check_close.hpp"

using namespace mql4grec;

namespace {
json const& golden() {
  static json const file = read_json(MQL4GREC_TEST_GOLDEN_DIR "/schedules.json");
  return file;
}
/// Checks the multipliers of the steps 0 … last; the golden numbers have twelve digits.
void check_equal(optim::schedule const& schedule, std::vector<double> const& expected, std::int64_t last) {
  for (std::int64_t step = 0; step <= last; ++step) {
    CAPTURE(step);
    CHECK_CLOSE(optim::multiplier(schedule, step), expected.at(static_cast<std::size_t>(step)), 1e-11);
  }
}
}  // namespace

TEST_CASE("schedules: cosine equals transformers' up to the total number of steps") {
  REQUIRE(!golden().at("cosine").empty());
  for (auto const& c : golden().at("cosine")) {
    optim::cosine_schedule const schedule{.warmup = c.at("warmup"), .total = c.at("total")};
    CAPTURE(schedule.warmup);
    CAPTURE(schedule.total);
    check_equal(schedule, c.at("multipliers").get<std::vector<double>>(), schedule.total);
  }
}

TEST_CASE("schedules: constant equals transformers'") {
  REQUIRE(!golden().at("constant").empty());
  for (auto const& c : golden().at("constant")) {
    auto const expected = c.at("multipliers").get<std::vector<double>>();
    check_equal(optim::constant_schedule{.warmup = c.at("warmup")}, expected, std::ssize(expected) - 1);
  }
}

TEST_CASE("schedules: a multiplier is in [0, 1] for every step") {
  for (std::int64_t const warmup : {0, 1, 3, 100})
    for (std::int64_t const total : {0, 1, 3, 100})
      for (std::int64_t step = 0; step < 250; ++step) {
        double const cosine = optim::cosine_schedule{.warmup = warmup, .total = total}(step);
        double const constant = optim::constant_schedule{.warmup = warmup}(step);
        REQUIRE((cosine >= 0 && cosine <= 1));
        REQUIRE((constant >= 0 && constant <= 1));
      }
}

TEST_CASE("schedules: the peak follows the warm-up directly, and the cosine ends at zero") {
  CHECK(optim::cosine_schedule{.warmup = 5, .total = 50}(5) == 1);
  CHECK(std::abs(optim::cosine_schedule{.warmup = 5, .total = 50}(50)) < 1e-15);
  CHECK(optim::constant_schedule{.warmup = 5}(5) == 1);
  CHECK(optim::constant_schedule{.warmup = 5}(4) == doctest::Approx(0.8));
}
