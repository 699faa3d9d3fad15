#include "mql4grec/catalog/item_images.hpp"

#include <doctest/doctest.h>

#include "catalog/scratch.hpp"

using namespace mql4grec;
using test::complaint_of;
using test::has;
using test::scratch;

TEST_CASE("match_images: raw ids before numbers, one picture an item") {
  scratch const here;
  for (auto const* name :
       {"B07.jpg", "B07.png", "1.PNG", "2.webp", "x.jpg", "y.jpg", "4.png", "5.png", "01.png", "notes.txt"})
    (void)here.file("", name);
  std::vector<std::string> const raw_ids = {"B07", "B08", "1", "B09"};  // item 4 has none
  auto const images = catalog::match_images(here.path(), {5, raw_ids});
  CHECK(images.of_item[0] == here / "B07.jpg");
  CHECK(images.of_item[1].empty());  // 1.PNG is the picture of the item with the raw id 1
  CHECK(images.of_item[2] == here / "1.PNG");
  CHECK(images.of_item[4] == here / "4.png");
  CHECK(images.found == 3);
  CHECK(images.unmatched == 4);
  CHECK(images.first_unmatched == "01.png");
  CHECK(has(complaint_of([&] {
              return catalog::match_images(here / "none", {5, raw_ids});
            }),
            "can't be read as a directory"));
  CHECK(has(complaint_of([&] { return catalog::match_images(here.path(), {3, raw_ids}); }), "3 items with 4 raw ids"));
}
