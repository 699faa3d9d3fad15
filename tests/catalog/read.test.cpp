#include "mql4grec/catalog/read.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cmath>

#include "catalog/scratch.hpp"
#include "mql4grec/catalog/dataset_paths.hpp"
#include "mql4grec/catalog/split.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/pipeline/dataset.hpp"
#include "support/data.hpp"
#include "support/hostile_files.hpp"

using namespace mql4grec;
using test::complaint_of;
using test::has;
using test::scratch;

TEST_CASE("read_interactions: users are numbered in the order of the file") {
  scratch const here;
  auto const data = catalog::read_interactions(here.file(R"({"zoe": [4, 0], "10": [], "2": [1]})"));
  CHECK(data.users() == 3);
  CHECK(data.item_count == 5);
  CHECK(data.user_keys == std::vector<std::string>{"zoe", "10", "2"});
  CHECK(data.of(user_id{0})[0] == item_id{4});
  CHECK(data.of(user_id{1}).empty());
}

TEST_CASE("interactions: a round trip preserves everything") {
  scratch const here;
  auto const data =
      catalog::read_interactions(here.file("{\"a \\\"quoted\\\" naïve\\n name\": [4, 0], \"\": [], \"2\": [1]}"));
  catalog::write_interactions(here / "again.json", data);
  CHECK(catalog::read_interactions(here / "again.json") == data);
}

TEST_CASE("read_interactions: an error message contains the file, the user, the position and what was expected") {
  scratch const here;
  auto const error_message = [&](std::string_view content) {
    return complaint_of([&] { return catalog::read_interactions(here.file(content, "bad.inter.json")); });
  };
  CHECK(has(error_message(""), "bad.inter.json: is empty"));
  CHECK(has(error_message("   "), "not valid JSON"));
  CHECK(has(error_message("{}"), "holds no users"));
  CHECK(has(error_message(R"({"7": []})"), "holds no items"));
  CHECK(has(error_message("[1, 2]"), "expected an object"));
  CHECK(has(error_message("5"), "expected an object"));
  CHECK(has(error_message(R"({"7": [1, 2)"), "not valid JSON, or truncated"));
  CHECK(has(error_message(R"({"7": 3})"), "user '7': expected a list of items, found a number"));
  CHECK(has(error_message(R"({"7\n8": 3})"), "user '7?8': expected a list of items, found a number"));
  CHECK(has(error_message(R"({"7": {"1": [2]}})"), "user '7': expected a list of items, found a object"));
  CHECK(has(error_message(R"({"7": [1, "2"]})"), "user '7', place 1: expected an item number from 0"));
  CHECK(has(error_message(R"({"7": [1, [2]]})"), "place 1: expected an item number from 0"));
  CHECK(has(error_message(R"({"7": [1, [2]]})"), "found a list"));
  CHECK(has(error_message(R"({"7": )" + std::string(200'000, '[') + std::string(200'000, ']') + "}"),
            "nested more than 100 deep"));
  CHECK(has(error_message(R"({"7": [1.5]})"), "found 1.5"));
  CHECK(has(error_message(R"({"7": [-1]})"), "found -1"));
  CHECK(has(error_message(R"({"7": [null]})"), "found null"));
  CHECK(has(error_message(R"({"7": [4294967296]})"), "found 4294967296"));
  CHECK(has(error_message(R"({"7": [1], "7": [2]})"), "key '7' appears twice"));
  CHECK(
      has(complaint_of([&] { return catalog::read_interactions(here / "none.json"); }), "none.json: can't be opened"));
  CHECK(has(complaint_of([&] { return catalog::read_interactions(here.path()); }), "is a directory"));
}

TEST_CASE("items: descriptions are read in any order, and a round trip preserves gaps") {
  scratch const here;
  auto const path = here.file(R"({"2": {"title": "Tüba", "description": "", "brand": "b", "categories": "c,d"},
                                  "0": {"title": "t", "description": "\"d\"", "brand": "", "categories": ""}})");
  auto const items = catalog::read_items(path);
  REQUIRE(items.size() == 2);
  CHECK(!items.contains(item_id{1}));
  CHECK(items.at(item_id{2}).title == "Tüba");
  catalog::write_items(here / "again.json", items);
  CHECK(catalog::read_items(here / "again.json") == items);
}

TEST_CASE("read_items: an error message contains the item") {
  scratch const here;
  auto const error_message = [&](std::string_view content) {
    return complaint_of([&] { return catalog::read_items(here.file(content)); });
  };
  auto const whole = std::string(R"({"title": "", "description": "", "brand": "", "categories": ""})");
  CHECK(has(error_message(R"({"x": )" + whole + "}"), "key 'x': expected an item number"));
  CHECK(has(error_message(R"({"-1": )" + whole + "}"), "key '-1': expected an item number"));
  CHECK(has(error_message(R"({"7": )" + whole + R"(, "07": )" + whole + "}"), "item 7 appears twice"));
  CHECK(has(error_message(R"({"3": "guitar"})"), "item 3: expected an object"));
  CHECK(has(error_message(R"({"3": {"title": 5}})"), "item 3: expected a text 'title'"));
  CHECK(has(error_message(R"({"3": {"title": "a", "brand": true}})"),
            "item 3: expected a text 'brand', a list of texts or null"));
  CHECK(has(error_message(R"({"3": {"categories": ["a", 5]}})"), "item 3: expected a text 'categories'"));
  CHECK(has(error_message(R"({"3": {"categories": [[[["a"]]]]}})"), "item 3: expected a text 'categories'"));
  CHECK(has(error_message(R"({"3": {"title": )" + std::string(100'000, '[') + std::string(100'000, ']') + "}}"),
            "nested more than 100 deep"));
  CHECK(has(error_message(R"({"3": {"title": "a", "title": "b"}})"), "key 'title' of '3' appears twice"));
  CHECK(has(error_message(R"({"2147483647": {}})"), "key '2147483647': expected an item number"));
}

TEST_CASE("read_items: every field may be missing, null or a list; unknown fields and lone surrogates are accepted") {
  scratch const here;
  auto const one = [&](std::string_view content) {
    return catalog::read_items(here.file("{\"0\": " + std::string(content) + "}")).at(item_id{0});
  };
  CHECK(one("{}") == catalog::item_description{});
  CHECK(one("null") == catalog::item_description{});
  CHECK(one(R"({"title": "t", "description": "d"})") == catalog::item_description{.title = "t", .description = "d"});
  CHECK(one(R"({"title": "t", "description": "", "brand": null, "categories": ""})") ==
        catalog::item_description{.title = "t"});
  CHECK(one(R"({"title": ["t"], "description": ["one", "", "two"], "brand": [], "categories": ["a", null, "b"]})") ==
        catalog::item_description{.title = "t", .description = "one two", .brand = "", .categories = "a,b"});
  CHECK(one(R"({"categories": [["a", "b"], ["c"]]})") == catalog::item_description{.categories = "a,b,c"});
  CHECK(one(R"({"price": 3.5, "also_buy": [1, {"x": null}], "title": "cut \ud83d"})") ==
        catalog::item_description{.title = "cut \xef\xbf\xbd"});
}

TEST_CASE("catalog files: memory depends on the number of items, not on the largest id") {
  scratch const here;
  auto const data = catalog::read_interactions(here.file(R"({"0": [0, 1, 2147483646, 2]})"));
  CHECK(data.item_count == 2147483647);
  CHECK(data.of(user_id{0})[2] == item_id{2147483646});
  CHECK(catalog::read_items(here.file(R"({"2147483646": {"title": "far out"}})")).at(item_id{2147483646}).title ==
        "far out");
}

TEST_CASE("dataset_paths: the files are named after the directory") {
  for (auto const* spelling : {"/data/Arts", "/data/Arts/", "/data/x/../Arts/."}) {
    catalog::dataset_paths const paths{spelling};
    CHECK(paths.name() == "Arts");
    CHECK(paths.interactions().filename() == "Arts.inter.json");
  }
  catalog::dataset_paths const paths{"/data/Arts"};
  CHECK(pipeline::index_path(paths, language::modality::text) == "/data/Arts/Arts.index_lemb.json");
  CHECK(pipeline::index_path(paths, language::modality::image) == "/data/Arts/Arts.index_vitemb.json");
  CHECK(paths.embeddings("vit") == "/data/Arts/Arts.emb-vit.npy");
  CHECK(catalog::dataset_paths{"."}.name() == std::filesystem::current_path().filename());
}

TEST_CASE("read_interactions: time is linear in the size of the file") {
  scratch const here;
  catalog::interactions data;
  for (int u = 0; u < 100'000; ++u) data.add_user("user-" + std::to_string(u), std::vector{item_id(u % 50)});
  catalog::write_interactions(here / "large.json", data);
  auto const begin = std::chrono::steady_clock::now();
  CHECK(catalog::read_interactions(here / "large.json") == data);
  CHECK(std::chrono::steady_clock::now() - begin <
        std::chrono::seconds(20));  // a quadratic algorithm would take minutes
}

TEST_CASE("read_interactions: the fast reader and the general parser read the same and refuse the same") {
  auto const read = [](std::filesystem::path const& path) { return catalog::read_interactions(path); };
  CHECK(test::check_fast_reader(R"({"7": [1, 20, 300],"u 8": [] , "9":[0]})", read) > 500);
  scratch const here;
  for (auto const* text : {"{\"a\":[1],}", "{\"a\":[1,]}", "{\"a\":[01]}", "{\"a\":[-0]}", "{\"a\":[1.0]}",
                           "{\"a\":[2147483647]}", "{\"a\":[99999999999999999999]}", "{\"a\":[1]} x", "{a:[1]}",
                           "{\"a\":[1],\"a\":[1]}", "{\"a\":[[1]]}", "{\"a\n\":[1]}", "{\"\xc3\":[1]}"})
    CHECK_THROWS_AS(read(here.file(text)), file_error);
  CHECK(read(here.file("\n{ \"a\" :\t[ 2147483646 ] \r} ")).items == std::vector{item_id{2147483646}});
  CHECK(read(here.file("{\"\\u0061ä\":[1]}")).user_keys.at(0) == "aä");
}

TEST_CASE("published datasets: a round trip preserves everything") {
  struct expected {
    char const* name;
    index_t users, items, interactions;
  };
  for (auto const& [name, users, items, count] :
       {expected{"Instruments", 17112, 6250, 136226}, expected{"Games", 42259, 13839, 373514},
        expected{"Scientific", 8317, 4344, 58492}}) {
    auto const directory = test::real_dataset(name);
    if (!directory) continue;
    catalog::dataset_paths const paths(*directory);
    auto const data = catalog::read_interactions(paths.interactions());
    CHECK(data.users() == users);
    CHECK(data.item_count == items);
    CHECK(std::ssize(data.items) == count);
    CHECK(catalog::short_users(data) == 0);
    scratch const here;
    catalog::write_interactions(here / "again.json", data);
    CHECK(catalog::read_interactions(here / "again.json") == data);
    if (!std::filesystem::exists(paths.items())) continue;
    auto const described = catalog::read_items(paths.items());
    CHECK(std::ssize(described) == items);
    catalog::write_items(here / "items.json", described);
    CHECK(read_json(here / "items.json") == read_json(paths.items()));
  }
}

TEST_CASE("read_ids: a tab-separated table in any order; write_ids writes it in the order of the numbers") {
  scratch const here;
  using ids = std::vector<std::string>;
  auto const read = catalog::read_ids(here.file("B00B\t1\r\nB00A\t0\nwith space\t2"));
  CHECK(read == ids{"B00A", "B00B", "with space"});
  catalog::write_ids(here / "again", read);
  CHECK(read_file(here / "again") == "B00A\t0\nB00B\t1\nwith space\t2\n");
  CHECK(catalog::read_ids(here.file("")).empty());
  CHECK(catalog::read_ids(here.file("\xef\xbb\xbf"
                                    "B00A\t0\n")) == ids{"B00A"});
  auto const message = [&](std::string_view content) {
    return complaint_of([&] { (void)catalog::read_ids(here.file(content)); });
  };
  CHECK(has(message("a\t0\nb 1\n"), "line 2: expected 'raw id<TAB>number', found 'b 1'"));
  CHECK(has(message("a\t0\nb\t-1\n"), "line 2"));
  CHECK(has(message("a\t0\nb\t0\n"), "line 2: number 0 was given to 'a' before"));
  CHECK(has(message("a\t0\nb\t2\n"), "no line has the number 1, expected all up to 2"));
}

TEST_CASE("times: a round trip preserves every value, and users may have another order") {
  scratch const here;
  auto const data = catalog::read_interactions(here.file("{\"a \\\"b\\\"\": [4, 0], \"x\": [], \"2\": [1, 5, 7]}"));
  std::vector<double> const times = {-5, 1.4e12, 0.1, 1e300, 1e300};
  catalog::write_times(here / "times.json", data, times);
  CHECK(catalog::read_times(here / "times.json", data) == times);
  CHECK(has(read_file(here / "times.json"), "[-5, 1400000000000]"));
  CHECK(catalog::read_times(here.file("{\"2\": [1, 2, 3], \"x\": [], \"a \\\"b\\\"\": [7, 8.5]}"), data) ==
        std::vector<double>{7, 8.5, 1, 2, 3});
  CHECK_THROWS_AS(catalog::write_times(here / "times.json", data, std::vector<double>(4)), error);
  CHECK_THROWS_AS(catalog::write_times(here / "times.json", data, std::vector<double>(5, INFINITY)), error);
  CHECK(catalog::time_text(0.1) == "0.1");
  CHECK(std::stod(catalog::time_text(-2.3e-308)) == -2.3e-308);
}

TEST_CASE("read_times: an error message contains the file, the user, the position and what was expected") {
  scratch const here;
  auto const data = catalog::read_interactions(here.file(R"({"u": [1, 2], "v": [3]})"));
  auto const error_message = [&](std::string_view content) {
    return complaint_of([&] { return catalog::read_times(here.file(content, "bad.times.json"), data); });
  };
  CHECK(has(error_message(""), "bad.times.json: is empty"));
  CHECK(has(error_message("[]"), "expected an object"));
  CHECK(has(error_message(R"({"u": [1, 2]})"), "bad.times.json: user 'v' of the interactions is missing"));
  CHECK(has(error_message(R"({"w": [1]})"), "user 'w' has no interactions"));
  CHECK(has(error_message(R"({"u": [1]})"), "user 'u': expected a list of 2 times, one for each item, found 1"));
  CHECK(has(error_message(R"({"u": 1})"), "found a number"));
  CHECK(has(error_message(R"({"u": [1, "2"]})"), "user 'u', place 1: expected a time, found \"2\""));
  CHECK(has(error_message(R"({"u": [2, 1]})"), "user 'u', place 1: 1 is less than the time of the item before it"));
  CHECK(has(error_message(R"({"u": [2, 3], "u": [2, 3]})"), "appears twice"));
}
