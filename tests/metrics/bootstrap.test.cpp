// Confidence intervals over users.
#include "mql4grec/metrics/bootstrap.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "mql4grec/core/random.hpp"

using namespace mql4grec;
using metrics::bootstrap_difference;
using metrics::bootstrap_mean;

namespace {
std::vector<double> hits(index_t users, double probability, std::uint64_t stream) {
  random_stream random(3, stream);
  std::vector<double> out;
  for (index_t u = 0; u < users; ++u) out.push_back(random.uniform() < probability ? 1.0 : 0.0);
  return out;
}
}  // namespace

TEST_CASE("bootstrap: the interval of a share is the normal approximation's") {
  auto const values = hits(2000, 0.3, 1);
  auto const found = bootstrap_mean(values, {.samples = 4000});
  double const deviation = std::sqrt(found.mean * (1 - found.mean) / 2000);
  CHECK(found.mean == doctest::Approx(0.3).epsilon(0.1));
  CHECK(found.low == doctest::Approx(found.mean - 1.96 * deviation).epsilon(0.01));
  CHECK(found.high == doctest::Approx(found.mean + 1.96 * deviation).epsilon(0.01));
  CHECK(bootstrap_mean(values, {.samples = 4000}) == found);
}

TEST_CASE("bootstrap: a paired difference is narrower than the intervals of its parts") {
  auto const a = hits(2000, 0.3, 1);
  auto b = a;
  for (std::size_t u = 0; u < 40; ++u) b[u] = 0;  // worse for a few users, equal for all others
  auto const found = bootstrap_difference(a, b);
  auto const whole = bootstrap_mean(a);
  CHECK(found.low > 0);
  CHECK(found.high - found.low < (whole.high - whole.low) / 4);
}

TEST_CASE("bootstrap: options and sizes are checked") {
  std::vector<double> const none, one = {1}, two = {1, 0};
  CHECK_THROWS_WITH_AS(bootstrap_mean(none), "bootstrap: no users", error);
  CHECK_THROWS_WITH_AS(bootstrap_difference(one, two), "bootstrap: 1 and 2 users, expected the same users", error);
  CHECK_THROWS_AS(bootstrap_mean(two, {.samples = 0}), error);
  CHECK_THROWS_AS(bootstrap_mean(two, {.confidence = 1}), error);
}
