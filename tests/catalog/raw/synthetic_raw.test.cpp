#include <doctest/doctest.h>

#include "mql4grec/core/macros.hpp"
#if MQL4GREC_HAS_RAW && MQL4GREC_HAS_IMAGES
#include <array>
#include <cmath>

#include "catalog/scratch.hpp"
#include "mql4grec/catalog/raw/detail/synthetic_picture.hpp"
#include "mql4grec/catalog/raw/prepare.hpp"
#include "mql4grec/catalog/raw/synthetic_raw.hpp"
#include "mql4grec/embed/image/decode.hpp"

using namespace mql4grec;
using test::complaint_of;
using test::has;
using test::scratch;

namespace {

catalog::prepared_dataset prepared(catalog::raw_files const& files, index_t core) {
  return catalog::prepare_dataset({.ratings = {files.ratings},
                                   .metadata = {files.metadata},
                                   .images = files.images,
                                   .format = catalog::raw_format::amazon2018,
                                   .core = {.user = core, .item = core}});
}

/// The number in the last digits of a raw id.
index_t number_in(std::string const& raw_id) { return std::stol(raw_id.substr(3)); }

/// The mean color of a picture.
std::array<double, 3> mean_color(std::vector<unsigned char> const& pixels) {
  std::array<double, 3> mean = {};
  for (std::size_t i = 0; i < pixels.size(); ++i) mean[i % 3] += 3.0 * pixels[i] / static_cast<double>(pixels.size());
  return mean;
}

double distance(std::array<double, 3> const& a, std::array<double, 3> const& b) {
  return std::hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
}

}  // namespace

TEST_CASE("write_synthetic_raw: prepared, it is the synthetic dataset") {
  scratch const here;
  catalog::synthetic_options const options{.items = 60, .users = 200, .missing_text = 0.2, .missing_image = 0.1};
  auto const expected = catalog::make_synthetic_dataset(options, 3);
  auto const files = catalog::write_synthetic_raw(here.path(), {.catalog = options, .dataset_number = 3});
  auto const made = prepared(files, 0);
  REQUIRE(made.data.users() == expected.interactions.users());
  for (index_t u = 0; u < made.data.users(); ++u) {
    auto const found = made.data.of(user_id(u));
    auto const wanted = expected.interactions.of(user_id(number_in(made.user_ids[to_size(u)])));
    REQUIRE(found.size() == wanted.size());
    for (std::size_t i = 0; i < found.size(); ++i)
      REQUIRE(number_in(made.item_ids[to_size(index(found[i]))]) == index(wanted[i]));
  }
  catalog::item_descriptions texts;
  for (auto const& [item, text] : made.texts)
    texts.emplace(item_id(number_in(made.item_ids[to_size(index(item))])), text);
  CHECK(texts == expected.items);
  CHECK(made.statistics.duplicates == made.statistics.interactions / 50);
  CHECK(made.statistics.tied_interactions == 0);
  CHECK(made.statistics.items_with_title == std::ssize(expected.items));
  CHECK(made.statistics.items_without_metadata == 60 - std::ssize(expected.items));
  index_t pictures = 0;
  for (std::size_t i = 0; i < 60; ++i) pictures += expected.codes[1](i, 0) >= code_t{0};
  CHECK(made.statistics.items_with_image == pictures);
  CHECK(made.statistics.unmatched_images == 0);
}

TEST_CASE("write_synthetic_raw: the 5-core keeps the whole catalog, with numbers of items as they are") {
  scratch const here;
  auto const made = prepared(catalog::write_synthetic_raw(here.path(), {.picture_size = 8}), 5);
  CHECK(made.statistics.items == 400);
  CHECK(made.statistics.users == 1500);
  for (index_t i = 0; i < 400; ++i) REQUIRE(number_in(made.item_ids[to_size(i)]) == i);
}

TEST_CASE("write_synthetic_raw: equal options give equal files; texts need cleaning; pictures are PNG") {
  scratch const here;
  catalog::synthetic_raw_options const options{.catalog = {.items = 20, .users = 10}, .picture_size = 32};
  auto const a = catalog::write_synthetic_raw(here / "a", options),
             b = catalog::write_synthetic_raw(here / "b", options);
  CHECK(read_file(a.ratings) == read_file(b.ratings));
  CHECK(read_file(a.metadata) == read_file(b.metadata));
  CHECK(read_file(a.images / "B000000007.png") == read_file(b.images / "B000000007.png"));
  catalog::line_reader lines(a.metadata);
  std::string_view line;
  REQUIRE(lines.next(line));
  for (auto const* part : {"&nbsp;", "<b>", "<br/>", "by\\n"}) CHECK_MESSAGE(has(std::string(line), part), part);
  auto const picture = embed::read_image(a.images / "B000000007.png");
  CHECK(picture.size == embed::image_size{.width = 32, .height = 32});
}

TEST_CASE("draw_item: items of one material look alike, whatever their kind; every item has its own picture") {
  using catalog::detail::draw_item;
  auto const draw = [](catalog::detail::latent_item const& item) {
    return draw_item(item, 3, random_stream(1, 0), 48);
  };
  auto const items = catalog::detail::make_latent_items(42, 3, 500);
  std::vector<std::array<double, 3>> colors;
  for (std::size_t i = 0; i < 100; ++i) colors.push_back(mean_color(draw(items[i])));
  double same = 0, other = 0;
  index_t same_count = 0, other_count = 0;
  for (std::size_t i = 0; i < 100; ++i)
    for (std::size_t j = 0; j < i; ++j) {
      auto const apart = distance(colors[i], colors[j]);
      bool const alike = items[i].factors.material == items[j].factors.material;
      (alike ? same : other) += apart;
      (alike ? same_count : other_count) += 1;
    }
  CHECK(same / static_cast<double>(same_count) < 0.75 * other / static_cast<double>(other_count));
  auto item = items[0];
  auto const first = draw(item);
  item.series = 2;
  CHECK(draw(item) != first);
}

TEST_CASE("write_synthetic_raw: errors") {
  scratch const here;
  CHECK(has(complaint_of([&] { catalog::write_synthetic_raw(here.path(), {.picture_size = 4}); }),
            "pictures of 4 pixels"));
  CHECK(has(complaint_of([&] { catalog::write_synthetic_raw(here.file("", "f"), {}); }), "can't be made a directory"));
}
#endif
