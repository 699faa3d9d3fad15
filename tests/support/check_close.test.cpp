#include "support/check_close.hpp"

#include "../benchmarks/timing.hpp"
#include "support/backends.hpp"
#include "support/data.hpp"
#include "support/gradient.hpp"
#include "support/instruction_sets.hpp"
#include "support/sizes.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

TEST_CASE("check_close: a failure contains the worst entry, both values, the difference and the tolerance") {
  auto const verdict = compare(matrix{{1., 2., 3.}, {4., 5.5, 6.1}}, matrix{{1., 2., 3.}, {4., 5., 6.}}, 1e-3);
  CHECK_FALSE(verdict.holds);
  CHECK(verdict.message ==
        "(1, 1) of 2 × 3 is 5.5 instead of 5: the difference is 0.5, allowed 0.005 (tolerance 0.001); 2 of 6 entries "
        "are apart");
}

TEST_CASE("check_close: NaN never matches, and infinity matches only itself") {
  double const nan = std::nan(""), infinite = std::numeric_limits<double>::infinity();
  CHECK_FALSE(compare(nan, nan, 1).holds);
  CHECK_FALSE(compare(vector{1., nan}, vector{1., 2.}, 1e9).holds);
  CHECK_CLOSE(vector{1., infinite}, vector{1., infinite}, 0);
  CHECK_FALSE(compare(infinite, 1., 1e9).holds);
  CHECK(larger(1, 2) == 2);
  CHECK(larger(2, 1) == 2);
  CHECK((std::isnan(larger(1, nan)) && std::isnan(larger(nan, 1))));
}

TEST_CASE("check_close: other shapes are never close") {
  CHECK(compare(vector{1.f}, matrix{{1.f}}, 1).message == "the shape is 1 instead of 1 × 1");
  CHECK_FALSE(compare(std::vector{1, 2}, std::vector{1, 2, 3}, 1).holds);
}

TEST_CASE_TEMPLATE("tensors: a backend's copy keeps the entries and fills the gaps between rows with NaN", B,
                   MQL4GREC_TEST_BACKENDS) {
  B backend;
  auto x = on(backend, random_normal<float>({3, 5}, 1), 2);
  CHECK_CLOSE(x, random_normal<float>({3, 5}, 1), 0);
  CHECK((*x).stride == 7);
  CHECK(x.gaps_untouched());
  (*x).data[5] = 0;
  CHECK_FALSE(x.gaps_untouched());
}

TEST_CASE("gradient_error: is large for a wrong gradient and small for the right one") {
  auto const cube = [](vector<complex> const& x) { return x.values[0] * x.values[0] * x.values[0] + x.values[1]; };
  std::vector<double> const right{12, 1}, wrong{12, 2};
  CHECK(gradient_error(cube, vector{2., 5.}, right) < 1e-15);
  CHECK(gradient_error(cube, vector{2., 5.}, wrong) == doctest::Approx(1. / 12));
}

TEST_CASE("benchmarks: a percentile is the least value that a share of the values doesn't exceed") {
  std::vector<double> values;
  for (int i = 1; i <= 100; ++i) values.push_back(i);
  CHECK(bench::percentile(values, 0) == 1);
  CHECK(bench::percentile(values, .07) == 7);
  CHECK(bench::percentile(values, .5) == 50);
  CHECK(bench::percentile(values, .99) == 99);
  CHECK(bench::percentile(values, .999) == 100);
  CHECK(bench::percentile({3}, .5) == 3);
}
