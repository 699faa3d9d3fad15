#include "mql4grec/core/json.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "core/temporary_directory.hpp"

using namespace mql4grec;
using test::complaint;
using test::temporary_directory;

TEST_CASE("json: what is written is read back with its keys in the same order") {
  temporary_directory const directory;
  json const value = {{"zebra", 1}, {"ant", {1, 2.5, nullptr, true}}, {"text", "naïve \"quotes\"\n"}};
  write_json(directory / "x.json", value);
  CHECK(read_json(directory / "x.json").dump() == value.dump());
  CHECK(read_file(directory / "x.json").ends_with("}\n"));
}

TEST_CASE("json: a damaged or truncated text is one line that names the file and the byte") {
  CHECK(complaint<file_error>([] { parse_json(R"({"a": 1,, "b": 2})", "x.json"); }) ==
        "x.json: byte 9: not valid JSON, or truncated");
  CHECK(complaint<file_error>([] { parse_json(R"({"a": [1, 2)", "x.json"); }) ==
        "x.json: byte 12: not valid JSON, or truncated");
  CHECK(complaint<file_error>([] { parse_json("", "x.json"); }) == "x.json: is empty, expected JSON");
  CHECK_THROWS_AS(parse_json("{\"\xff\": 1}", "x.json"), file_error);
}

TEST_CASE("json: nesting of any depth is parsed or refused, without running out of stack") {
  CHECK_THROWS_AS(parse_json(std::string(1'000'000, '['), "x.json"), file_error);
}

TEST_CASE("member: a missing key and a value of the wrong kind are named") {
  json const object = {{"n", 3}, {"text", "three"}, {"none", nullptr}};
  CHECK(member<int>(object, "n", "x.json") == 3);
  CHECK(member<std::string>(object, "text", "x.json") == "three");
  CHECK(complaint<file_error>([&] { member<int>(object, "m", "x.json"); }) == "x.json: key 'm' is missing");
  CHECK(complaint<file_error>([&] { member<int>(object, "text", "x.json"); }) ==
        "x.json: key 'text' is a string of the wrong kind");
  CHECK(complaint<file_error>([&] { member<int>(json::array(), "n", "x.json"); }) == "x.json: key 'n' is missing");
}

TEST_CASE("member_or: absent and null mean the other value, the wrong kind is still an error") {
  json const object = {{"n", 3}, {"text", "three"}, {"none", nullptr}};
  CHECK(member_or<int>(object, "n", 7, "x.json") == 3);
  CHECK(member_or<int>(object, "m", 7, "x.json") == 7);
  CHECK(member_or<int>(object, "none", 7, "x.json") == 7);
  CHECK_THROWS_AS(member_or<int>(object, "text", 7, "x.json"), file_error);
}
