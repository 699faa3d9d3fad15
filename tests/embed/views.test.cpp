#include "mql4grec/embed/views.hpp"

#include "support/check_close.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
matrix<float> const all{{1.f, 2.f}, {3.f, 4.f}, {5.f, 6.f}, {7.f, 8.f}};

template <embed::FeatureSource F>
matrix<float> read(F const& from, index_t first, index_t count) {
  matrix<float> out({count, from.width()}, std::vector<float>(static_cast<std::size_t>(count * from.width())));
  from.read(first, {out.values.data(), count, from.width()});
  return out;
}
template <embed::FeatureSource F>
matrix<float> gather(F const& from, std::vector<index_t> const& rows) {
  index_t const count = std::ssize(rows);
  matrix<float> out({count, from.width()}, std::vector<float>(static_cast<std::size_t>(count * from.width())));
  from.gather(rows, {out.values.data(), count, from.width()});
  return out;
}
}  // namespace

TEST_CASE("features: rows in memory are read in blocks and gathered in any order") {
  embed::matrix_features const features(all);
  CHECK_CLOSE(read(features, 1, 2), matrix{{3.f, 4.f}, {5.f, 6.f}}, 0);
  CHECK_CLOSE(gather(features, {3, 0, 3}), matrix{{7.f, 8.f}, {1.f, 2.f}, {7.f, 8.f}}, 0);
  CHECK_THROWS_WITH_AS(read(features, 3, 2), "features: rows 3 to 5 of 4", error);
  CHECK_THROWS_WITH_AS(gather(features, {4}), "features: row 4 of 4", error);
}

TEST_CASE("features: a selection has its own row order and the location of each row") {
  embed::matrix_features const features(all);
  embed::selected_features const some(features, {2, 0});
  CHECK(some.rows() == 2);
  CHECK(some.row(0) == 2);
  CHECK_CLOSE(read(some, 0, 2), matrix{{5.f, 6.f}, {1.f, 2.f}}, 0);
  CHECK_CLOSE(gather(some, {1, 1}), matrix{{1.f, 2.f}, {1.f, 2.f}}, 0);
  CHECK_THROWS_WITH_AS(read(some, 1, 2), "features: rows 1 to 3 of 2", error);
  CHECK_THROWS_WITH_AS(gather(some, {2}), "features: row 2 of 2", error);
  CHECK_THROWS_WITH_AS(embed::selected_features(features, {4}), "features: row 4 is selected of 4", error);
}

TEST_CASE("features: scaling shifts every column and scales all by one factor") {
  embed::matrix_features const features(all);
  embed::scaled_features const moved(features, {{4.f, 5.f}, 2.f});
  CHECK_CLOSE(read(moved, 0, 2), matrix{{-6.f, -6.f}, {-2.f, -2.f}}, 0);
  CHECK_CLOSE(gather(moved, {3}), matrix{{6.f, 6.f}}, 0);
  CHECK_THROWS_WITH_AS(embed::scaled_features(features, {{1.f}, 1.f}), "features: a mean of 1 entries for rows of 2",
                       error);
  CHECK_THROWS_WITH_AS(embed::scaled_features(features, {{1.f, 1.f}, 0.f}),
                       "features: a scale of 0, expected more than 0", error);
}

TEST_CASE("rows_with_features: a row of zeros is an item without the modality; one entry that isn't 0 suffices") {
  matrix<float> const some{{0.f, 0.f}, {0.f, -1.f}, {0.f, 0.f}, {2.f, 0.f}};
  CHECK(embed::rows_with_features(embed::matrix_features(some)) == std::vector<index_t>{1, 3});
  CHECK(embed::rows_with_features(embed::matrix_features(host_matrix_view<float const>(nullptr, 0, 2))).empty());
}
