#include "mql4grec/pipeline/item_sets.hpp"

#include <doctest/doctest.h>

#include <string>
#include <utility>

#include "core/temporary_directory.hpp"
#include "mql4grec/core/files.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
tasks::dataset described_items() {
  tasks::dataset data;
  data.interactions.item_count = 6;
  data.items[item_id{0}] = {.brand = " Alpine ", .categories = "Drums, Snares,Drums,"};
  data.items[item_id{2}] = {.brand = "Alpine", .categories = "Drums"};
  data.items[item_id{3}] = {.title = "without either"};
  data.items[item_id{4}] = {.brand = std::string(300, 'x')};
  for (int i = 0; i < 40; ++i) data.items[item_id{5}].categories += "c" + std::to_string(i) + ",";
  return data;
}
}  // namespace

TEST_CASE("read_item_sets: brands, categories, and the sets of the file, which come first") {
  temporary_directory const folder;
  auto const directory = folder.path() / "Shop";
  std::filesystem::create_directories(directory);
  auto const data = described_items();
  auto sets = pipeline::read_item_sets(directory, data);
  CHECK(sets["brand:Alpine"] == search::item_list{item_id{0}, item_id{2}});
  CHECK(sets["category:Drums"] == search::item_list{item_id{0}, item_id{2}});
  CHECK(sets["category:Snares"] == search::item_list{item_id{0}});
  CHECK(sets.size() == 3 + 32);  // of item 5 the first categories, of item 4 nothing: its name is too long

  write_file(directory / "Shop.item2id", "B5\t5\nB0\t0\nB1\t1\nB2\t2\nB3\t3\n4\t4\n");
  write_file(directory / "Shop.sets.json", R"({"sale": [1, "B5", "4"], "brand:Alpine": [], "new": [4]})");
  sets = pipeline::read_item_sets(directory, data);
  CHECK(sets["sale"] == search::item_list{item_id{1}, item_id{5}, item_id{4}});
  CHECK(sets["brand:Alpine"].empty());
  CHECK(sets["new"] == search::item_list{item_id{4}});
  CHECK(sets["category:Drums"].size() == 2);
  sets = pipeline::read_item_sets(directory, data, [](std::string const&) { return item_id{3}; });
  CHECK(sets["sale"] == search::item_list{item_id{1}, item_id{3}, item_id{3}});
}

TEST_CASE("read_item_sets: of too many sets of descriptions the largest remain, and of equally large ones the first") {
  temporary_directory const folder;
  tasks::dataset data;
  data.interactions.item_count = 40001;
  for (int i = 0; i < 40001; ++i) data.items[item_id{i}] = {.brand = i < 40000 ? std::to_string(100000 + i) : "139999"};
  auto const sets = pipeline::read_item_sets(folder.path() / "Shop", data);
  CHECK(sets.size() == 32768);
  CHECK(sets.at("brand:139999") == search::item_list{item_id{39999}, item_id{40000}});
  CHECK(sets.contains("brand:100000"));
  CHECK(sets.contains("brand:132766"));
  CHECK(!sets.contains("brand:132767"));
}

TEST_CASE("read_item_sets: more sets than a catalog may have are errors of the file") {
  temporary_directory const folder;
  auto const directory = folder.path() / "Shop";
  std::filesystem::create_directories(directory);
  auto const complaint_about = [&](int sets, std::string const& items) {
    std::string text = "{";
    for (int i = 0; i < sets; ++i) text += (i > 0 ? ",\"" : "\"") + std::to_string(i) + "\":" + items;
    write_file(directory / "Shop.sets.json", text + "}");
    return complaint<file_error>([&] { static_cast<void>(pipeline::read_item_sets(directory, described_items())); });
  };
  auto const file = (directory / "Shop.sets.json").string();
  CHECK(complaint_about(33, "[5,5]") == file + ": item 5 is in more than 64 sets with those of its description");
  CHECK(complaint_about(65536, "[]") ==
        file + ": there are 65571 sets with those of the descriptions, expected at most 65536");
  write_file(directory / "Shop.sets.json", R"({"a": [5, 5], "b": [5]})");
  CHECK(pipeline::read_item_sets(directory, described_items()).size() == 37);
}

TEST_CASE("read_item_sets: errors name the file, the set and the value") {
  temporary_directory const folder;
  auto const directory = folder.path() / "Shop";
  std::filesystem::create_directories(directory);
  for (auto const& [content, text] :
       {std::pair("[]", "expected an object"), std::pair(R"({"a": 3})", "key 'a' is a number"),
        std::pair(R"({"a": [6]})", "key 'a': there is no item 6"), std::pair(R"({"a": [-1]})", "no item -1"),
        std::pair(R"({"a": [1.5]})", "no item 1.5"), std::pair(R"({"a": ["x"]})", "no item \"x\""),
        std::pair(R"({"": [1]})", "has 0 bytes"), std::pair(R"({"a)", "Shop.sets.json")}) {
    write_file(directory / "Shop.sets.json", content);
    auto const message =
        complaint<file_error>([&] { static_cast<void>(pipeline::read_item_sets(directory, described_items())); });
    CAPTURE(message);
    CHECK(message.find("Shop.sets.json") != message.npos);
    CHECK(message.find(text) != message.npos);
    CHECK(message.find('\n') == message.npos);
  }
}
