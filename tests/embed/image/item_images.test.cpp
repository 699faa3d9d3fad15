#include "mql4grec/embed/image/item_images.hpp"

#include <doctest/doctest.h>

#include "core/temporary_directory.hpp"
#include "support/golden_images.hpp"
#include "support/tensors.hpp"

#if MQL4GREC_HAS_IMAGES
#include <png.h>
#endif

using namespace mql4grec;
using embed::image_status;

#if MQL4GREC_HAS_IMAGES
TEST_CASE("read_images: a bad image among many is reported, its row is zero, and the others go on") {
  test::temporary_directory const directory;
  test::put(directory / "bad.jpg", "\xff\xd8\xff nothing");
  auto const good = test::golden_images() / "png_shape_61x47.png";
  std::vector<std::filesystem::path> const paths{good, "", directory / "bad.jpg", good, directory / "none.png"};
  embed::image_reading how{.preprocessing = {.shortest_edge = 8, .crop = {8, 8}}};
  std::vector<float> values(5 * 192, 7.f);
  host_matrix_view<float> const out(values.data(), 5, 192);
  auto const report = embed::read_images(paths, how, out);
  CHECK(report.rows == std::vector{image_status::read, image_status::missing, image_status::bad, image_status::read,
                                   image_status::bad});
  CHECK(report.count(image_status::read) == 2);
  CHECK(report.count(image_status::bad) == 2);
  REQUIRE(report.bad.size() == 2);
  CHECK(report.bad[0].row == 2);
  CHECK(report.bad[0].message.starts_with((directory / "bad.jpg").string() + ": JPEG: "));
  CHECK(report.bad[1].message ==
        (directory / "none.png").string() + ": can't be opened for reading: No such file or directory");
  for (index_t i = 0; i < 5; ++i) {
    auto const row = as_span(out.row(i));
    bool const zero = std::ranges::all_of(row, [](float x) { return x == 0; });
    CHECK(zero == (report.rows[to_size(i)] != image_status::read));
  }
  CHECK(std::ranges::equal(as_span(out.row(0)), as_span(out.row(3))));
  how.strict = true;
  CHECK_THROWS_WITH_AS(embed::read_images(paths, how, out), report.bad[0].message.c_str(), file_error);
  CHECK_THROWS_AS(embed::read_images(paths, how, host_matrix_view<float>(values.data(), 4, 192)), error);
}

TEST_CASE("read_images: an image that can't be resized is bad, too") {
  test::temporary_directory const directory;
  auto const path = directory / "tall.png";
  ::png_image picture{};
  picture.version = PNG_IMAGE_VERSION;
  picture.width = 1;
  picture.height = 70'000;
  picture.format = PNG_FORMAT_GRAY;
  std::vector<std::uint8_t> const pixels(70'000);
  REQUIRE(::png_image_write_to_file(&picture, path.c_str(), 0, pixels.data(), 0, nullptr) != 0);
  embed::image_reading const how{
      .preprocessing = {.resize = embed::image_resize::exact, .exact_size = {16'000, 8}, .crop = {16'000, 1}}};
  std::vector<float> values(48'000, 7.f);
  auto const report = embed::read_images(std::span(&path, 1), how, {values.data(), 1, 48'000});
  REQUIRE(report.bad.size() == 1);
  CHECK(report.bad[0].message.starts_with(path.string() + ": an image of 1 x 70000 pixels can't be resized"));
  CHECK(values == std::vector<float>(48'000));
}

TEST_CASE("read_images: the number of threads changes neither pixels nor report nor error") {
  test::temporary_directory const directory;
  test::put(directory / "bad.png", "\x89PNG\r\n\x1a\n nothing");
  std::vector<std::filesystem::path> paths;
  for (auto const& name : test::golden_image_names()) {
    paths.push_back(test::golden_images() / name);
    if (paths.size() % 7 == 0) paths.push_back("");
    if (paths.size() % 11 == 0) paths.push_back(directory / "bad.png");
    if (paths.size() % 13 == 0) paths.push_back(directory / (name + ".none"));
  }
  embed::image_reading how{.preprocessing = {.shortest_edge = 12, .crop = {9, 9}}};
  index_t const columns = how.preprocessing.values();
  std::vector<float> expected(paths.size() * to_size(columns)), values(expected.size());
  auto const view = [&](std::vector<float>& of) {
    return host_matrix_view<float>(of.data(), std::ssize(paths), columns);
  };
  auto const serial = embed::read_images(paths, how, view(expected));
  REQUIRE(serial.bad.size() > 5);
  for (index_t const threads : {1, 2, 3, 8}) {
    cpu::thread_pool pool(threads);
    std::ranges::fill(values, 7.f);
    how.strict = false;
    auto const report = embed::read_images(pool, paths, how, view(values));
    CHECK(values == expected);
    CHECK(report.rows == serial.rows);
    REQUIRE(report.bad.size() == serial.bad.size());
    for (std::size_t i = 0; i < report.bad.size(); ++i) {
      CHECK(report.bad[i].row == serial.bad[i].row);
      CHECK(report.bad[i].message == serial.bad[i].message);
    }
    how.strict = true;
    for (int round = 0; round < 20; ++round)
      CHECK_THROWS_WITH_AS(embed::read_images(pool, paths, how, view(values)), serial.bad[0].message.c_str(),
                           file_error);
  }
}
#endif
