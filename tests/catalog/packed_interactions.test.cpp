#include "mql4grec/catalog/packed_interactions.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "catalog/scratch.hpp"
#include "mql4grec/catalog/interaction_files.hpp"
#include "mql4grec/catalog/read.hpp"
#include "mql4grec/catalog/split.hpp"
#include "mql4grec/catalog/synthetic.hpp"
#include "mql4grec/core/checksum.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/pipeline/dataset.hpp"
#include "support/hostile_files.hpp"

using namespace mql4grec;
using test::complaint_of;
using test::has;
using test::scratch;
using with_times = catalog::packed_times;

namespace {

std::vector<item_id> ids(std::initializer_list<int> numbers) {
  std::vector<item_id> items;
  for (int const n : numbers) items.push_back(item_id{n});
  return items;
}

/// Three users, one of them without items.
void write_small(std::filesystem::path const& path, with_times times = with_times::absent) {
  catalog::packed_writer to(path, {.times = times});
  bool const timed = times == with_times::present;
  to.add_user("zoë", ids({4, 0, 2}), timed ? std::vector<double>{1, 1.5, 3} : std::vector<double>());
  to.add_user("", {});
  to.add_user("10", ids({1, 4}), timed ? std::vector<double>{-2, 7} : std::vector<double>());
  to.commit();
}

std::string packed_text(with_times times) {
  scratch const here;
  write_small(here / "f", times);
  return read_file(here / "f");
}

/// The header's checksum is made right, so that what follows it is reached.
std::string with_right_sum(std::string bytes) {
  auto const sum = checksum(std::as_bytes(std::span(bytes)).first(104));
  std::memcpy(bytes.data() + 104, &sum, sizeof sum);
  return bytes;
}

/// Reads everything that a packed file has.
void read_all(std::filesystem::path const& path) {
  auto const read = catalog::read_packed_interactions(path);
  index_t sum = 0;
  for (index_t u = 0; u < read.data.users(); ++u) {
    sum += std::ssize(read.data.user_keys.at(to_size(u)));
    for (auto const item : read.data.of(user_id(u))) {
      REQUIRE((index(item) >= 0 && index(item) < read.data.item_count));
      sum += index(item);
    }
  }
  for (auto const time : read.times) REQUIRE(std::isfinite(time));
  CHECK(sum >= 0);
}

}  // namespace

TEST_CASE("packed interactions: a round trip preserves users, keys, items and times, mapped") {
  scratch const here;
  for (auto const times : {with_times::absent, with_times::present}) {
    write_small(here / "f", times);
    auto const read = catalog::read_packed_interactions(here / "f");
    catalog::interactions expected;
    expected.add_user("zoë", ids({4, 0, 2}));
    expected.add_user("", {});
    expected.add_user("10", ids({1, 4}));
    CHECK(read.data == expected);
    CHECK(read.data.items.is_mapped());
    bool const timed = times == with_times::present;
    CHECK(read.times == column<double>(timed ? std::vector<double>{1, 1.5, 3, -2, 7} : std::vector<double>()));
    auto const summary = catalog::read_packed_summary(here / "f");
    CHECK(summary == catalog::packed_summary{.users = 3,
                                             .interactions = 5,
                                             .item_count = 5,
                                             .bytes = std::ssize(read_file(here / "f")),
                                             .has_times = timed});
    auto changed = read.data;  // a copy that grows leaves the mapped one alone
    changed.add_user("new", ids({9}));
    CHECK(changed.users() == 4);
    CHECK(!changed.items.is_mapped());
    CHECK(read.data == expected);
  }
}

TEST_CASE("packed interactions: the example of the guide") {
  scratch const here;
  auto const path = here / "Shop.inter.packed";
  // example-begin packed_writer
  catalog::packed_writer to(path, {.times = catalog::packed_times::present});
  to.add_user("A1XYZ", std::vector{item_id{12}, item_id{7}}, std::vector{1365811200.0, 1365897600.0});
  to.add_user("A2ABC", std::vector{item_id{5}}, std::vector{1404172800.0});
  to.commit();

  auto const [data, times] = catalog::read_packed_interactions(path);  // mapped
  CHECK(data.of(user_id{1}).front() == item_id{5});
  // example-end packed_writer
  CHECK(times.back() == 1404172800.0);
}

TEST_CASE("packed interactions: several blocks, and a catalog with items nobody interacted with") {
  scratch const here;
  catalog::interactions expected;
  {
    catalog::packed_writer to(here / "f", {.item_count = 5000});
    random_stream random(1, 2);
    for (int u = 0; u < 30'000; ++u) {
      std::vector<item_id> items;
      for (auto n = random.below(40); n > 0; --n) items.push_back(item_id(random.below(4000)));
      to.add_user("user " + std::to_string(u), items);
      expected.add_user("user " + std::to_string(u), items);
    }
    CHECK(to.written().users == 30'000);
    CHECK(!std::filesystem::exists(here / "f"));
    to.commit();
  }
  expected.item_count = 5000;
  CHECK(catalog::read_packed_interactions(here / "f").data == expected);
  CHECK(std::distance(std::filesystem::directory_iterator(here.path()), {}) == 1);
}

TEST_CASE("packed_writer: users that can't be written are refused, and nothing remains") {
  scratch const here;
  {
    catalog::packed_writer to(here / "f", {.times = with_times::present});
    CHECK(
        has(complaint_of([&] { to.add_user("u", ids({-1}), std::vector{1.0}); }), "user 'u': item -1, expected 0 to"));
    CHECK(has(complaint_of([&] { to.add_user("u", ids({0x7fffffff}), std::vector{1.0}); }), "item 2147483647"));
    CHECK(has(complaint_of([&] { to.add_user("u", ids({1})); }), "user 'u': 0 times, expected 1"));
    CHECK(has(complaint_of([&] {
                to.add_user("u", ids({1, 2}), std::vector{2.0, 1.0});
              }),
              "place 1: 1 isn't finite or"));
    CHECK(has(complaint_of([&] { to.add_user("u", ids({1}), std::vector{std::nan("")}); }), "place 0: nan"));
    CHECK(has(complaint_of([&] { to.commit(); }), "no users"));
    to.add_user("u", {}, {});
    CHECK(has(complaint_of([&] { to.commit(); }), "no items"));
  }
  {
    catalog::packed_writer to(here / "f");
    for (int u = 0; u < 1000; ++u) to.add_user(std::to_string(u % 997), ids({1}));
    CHECK(has(complaint_of([&] { to.commit(); }), "appears twice, as users"));
  }
  CHECK(std::filesystem::is_empty(here.path()));
  CHECK(has(complaint_of([&] { catalog::packed_writer to(here / "none" / "f"); }), "can't be opened for writing"));
}

TEST_CASE("packed interactions: files that are cut short, damaged or no files are refused in one line") {
  auto const read = [](std::filesystem::path const& path) { read_all(path); };
  for (auto const times : {with_times::absent, with_times::present}) {
    auto const whole = packed_text(times);
    test::check_cut_short(whole, read);
  }
  auto const whole = packed_text(with_times::present);
  test::check_damaged(whole, std::string_view("\0\1\2\x7f\x80\xff ", 7), whole.size(), read);
  test::check_damaged(whole, std::string_view("\0\1\2\x7f\x80\xff ", 7), whole.size(), [](auto const& path) {
    test::put(path, with_right_sum(read_file(path)));
    read_all(path);
  });
  test::check_no_regular_file(read);
}

TEST_CASE("packed interactions: every field that is wrong is named") {
  scratch const here;
  auto const whole = packed_text(with_times::present);
  auto const error_of = [&](std::size_t at, auto value, bool right_sum = true) {
    auto bytes = whole;
    std::memcpy(bytes.data() + at, &value, sizeof value);
    auto const path = here.file(right_sum ? with_right_sum(bytes) : bytes, "bad.packed");
    return complaint_of([&] { (void)catalog::read_packed_interactions(path); });
  };
  CHECK(has(error_of(0, 'x'), "bad.packed: byte 0: expected 'mqlinter'"));
  CHECK(has(error_of(8, 0x04030201), "byte 8: the byte order"));
  CHECK(has(error_of(12, 2), "byte 12: version 2, expected 1"));
  CHECK(has(error_of(16, index_t{2}, false), "the header is damaged"));
  CHECK(has(error_of(16, index_t{-1}), "header: -1 users, expected 1 to"));
  CHECK(has(error_of(16, index_t{2}), "for 2 users and 5 interactions"));
  CHECK(has(error_of(24, index_t{1} << 62), "interactions, expected 1 to"));
  CHECK(has(error_of(32, index_t{4}), "interaction 0: item 4, expected 0 to 3"));
  CHECK(has(error_of(40, index_t{1} << 60), "bytes of keys"));
  CHECK(has(error_of(48, index_t{7}), "7 as the mark of times, expected 0 to 1"));
  CHECK(has(error_of(48, index_t{0}), " bytes, expected"));
  CHECK(has(error_of(64, index_t{1}), "the items are damaged: their checksum differs"));
  CHECK(has(error_of(128, 1), "the items are damaged"));
  CHECK(has(error_of(152, 1.25), "the times are damaged"));
  auto const sum_fixed = [&](std::size_t at, auto value, std::size_t which, std::size_t begin, std::size_t size) {
    auto bytes = whole;
    std::memcpy(bytes.data() + at, &value, sizeof value);
    auto const sum = checksum(std::as_bytes(std::span(bytes)).subspan(begin, size));
    std::memcpy(bytes.data() + 64 + 8 * which, &sum, sizeof sum);
    auto const path = here.file(with_right_sum(bytes), "bad.packed");
    return complaint_of([&] { (void)catalog::read_packed_interactions(path); });
  };
  CHECK(has(sum_fixed(128, -7, 0, 128, 20), "interaction 0: item -7, expected 0 to 4"));
  CHECK(
      has(sum_fixed(152, std::numeric_limits<double>::infinity(), 1, 152, 40), "interaction 0: the time isn't finite"));
  CHECK(has(sum_fixed(160, 0.5, 1, 152, 40), "interaction 1: its time is less than"));
  CHECK(has(sum_fixed(192, index_t{1}, 2, 192, 32), "user 0 begins at 1, expected 0"));
  CHECK(has(sum_fixed(200, index_t{9}, 2, 192, 32), "user 1 ends at 3, before it begins"));
  CHECK(has(sum_fixed(216, index_t{4}, 2, 192, 32), "the last user ends at 4, expected 5"));
  CHECK(has(sum_fixed(224, index_t{-1}, 3, 224, 32), "key of user 0 begins at -1"));
  CHECK(has(sum_fixed(232, index_t{1} << 40, 3, 224, 32), "key of user 1 ends at"));
}

namespace {

/// A dataset directory with one text, which may have several parts.
struct dataset_directory {
  scratch here;
  catalog::dataset_paths paths{here / "Shop"};
  dataset_directory() { make_directory(here / "Shop"); }
  void file(std::string const& ending, std::string_view text) const {
    write_file(here / "Shop" / ("Shop." + ending), text);
  }
  std::string packing() const {
    return complaint_of([&] { (void)catalog::pack_interactions(paths); });
  }
};

}  // namespace

TEST_CASE("pack_interactions: JSON, JSON lines and lines in parts become the same interactions as in memory") {
  auto const shop = catalog::make_synthetic_dataset({.items = 60, .users = 200}, 0);
  auto expected = shop.interactions;
  expected.item_count = 1 + index(*std::ranges::max_element(expected.items));
  std::vector<double> times;
  for (std::size_t i = 0; i < expected.items.size(); ++i) times.push_back(0.5 * static_cast<double>(i));
  auto const line = [&](index_t u) {
    std::string items, whens, key(expected.user_keys[to_size(u)]);
    for (auto i = expected.offsets[to_size(u)]; i < expected.offsets[to_size(u + 1)]; ++i) {
      items += (items.empty() ? "" : ", ") + std::to_string(index(expected.items[to_size(i)]));
      whens += (whens.empty() ? "" : ",") + catalog::time_text(times[to_size(i)]);
    }
    return "{\"user\": " + (u % 2 == 0 ? key : "\"" + key + "\"") + ", \"items\": [" + items + "], \"times\": [" +
           whens + "]}\n";
  };
  for (int form = 0; form < 4; ++form) {
    dataset_directory const shop_files;
    auto const& paths = shop_files.paths;
    if (form == 0) {
      catalog::write_interactions(paths.interactions(), expected);
      catalog::write_times(paths.times(), expected, times);
    } else {
      index_t const parts = form == 1 ? 1 : form == 2 ? 3 : 11;
      for (index_t part = 0, u = 0; part < parts; ++part) {
        std::string text = part == 1 ? "\n" : "";
        for (; u < expected.users() * (part + 1) / parts; ++u) text += line(u);
        auto const name = form == 2 ? "inter-0000" + std::to_string(part + 1) + "-of-00003.jsonl"
                                    : "inter-" + std::to_string(part + 1) + "-of-11.jsonl";  // 10 follows 9
        shop_files.file(parts == 1 ? "inter.jsonl" : name, text);
      }
    }
    CAPTURE(form);
    CHECK(catalog::read_interactions(paths) == expected);
    CHECK(catalog::read_times(paths, expected) == column<double>(times));
    index_t calls = 0;
    auto const made = catalog::pack_interactions(paths, [&](auto const& p) {
      ++calls;
      CHECK(p.bytes == p.size);
      CHECK(p.users == 200);
    });
    CHECK(calls == 1);
    CHECK(made.has_times);
    auto const found = catalog::find_interactions(paths);
    CHECK(found.form == catalog::interaction_form::packed);
    auto const mapped = catalog::read_interactions(paths);
    CHECK(mapped == expected);
    CHECK(mapped.items.is_mapped());
    CHECK(catalog::read_times(paths, mapped) == column<double>(times));
    // The texts may be gone; if they are there they must be those that were packed.
    if (form == 1) {
      shop_files.file("inter.jsonl", line(0));
      CHECK(has(complaint_of([&] { (void)catalog::read_interactions(paths); }), "Shop.inter.packed: was made of"));
      std::filesystem::remove(paths.interaction_lines());
      CHECK(catalog::read_interactions(paths) == expected);
    }
  }
}

TEST_CASE("read_interactions: a user is in one line of one part only") {
  dataset_directory const shop;
  shop.file("inter-1-of-2.jsonl", "{\"user\": 1, \"items\": [1]}\n");
  shop.file("inter-2-of-2.jsonl", "{\"user\": 2, \"items\": [1]}\n{\"user\": \"1\", \"items\": [2]}\n");
  CHECK(has(complaint_of([&] { (void)catalog::read_interactions(shop.paths); }),
            "Shop.inter-2-of-2.jsonl: line 2: user '1' appears twice"));
}

TEST_CASE("pack_interactions: what is wrong with a text is named by file and line") {
  auto const lines = [](std::string_view text) {
    dataset_directory const shop;
    shop.file("inter.jsonl", text);
    return shop.packing();
  };
  CHECK(has(lines(""), "Shop.inter.jsonl: holds no users"));
  CHECK(has(lines("{\"user\": 1, \"items\": []}"), "holds no items"));
  CHECK(has(lines("[1]"), "line 1: expected a line {\"user\""));
  CHECK(has(lines("{\"user\": 1, \"items\": [1]}\n{\"user\": 2}"),
            "line 2: user '2': expected the members user and items"));
  CHECK(has(lines("{\"user\": 1, \"items\": [1]}\n\n{\"user\": 1, \"items\": [2]}"),
            "user '1' appears twice, as users 0 and 1"));
  CHECK(has(lines("{\"user\": -1, \"items\": [1]}"), "expected the key of a user, a string or an integer, found -1"));
  CHECK(has(lines("{\"user\": 1, \"items\": [1, -5]}"),
            "user '1', place 1: expected an item number from 0 to 2147483646, found -5"));
  CHECK(has(lines("{\"user\": 1, \"items\": [1, \"5\"]}"), "found '\"'"));
  CHECK(has(lines("{\"user\": 1, \"items\": [01]}"), "found 01"));
  CHECK(has(lines("{\"user\": 1, \"items\": [-0]}"), "found -0"));
  for (auto const* const time : {"1.", ".5", "01.5", "-.5", "+1"})
    CHECK(
        has(lines("{\"user\": 1, \"items\": [1], \"times\": [" + std::string(time) + "]}"), "expected a time, found"));
  CHECK(lines("{\"user\": 1, \"items\": [1, 1], \"times\": [-0.5e1, 1E2]}").empty());
  CHECK(has(lines("\xbb{\"user\": 1, \"items\": [1]}"), "line 1: expected a line"));
  CHECK(has(lines("\xef\xbb{\"user\": 1, \"items\": [1]}"), "a part of a byte order mark"));
  CHECK(has(lines("{\"user\": 1, \"items\": [1.5]}"), "found 1.5"));
  CHECK(has(lines("{\"user\": 1, \"items\": [2147483647]}"), "found 2147483647"));
  CHECK(has(lines("{\"user\": 1, \"items\": [1,]}"), "found ']'"));
  CHECK(
      has(lines("{\"user\": 1, \"items\": [1"), "line 1: expected ',' or ']' in the items of user '1', found the end"));
  CHECK(has(lines("{\"user\": \"a"), "the text ends inside a string"));
  CHECK(has(lines("{\"user\": \"a\\q\", \"items\": [1]}"), "isn't valid JSON"));
  CHECK(has(lines("{\"user\": \"a\xff\", \"items\": [1]}"), "isn't valid JSON: 'a?'"));
  CHECK(has(lines("{\"user\": 1, \"items\": [1], \"extra\": 3}"),
            "member 'extra', expected each of user, items and times once"));
  CHECK(has(lines("{\"user\": 1, \"user\": 1, \"items\": [1]}"), "member 'user'"));
  CHECK(has(lines("{\"user\": 1, \"items\": [1], \"times\": []}"), "user '1': 0 times, expected 1"));
  CHECK(has(lines("{\"user\": 1, \"items\": [1,2], \"times\": [2, 1]}"), "place 1: 1 is less than"));
  CHECK(has(lines("{\"user\": 1, \"items\": [1], \"times\": [1e999]}"), "expected a time, found 1e999"));
  CHECK(has(lines("{\"user\": 1, \"items\": [1], \"times\": [1]}\n{\"user\": 2, \"items\": [1]}"),
            "line 2: user '2' has no times"));
  CHECK(lines("{\"user\": \"\\ud83d\\ude00\\\"\", \"items\": [1]}").empty());

  auto const object = [](std::string_view text, std::string_view times = "") {
    dataset_directory const shop;
    shop.file("inter.json", text);
    if (!times.empty()) shop.file("times.json", times);
    return shop.packing();
  };
  CHECK(has(object(""),
            "Shop.inter.json: line 1: expected an object {\"user\": [item, …], …}, found the end of the text"));
  CHECK(has(object("{}"), "holds no users"));
  CHECK(has(object("{\"a\": [1]} x"), "expected the end of the text, found 'x'"));
  CHECK(has(object("{\"a\": [1] \"b\": [2]}"), "expected ',' or '}', found '\"'"));
  CHECK(has(object("{\"a\": [1],\n \"a\": [2]}"), "user 'a' appears twice"));
  CHECK(has(object("{\"a\": 3}"), "expected a list of items of user 'a', found '3'"));
  CHECK(object("\xef\xbb\xbf{\"a\": [1]}").empty());
  CHECK(object("{\"a\": [1, 2]}", "{\"a\": [1, 2.5]}").empty());
  CHECK(has(object("{\"a\": [1], \"b\": [2]}", "{\"b\": [1], \"a\": [2]}"),
            "Shop.times.json: line 1: user 'b', expected 'a'"));
  CHECK(has(object("{\"a\": [1], \"b\": [2]}", "{\"a\": [1]}"), "ends before user 'b'"));
  CHECK(has(object("{\"a\": [1]}", "{\"a\": [1], \"b\": [2]}"), "user 'b' has no interactions"));
  CHECK(has(object("{\"a\": [1]}", "{\"a\": [1, 2]}"), "user 'a': 2 times, expected 1"));

  dataset_directory const shop;
  CHECK(has(shop.packing(), "Shop.inter.json: is missing, and so are Shop.inter.jsonl and its parts"));
  shop.file("inter-00001-of-00003.jsonl", "");
  CHECK(has(shop.packing(), "Shop.inter-00001-of-00003.jsonl: is the last part, expected 3 parts"));
  shop.file("inter-00003-of-00003.jsonl", "");
  CHECK(has(shop.packing(), "Shop.inter-00003-of-00003.jsonl: is part 3 of 3, expected part 2 of 3 next"));
  shop.file("inter-00002-of-00003.jsonl", "");
  CHECK(has(shop.packing(), "Shop.inter-00001-of-00003.jsonl: holds no users"));
  shop.file("inter.json", "{}");
  CHECK(has(shop.packing(), "both hold interactions"));
}

TEST_CASE("pack_interactions: garbled texts are packed as they are read in memory, or refused in one line") {
  std::string const line = "{\"user\": \"a\\\"b\", \"items\": [4, 0], \"times\": [1, 2.5]}\n";
  auto const text =
      line + "{\"user\": 7, \"items\": [], \"times\": []}\n{\"items\": [12], \"times\": [-3e2], \"user\": \"x\"}\n";
  std::string const object = "{\"a \\\"b\\\"\": [4, 0], \"x\": [], \"2\": [1, 5, 7]}";
  int accepted = 0;
  dataset_directory const shop;
  for (std::uint64_t seed = 0; seed < 3000; ++seed) {
    bool const lines = seed % 2 == 0;
    auto const path = lines ? shop.paths.interaction_lines() : shop.paths.interactions();
    auto const bytes = test::garbled(lines ? text : object, seed);
    CAPTURE(bytes);
    test::put(path, bytes);
    std::filesystem::remove(shop.paths.packed());
    auto const refused = shop.packing();
    REQUIRE(refused.find('\n') == std::string::npos);
    if (!lines && refused.find("twice") == std::string::npos)  // the general parser decides the same
      REQUIRE(refused.empty() == complaint_of([&] { (void)catalog::read_interactions(path); }).empty());
    if (refused.empty()) {
      auto const packed = catalog::read_packed_interactions(shop.paths.packed());
      std::filesystem::remove(shop.paths.packed());
      REQUIRE(packed.data == catalog::read_interactions(shop.paths));
      ++accepted;
    }
    std::filesystem::remove(path);
  }
  CHECK(accepted > 100);
}
