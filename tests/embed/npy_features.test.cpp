#include "mql4grec/embed/npy_features.hpp"

#include <numeric>

#include "core/temporary_directory.hpp"
#include "mql4grec/embed/views.hpp"
#include "support/check_close.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {

template <embed::FeatureSource F>
matrix<float> read(F const& from, index_t first, index_t count) {
  auto out = constant({count, from.width()}, poison<float>());
  from.read(first, {out.values.data(), count, from.width()});
  return out;
}
template <embed::FeatureSource F>
matrix<float> gather(F const& from, std::vector<index_t> const& rows) {
  auto out = constant({std::ssize(rows), from.width()}, poison<float>());
  from.gather(rows, {out.values.data(), std::ssize(rows), from.width()});
  return out;
}

/// A feature source that counts its gathers and their rows.
struct counted_features {
  embed::matrix_features inner;
  std::vector<index_t>* gathered_rows;

  index_t rows() const { return inner.rows(); }
  index_t width() const { return inner.width(); }
  void read(index_t first, host_matrix_view<float> out) const { inner.read(first, out); }
  void gather(std::span<index_t const> wanted, host_matrix_view<float> out) const {
    gathered_rows->push_back(std::ssize(wanted));
    inner.gather(wanted, out);
  }
};

matrix<float> const none({0, 2}, {});
matrix<float> const two{{0.f, 1.f}, {2.f, 3.f}}, three{{4.f, 5.f}, {6.f, 7.f}, {8.f, 9.f}}, one{{10.f, 11.f}};
matrix<float> const all({6, 2}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});

embed::joined_features<embed::matrix_features> joined(std::initializer_list<matrix<float> const*> parts) {
  std::vector<embed::matrix_features> sources;
  for (auto const* part : parts) sources.emplace_back(*part);
  return embed::joined_features(std::move(sources));
}

}  // namespace

TEST_CASE("npy_features: the rows of a file are read and gathered unchanged, including NaN and infinity") {
  temporary_directory const directory;
  matrix<float> const with_hole{{1.f, 2.f}, {NAN, NAN}, {5.f, INFINITY}};
  write_npy(directory / "f.npy", with_hole);
  embed::npy_features const features(directory / "f.npy");
  CHECK(features.path() == directory / "f.npy");
  CHECK(features.type() == dtype::f32);
  CHECK(features.rows() == 3);
  CHECK(features.width() == 2);
  auto const whole = read(features, 0, 3);
  CHECK(std::isnan(whole.values[2]));
  CHECK(std::isnan(whole.values[3]));
  CHECK_CLOSE(gather(features, {2, 0}), matrix{{5.f, INFINITY}, {1.f, 2.f}}, 0);
  CHECK_CLOSE(read(embed::selected_features(features, {2, 0}), 0, 2), matrix{{5.f, INFINITY}, {1.f, 2.f}}, 0);
}

TEST_CASE("joined_features: blocks of rows are those of the concatenated parts, also with empty parts") {
  for (auto const& features :
       {joined({&two, &three, &one}), joined({&none, &two, &none, &none, &three, &one, &none}), joined({&all})}) {
    CHECK(features.rows() == 6);
    CHECK(features.width() == 2);
    for (index_t first = 0; first <= 6; ++first)
      for (index_t count = 0; first + count <= 6; ++count) {
        matrix<float> expected({count, 2}, std::vector<float>(static_cast<std::size_t>(2 * count)));
        std::iota(expected.values.begin(), expected.values.end(), static_cast<float>(2 * first));
        CHECK_CLOSE(read(features, first, count), expected, 0);
      }
  }
}

TEST_CASE("joined_features: rows are gathered across parts in any order, also into rows with gaps") {
  auto const features = joined({&two, &none, &three, &one});
  CHECK_CLOSE(gather(features, {5, 0, 1, 4, 2, 2, 3, 0}),
              matrix{{10.f, 11.f}, {0.f, 1.f}, {2.f, 3.f}, {8.f, 9.f}, {4.f, 5.f}, {4.f, 5.f}, {6.f, 7.f}, {0.f, 1.f}},
              0);
  CHECK(gather(features, {}).values.empty());
  std::vector<float> apart(9, -7.f);
  features.gather(std::vector<index_t>{1, 2, 5}, {apart.data(), 3, 2, 3});
  CHECK(apart == std::vector<float>{2, 3, -7, 4, 5, -7, 10, 11, -7});
  features.read(1, {apart.data(), 3, 2, 3});
  CHECK(apart == std::vector<float>{2, 3, -7, 4, 5, -7, 6, 7, -7});
}

TEST_CASE("joined_features: consecutive rows of one part are gathered by one call") {
  std::vector<index_t> gathered_rows;
  embed::joined_features const features(std::vector{counted_features{embed::matrix_features(two), &gathered_rows},
                                                    counted_features{embed::matrix_features(three), &gathered_rows}});
  CHECK_CLOSE(gather(features, {0, 1, 2, 3, 4, 2, 0}),
              matrix{{0.f, 1.f}, {2.f, 3.f}, {4.f, 5.f}, {6.f, 7.f}, {8.f, 9.f}, {4.f, 5.f}, {0.f, 1.f}}, 0);
  CHECK(gathered_rows == std::vector<index_t>{2, 4, 1});
}

TEST_CASE("joined_features: the part of a row and the first row of a part") {
  auto const features = joined({&none, &two, &none, &three, &one, &none});
  CHECK(features.parts() == 6);
  std::vector<index_t> parts, firsts;
  for (index_t row = 0; row < 6; ++row) parts.push_back(features.part_of(row));
  for (index_t p = 0; p < 6; ++p) firsts.push_back(features.first_row(p));
  CHECK(parts == std::vector<index_t>{1, 1, 3, 3, 3, 4});
  CHECK(firsts == std::vector<index_t>{0, 0, 2, 2, 5, 6});
  CHECK(features.part(3).rows() == 3);
  CHECK(features.place_of(3) == "row 1 of part 3");
}

TEST_CASE("joined_features: rows and parts out of range are refused with both numbers") {
  auto const features = joined({&two, &three});
  CHECK_THROWS_WITH_AS(features.part_of(5), "features: row 5 of 5", error);
  CHECK_THROWS_WITH_AS(features.part_of(-1), "features: row -1 of 5", error);
  CHECK_THROWS_WITH_AS(features.first_row(2), "features: part 2 of 2", error);
  CHECK_THROWS_WITH_AS(features.part(-1), "features: part -1 of 2", error);
  CHECK_THROWS_WITH_AS(read(features, 3, 3), "features: 3 rows from row 3 of 5", error);
  CHECK_THROWS_WITH_AS(read(features, -1, 1), "features: 1 rows from row -1 of 5", error);
  CHECK_THROWS_WITH_AS(gather(features, {0, 5}), "features: row 5 of 5", error);
  CHECK_THROWS_WITH_AS(gather(features, {0, -1}), "features: row -1 of 5", error);
  std::vector<float> out(4);
  CHECK_THROWS_WITH_AS(features.gather(std::vector<index_t>{0}, {out.data(), 2, 2}),
                       "features: 1 rows into a place for 2", error);
}

TEST_CASE("joined_features: parts of different widths are refused by name, and so is an empty list") {
  matrix<float> const wide{{1.f, 2.f, 3.f}};
  CHECK_THROWS_WITH_AS(joined({&two, &three, &wide}), "part 2: features of width 3, but part 0 has width 2", error);
  CHECK_THROWS_WITH_AS(joined({}), "features: no parts to join", error);

  temporary_directory const directory;
  write_npy(directory / "arts.npy", two);
  write_npy(directory / "games.npy", wide);
  std::vector<embed::npy_features> files;
  files.emplace_back(directory / "arts.npy");
  files.emplace_back(directory / "games.npy");
  CHECK(complaint<error>([&] { embed::joined_features features(std::move(files)); }) ==
        (directory / "games.npy").string() + ": features of width 3, but " + (directory / "arts.npy").string() +
            " has width 2");
}

TEST_CASE("joined_features: files form one source, and the location of a row contains the name of its file") {
  temporary_directory const directory;
  write_npy(directory / "arts.npy", two);
  write_npy(directory / "games.npy", three);
  std::vector<embed::npy_features> files;
  files.emplace_back(directory / "arts.npy");
  files.emplace_back(directory / "games.npy");
  embed::joined_features const features(std::move(files));
  CHECK_CLOSE(read(features, 1, 3), matrix{{2.f, 3.f}, {4.f, 5.f}, {6.f, 7.f}}, 0);
  CHECK_CLOSE(gather(features, {4, 0}), matrix{{8.f, 9.f}, {0.f, 1.f}}, 0);
  CHECK(features.place_of(4) == "row 2 of " + (directory / "games.npy").string());
}
