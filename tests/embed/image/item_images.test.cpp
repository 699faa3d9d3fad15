#include "mql4grec/embed/image/item_images.hpp"

#include <doctest/doctest.h>

#include "core/temporary_directory.hpp"
#include "support/golden_images.hpp"
#include "support/tensors.hpp"

using namespace mql4grec;
using embed::image_names, embed::image_status;

TEST_CASE("find_image: the item's number comes before its raw id, .jpg before .jpeg, .png and .webp") {
  test::temporary_directory const directory;
  for (auto const* name : {"3.png", "B00X.jpeg", "B00X.webp", "4.webp", "7.jpg", "7.png"})
    test::put(directory / name, "");
  auto const found = [&](index_t number, std::string_view raw, image_names names = image_names::number_or_raw_id) {
    auto const path = embed::find_image(directory.path(), {number, raw}, names);
    return path ? path->filename().string() : std::string("none");
  };
  CHECK(found(3, "B00X") == "3.png");
  CHECK(found(3, "B00X", image_names::raw_id) == "B00X.jpeg");
  CHECK(found(5, "B00X") == "B00X.jpeg");
  CHECK(found(5, "B00X", image_names::number) == "none");
  CHECK(found(7, "") == "7.jpg");
  CHECK(found(5, "4") == "4.webp");
  CHECK(found(5, "4", image_names::number) == "none");
  CHECK(found(5, "") == "none");
}

TEST_CASE("find_image: a raw id can't leave the directory") {
  test::temporary_directory const directory;
  std::filesystem::create_directory(directory / "inner");
  std::filesystem::create_directory(directory / "inner/9.jpg");
  test::put(directory / "secret.png", "");
  test::put(directory / "inner/.png", "");
  using namespace std::string_view_literals;
  for (auto const raw : {"../secret"sv, "secret\0x"sv, "."sv, ".."sv, ""sv, "/etc/passwd"sv, "9"sv})
    CHECK(!embed::find_image(directory / "inner", {1, raw}));
  auto const absolute = (directory / "secret").string();
  CHECK(!embed::find_image(directory / "inner", {1, absolute}));
}

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
  CHECK_THROWS_AS(embed::read_images(paths, how, out), file_error);
}
#endif
