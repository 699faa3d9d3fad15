#include <doctest/doctest.h>

#include "mql4grec/core/macros.hpp"
#if MQL4GREC_HAS_RAW
#include <algorithm>
#include <map>

#include "catalog/scratch.hpp"
#include "mql4grec/catalog/dataset_paths.hpp"
#include "mql4grec/catalog/raw/prepare.hpp"
#include "mql4grec/catalog/read.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/core/random.hpp"
#include "support/data.hpp"

using namespace mql4grec;
using test::complaint_of;
using test::has;
using test::scratch;

namespace {

/// The k-core by repeated counting.
std::vector<std::uint8_t> naive_core(std::vector<catalog::numbered_rating> const& ratings, catalog::core_sizes sizes) {
  std::vector<std::uint8_t> keep(ratings.size(), 1);
  for (bool changed = true; changed;) {
    changed = false;
    std::map<std::uint32_t, index_t> users, items;
    for (std::size_t i = 0; i < ratings.size(); ++i)
      if (keep[i] != 0) ++users[ratings[i].user], ++items[ratings[i].item];
    for (std::size_t i = 0; i < ratings.size(); ++i)
      if (keep[i] != 0 && (users[ratings[i].user] < sizes.user || items[ratings[i].item] < sizes.item))
        keep[i] = 0, changed = true;
  }
  return keep;
}

catalog::prepare_options options_for(std::filesystem::path const& ratings, index_t core = 0) {
  return {.ratings = {ratings}, .core = {.user = core, .item = core}};
}

std::vector<index_t> items_of(catalog::interactions const& data, index_t user) {
  std::vector<index_t> items;
  for (auto const item : data.of(user_id(user))) items.push_back(index(item));
  return items;
}

using strings = std::vector<std::string>;
using numbers = std::vector<index_t>;

}  // namespace

TEST_CASE("k_core: equals repeated counting, and is a fixed point") {
  random_stream random(3, 0);
  for (index_t round = 0; round < 300; ++round) {
    catalog::rating_table table;
    index_t const users = 1 + random.below(30), items = 1 + random.below(30);
    for (index_t n = random.below(300); n > 0; --n)
      table.add({.user = std::to_string(random.below(users)), .item = std::to_string(random.below(items))});
    catalog::core_sizes const sizes{.user = random.below(7), .item = random.below(7)};
    auto const keep = catalog::k_core(table.ratings(), sizes);
    REQUIRE(keep == naive_core(table.ratings(), sizes));
    table.filter(keep);
    auto const again = catalog::k_core(table.ratings(), sizes);
    REQUIRE(std::ranges::all_of(again, [](auto k) { return k == 1; }));
  }
}

TEST_CASE("k_core: time is linear even where each removal causes the next one") {
  std::vector<catalog::numbered_rating> path;  // u0 i0 u1 i1 …: a 2-core of a path is empty
  for (std::uint32_t n = 0; n < 500'000; ++n) {
    path.push_back({.user = n, .item = n});
    path.push_back({.user = n + 1, .item = n});
  }
  auto const keep = catalog::k_core(path, {.user = 2, .item = 2});
  CHECK(std::ranges::none_of(keep, [](auto k) { return k == 1; }));
}

TEST_CASE("rating_table: of duplicates the first stays, and memory doesn't grow with them") {
  catalog::rating_table table;
  for (int round = 0; round < 1000; ++round)
    for (int user = 0; user < 3; ++user)
      CHECK(table.add({.user = std::to_string(user), .item = "i", .time = double(round)}) == (round == 0));
  CHECK(table.added() == 3000);
  CHECK(table.ratings().size() == 3);
  CHECK(table.ratings()[2] == catalog::numbered_rating{.user = 2, .item = 0, .time = 0});
}

TEST_CASE("prepare_dataset: numbers by first appearance, items by time, ties by the order of the file") {
  scratch const here;
  auto const made = catalog::prepare_dataset(
      options_for(here.file("user,item,time\n"
                            "bob,x,30\nann,y,20\nbob,z,10\nann,x,20\nann,z,20\nbob,x,5\nann,w,1\n")));
  CHECK(made.user_ids == strings{"bob", "ann"});
  CHECK(made.item_ids == strings{"x", "y", "z", "w"});
  CHECK(items_of(made.data, 0) == numbers{2, 0});        // bob's second rating of x, at 5, is a duplicate
  CHECK(items_of(made.data, 1) == numbers{3, 1, 0, 2});  // y, x and z at 20: as in the file
  CHECK(made.statistics.duplicates == 1);
  CHECK(made.statistics.tied_interactions == 3);
  CHECK(made.statistics.tied_test_targets == 1);
  CHECK(made.statistics.sparsity() == doctest::Approx(1 - 6.0 / 8));
  CHECK(made.statistics.mean_length() == 3);
  auto const reordered =
      catalog::prepare_dataset(options_for(here.file("user,item,time\nann,z,20\nann,y,20\nann,x,20\n", "other")));
  CHECK(reordered.item_ids == strings{"z", "y", "x"});
}

TEST_CASE("prepare_dataset: several files are read as one, and numbers count what remains only") {
  scratch const here;
  auto const first = here.file("user,item,time\nlost,a,1\nu,b,2\n", "first");
  auto const second = here.file("v::b::5::1\nu::c::5::0\nv::c::5::2\n", "second.dat");
  auto options = options_for(first, 2);
  options.ratings.push_back(second);
  auto const made = catalog::prepare_dataset(options);
  CHECK(made.user_ids == strings{"u", "v"});
  CHECK(made.item_ids == strings{"b", "c"});
  CHECK(items_of(made.data, 0) == numbers{1, 0});
  CHECK(made.statistics.raw_users == 3);
  CHECK(made.statistics.ratings.size() == 2);
}

TEST_CASE("write_dataset: the files of a dataset directory, with the hash of the input") {
  scratch const here;
  auto options = options_for(here.file("i1,u1,5.0,2\ni2,u1,5.0,1\n", "ratings.csv"));
  options.metadata = {here.file("{'asin': 'i2', 'title': 'A &amp; B'}\n{'asin': 'i2', 'title': 'C'}\n", "meta")};
  auto const made = catalog::prepare_dataset(options);
  auto const out = here / "Shop";
  catalog::write_dataset(out, made, catalog::export_format::recbole);
  catalog::dataset_paths const paths(out);
  CHECK(catalog::read_interactions(paths.interactions()) == made.data);
  CHECK(catalog::read_times(paths.times(), made.data) == std::vector<double>{1, 2});
  CHECK(catalog::read_items(paths.items()) == catalog::item_descriptions{{item_id{1}, {.title = "A & B"}}});
  CHECK(read_file(out / "Shop.user2id") == "u1\t0\n");
  CHECK(read_file(out / "Shop.item2id") == "i1\t0\ni2\t1\n");
  CHECK(read_file(out / "Shop.inter") == "user_id:token\titem_id:token\ttimestamp:float\nu1\ti2\t1\nu1\ti1\t2\n");
  auto const statistics = read_json(out / "Shop.statistics.json");
  CHECK(statistics.at("interactions") == 2);
  CHECK(statistics.at("repeated_texts") == 1);
  CHECK(has(statistics.at("order").get<std::string>(), "ties in time by the order of the file"));
  CHECK(statistics.at("ratings")[0].at("sha256") == "519694222479ba309d7c172fb005d65364ed86bd42aaaa6edea47862afe5b1b2");
  CHECK(!std::filesystem::exists(out / ".prepare.partial"));
  auto const again = catalog::prepare_dataset(options_for(out / "Shop.inter"));  // RecBole's file is read back
  CHECK(again.item_ids == strings{"i2", "i1"});
  CHECK(items_of(again.data, 0) == numbers{0, 1});
}

TEST_CASE("write_dataset: when it fails, an older dataset stays") {
  scratch const here;
  auto made = catalog::prepare_dataset(options_for(here.file("user,item,time\nu,i,1\n")));
  auto const out = here / "Shop";
  catalog::write_dataset(out, made);
  auto const before = read_file(out / "Shop.inter.json");
  made.user_ids = {"v"};
  (void)here.file("", "file");
  CHECK(has(complaint_of([&] { catalog::write_dataset(here / "file", made); }), "can't be made a directory"));
  CHECK(read_file(out / "Shop.inter.json") == before);
  make_directory(here / "Other" / "Other.inter.json");  // which no file can replace
  (void)here.file("", "Other/Other.inter.json/file");
  CHECK(has(complaint_of([&] { catalog::write_dataset(here / "Other", made); }), "Other.inter.json: can't be put"));
  CHECK(!std::filesystem::exists(here / "Other" / ".prepare.partial"));
}

TEST_CASE("write_dataset: nothing is written beside files of items with other numbers") {
  scratch const here;
  auto made = catalog::prepare_dataset(options_for(here.file("user,item,time\nu,i,1\nu,j,2\n")));
  auto const out = here / "Shop";
  catalog::write_dataset(out, made);
  auto const before = read_file(out / "Shop.item2id");
  auto other = made;
  other.item_ids = {"j", "i"};
  for (auto const* name : {"index_lemb.json", "emb-text.npy", "catalog.packed", "item.json", "sets.json"}) {
    auto const file = here.file(R"({"sale": ["i", 1]})", "Shop/Shop." + std::string(name));
    CHECK(
        has(complaint_of([&] { catalog::write_dataset(out, other); }), file.filename().string() + ": is about items"));
    CHECK(read_file(out / "Shop.item2id") == before);
    catalog::write_dataset(out, made);  // the same numbers
    std::filesystem::rename(out / "Shop.item2id", out / "away");
    CHECK(has(complaint_of([&] { catalog::write_dataset(out, made); }), "numbers items differently"));
    std::filesystem::rename(out / "away", out / "Shop.item2id");
    std::filesystem::remove(file);
  }
  (void)here.file(R"({"sale": ["i"]})", "Shop/Shop.sets.json");  // raw ids
  catalog::write_dataset(out, other);
  CHECK(read_file(out / "Shop.item2id") == "j\t0\ni\t1\n");
}

TEST_CASE("prepare_dataset: items that the metadata lacks and pictures of no item are counted, the first is named") {
  scratch const here;
  auto options = options_for(here.file("user,item,time\nu,a,1\nu,b,2\nu,c,3\n", "ratings.csv"));
  options.metadata = {here.file("{\"asin\": \"a\"}\n{\"asin\": \"x\"}\n", "meta\xe9")};
  make_directory(here / "pictures");
  for (auto const* name : {"pictures/b.png", "pictures/y.png", "pictures/x.jpg"}) (void)here.file("", name);
  options.images = here / "pictures";
  auto const made = catalog::prepare_dataset(options);
  CHECK(made.statistics.items_without_metadata == 2);
  CHECK(made.statistics.first_item_without_metadata == "b");
  CHECK(made.statistics.items_with_image == 1);
  CHECK(made.statistics.unmatched_images == 2);
  CHECK(made.statistics.first_unmatched_image == "x.jpg");
  auto const text = catalog::statistics_json(made.statistics).dump();  // which refuses what isn't UTF-8
  CHECK(has(text, "\"first_item_without_metadata\":\"b\""));
  CHECK(has(text, "metaé"));
}

TEST_CASE("prepare_dataset: Table 1 of the paper, from the released interactions of Instruments as raw ratings") {
  auto const directory = test::real_dataset("Instruments");
  if (!directory) return;
  auto const released = catalog::read_interactions(catalog::dataset_paths(*directory).interactions());
  std::string csv = "user,item,time\n";
  for (index_t u = 0; u < released.users(); ++u)
    for (index_t time = 0; auto const item : released.of(user_id(u)))
      csv += std::to_string(u) + "," + std::to_string(index(item)) + "," + std::to_string(time++) + "\n";
  scratch const here;
  auto const made = catalog::prepare_dataset(options_for(here.file(csv), 5));
  auto const& s = made.statistics;
  CHECK(s.users == 17112);
  CHECK(s.items == 6250);
  CHECK(s.interactions == 136226);
  CHECK(100 * s.sparsity() == doctest::Approx(99.87).epsilon(0.0001));
  CHECK(s.mean_length() == doctest::Approx(7.96).epsilon(0.001));
  CHECK(s.duplicates == 0);
  CHECK(s.tied_interactions == 0);
  for (index_t u = 0; u < released.users(); ++u)
    for (std::size_t i = 0; auto const item : released.of(user_id(u)))
      REQUIRE(made.item_ids[to_size(index(made.data.of(user_id(u))[i++]))] == std::to_string(index(item)));
}

TEST_CASE("prepare_dataset: nothing remains, or nothing matches") {
  scratch const here;
  auto const ratings = here.file("user,item,time\nu,i,1\n", "ratings.csv");
  CHECK(has(complaint_of([&] { return catalog::prepare_dataset(options_for(ratings, 5)); }),
            "ratings.csv: no rating of 1 users and 1 items remains"));
  auto options = options_for(ratings);
  options.metadata = {here.file("{\"asin\": \"other\"}\n", "meta")};
  CHECK(has(complaint_of([&] { return catalog::prepare_dataset(options); }),
            "meta: contains none of the 1 items of the ratings, the first of which is 'i'"));
}
#endif
