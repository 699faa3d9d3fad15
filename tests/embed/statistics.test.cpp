#include "mql4grec/embed/statistics.hpp"

#include "core/temporary_directory.hpp"
#include "mql4grec/embed/npy_features.hpp"
#include "mql4grec/embed/views.hpp"
#include "support/check_close.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {

embed::feature_statistics statistics_of(matrix<float> const& rows) {
  return embed::check_finite(embed::matrix_features(rows), "items");
}
std::string refusal(matrix<float> const& rows) {
  return complaint<error>([&] { return statistics_of(rows); });
}

/// The statistics by their definition, in two passes of long double.
struct exact_statistics {
  std::vector<float> mean;
  double variance;
};
exact_statistics by_definition(matrix<float> const& x) {
  exact_statistics found{{}, 0};
  long double squares = 0;
  for (index_t j = 0; j < x.columns(); ++j) {
    long double mean = 0;
    auto const at = [&](index_t i) {
      return static_cast<long double>(x.values[static_cast<std::size_t>(i * x.columns() + j)]);
    };
    for (index_t i = 0; i < x.rows(); ++i) mean += at(i);
    mean /= static_cast<long double>(x.rows());
    for (index_t i = 0; i < x.rows(); ++i) squares += (at(i) - mean) * (at(i) - mean);
    found.mean.push_back(static_cast<float>(mean));
  }
  found.variance = static_cast<double>(squares / static_cast<long double>(x.rows() * x.columns()));
  return found;
}
void check_statistics(matrix<float> const& x) {
  auto const found = statistics_of(x);
  auto const expected = by_definition(x);
  CHECK_CLOSE(vector(found.mean), vector(expected.mean), 1e-6);
  CHECK(std::abs(found.variance - expected.variance) <= 1e-9 * expected.variance);
}

}  // namespace

TEST_CASE("check_finite: the mean is each column's, the variance that of all entries around their column's mean") {
  auto const found = statistics_of({{1.f, 10.f}, {3.f, 10.f}, {5.f, 40.f}});
  CHECK(found.mean == std::vector<float>{3.f, 20.f});
  CHECK(found.variance == doctest::Approx((4 + 0 + 4 + 100 + 100 + 400) / 6.0).epsilon(1e-15));
}

TEST_CASE("checksum_of_rows: that of the statistics; rows in another order have another one") {
  matrix<float> const rows = {{1.f, 2.f, 3.f}, {4.f, 5.f, 6.f}, {7.f, 8.f, 9.f}},
                      swapped = {{4.f, 5.f, 6.f}, {1.f, 2.f, 3.f}, {7.f, 8.f, 9.f}};
  CHECK(embed::checksum_of_rows(embed::matrix_features(rows)) == statistics_of(rows).checksum);
  CHECK(statistics_of(swapped).checksum != statistics_of(rows).checksum);
  CHECK(embed::checksum_of_rows(embed::selected_features(embed::matrix_features(rows), {})) == 0);
}

TEST_CASE("check_finite: agrees with two passes in higher precision, for any number of blocks") {
  for (index_t rows : {2, 3, 100, 3001})
    for (index_t columns : {1, 3, 129}) check_statistics(as<float>(random_normal({rows, columns}, 5)));
  check_statistics(as<float>(random_normal({3, 200'000}, 6)));  // a row is most of a block
  check_statistics(as<float>(random_normal({2, 300'000}, 6)));  // a row is more than a block
}

TEST_CASE("check_finite: a mean far from zero and a first row far from all others don't reduce the precision") {
  auto far = as<float>(random_normal({4000, 3}, 7));
  for (float& x : far.values) x = 4096.f + x / 64;
  check_statistics(far);
  auto outlier = far;
  for (std::size_t j = 0; j < 3; ++j) outlier.values[j] = -1e8f;
  check_statistics(outlier);
}

TEST_CASE("check_finite: features scaled by these statistics have mean 0 and variance 1") {
  auto x = as<float>(random_normal({500, 7}, 8));
  for (std::size_t i = 0; i < x.values.size(); ++i) x.values[i] = 3.f * x.values[i] + static_cast<float>(i % 7);
  embed::matrix_features const features(x);
  auto const found = embed::check_finite(features, "items");
  embed::scaled_features const scaled(features, {found.mean, static_cast<float>(1 / std::sqrt(found.variance))});
  auto const again = embed::check_finite(scaled, "items");
  CHECK_CLOSE(vector(again.mean), constant(7, 0.f), 1e-6);
  CHECK(again.variance == doctest::Approx(1).epsilon(1e-6));
}

TEST_CASE("check_finite: the first entry that isn't finite is named by its row and column") {
  matrix<float> x = as<float>(random_normal({6001, 130}, 9));  // three blocks
  auto const at = [&](index_t i, index_t j) -> float& { return x.values[static_cast<std::size_t>(i * 130 + j)]; };
  CHECK(refusal(x).empty());
  at(6000, 129) = INFINITY;
  CHECK(refusal(x) == "items: row 6000, column 129: inf, expected a finite number");
  at(2050, 3) = -INFINITY;
  CHECK(refusal(x) == "items: row 2050, column 3: -inf, expected a finite number");
  at(2050, 0) = std::numeric_limits<float>::quiet_NaN();
  CHECK(refusal(x) == "items: row 2050, column 0: nan, expected a finite number");
  at(0, 129) = INFINITY;
  CHECK(refusal(x) == "items: row 0, column 129: inf, expected a finite number");
}

TEST_CASE("check_finite: the largest floats and the smallest are finite") {
  float const most = std::numeric_limits<float>::max(), least = std::numeric_limits<float>::denorm_min();
  auto const large = statistics_of({{most}, {-most}});
  CHECK(large.mean == std::vector<float>{0.f});
  CHECK(large.variance == static_cast<double>(most) * static_cast<double>(most));
  CHECK(statistics_of({{least}, {-least}}).variance == static_cast<double>(least) * static_cast<double>(least));
}

TEST_CASE("check_finite: equal rows and missing rows are refused") {
  CHECK(refusal(constant({1000, 3}, 0.1f)) ==
        "items: all 1000 rows are equal, their variance is 0; nothing can be learnt from them");
  CHECK(refusal({{1.f, 2.f}}) == "items: all 1 rows are equal, their variance is 0; nothing can be learnt from them");
  CHECK(refusal(matrix<float>({0, 3}, {})) == "items: 0 rows of 3 entries, expected at least one of each");
  CHECK(refusal(matrix<float>({3, 0}, {})) == "items: 3 rows of 0 entries, expected at least one of each");
  CHECK(refusal({{1.f, 2.f}, {1.f, 2.f}, {1.f, 2.0000002f}}).empty());
}

TEST_CASE("check_finite: the message contains the file and the row in it") {
  temporary_directory const directory;
  write_npy(directory / "arts.npy", matrix<float>{{1.f, 2.f}, {3.f, 4.f}});
  write_npy(directory / "games.npy", matrix<float>{{1.f, 2.f}, {3.f, INFINITY}});
  std::vector<embed::npy_features> files;
  files.emplace_back(directory / "arts.npy");
  files.emplace_back(directory / "games.npy");
  embed::joined_features const features(std::move(files));
  CHECK(complaint<error>([&] { return embed::check_finite(features, "text"); }) ==
        "text: row 1 of " + (directory / "games.npy").string() + ", column 1: inf, expected a finite number");
}

TEST_CASE("distinct_rows: equal rows count once, and counting stops at the limit") {
  index_t const width = 3, rows = 30'000;
  matrix<float> x({rows, width}, std::vector<float>(static_cast<std::size_t>(rows * width)));
  for (index_t i = 0; i < rows; ++i) x.values[static_cast<std::size_t>(i * width + 1)] = static_cast<float>(i % 7);
  CHECK(embed::distinct_rows(embed::matrix_features(x), 100) == 7);
  CHECK(embed::distinct_rows(embed::matrix_features(x), 7) == 7);
  CHECK(embed::distinct_rows(embed::matrix_features(x), 3) == 3);
  x.values.back() = -0.f;
  CHECK(embed::distinct_rows(embed::matrix_features(x), 100) == 7);
  x.values.back() = 1e-30f;
  CHECK(embed::distinct_rows(embed::matrix_features(x), 100) == 8);
  CHECK(embed::distinct_rows(embed::matrix_features(host_matrix_view<float const>(nullptr, 0, width)), 5) == 0);
}
