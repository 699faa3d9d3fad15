#include "mql4grec/core/json.hpp"

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <vector>

#include "core/temporary_directory.hpp"
#include "mql4grec/core/files.hpp"

using namespace mql4grec;
using test::complaint;
using test::put;
using test::temporary_directory;

TEST_CASE("json: what is written is read back with its keys in the same order") {
  temporary_directory const directory;
  json const value = {{"zebra", 1}, {"ant", {1, 2.5, nullptr, true}}, {"text", "naïve \"quotes\"\n"}};
  write_json(directory / "x.json", value);
  CHECK(read_json(directory / "x.json").dump() == value.dump());
  CHECK(read_file(directory / "x.json").ends_with("}\n"));
  write_json(directory / "x.json", {{"path", "caf\xe9"}});  // a path need not be UTF-8
  CHECK(member<std::string>(read_json(directory / "x.json"), "path", "x.json") == "caf\xef\xbf\xbd");
}

TEST_CASE("json: an invalid or truncated text is an error of one line with the file and the byte") {
  CHECK(complaint<file_error>([] { return parse_json(R"({"a": 1,, "b": 2})", "x.json"); }) ==
        "x.json: byte 9: not valid JSON, or truncated");
  CHECK(complaint<file_error>([] { parse_json(R"({"a": [1, 2)", "x.json"); }) ==
        "x.json: byte 12: not valid JSON, or truncated");
  CHECK(complaint<file_error>([] { return parse_json("", "x.json"); }) == "x.json: is empty, expected JSON");
  CHECK_THROWS_AS(parse_json("{\"\xff\": 1}", "x.json"), file_error);
}

TEST_CASE("json: a number out of the range of double is refused with its position") {
  CHECK(complaint<file_error>([] { return parse_json("[1, 1e999]", "x.json"); }) ==
        "x.json: byte 9: not valid JSON, or truncated");
}

TEST_CASE("json: an object of many members takes time linear in them") {
  constexpr int many = 200'000;  // a quadratic search for duplicate keys would take minutes
  std::string text = "{\"inner\": {";
  for (int i = 0; i < many; ++i) text += (i > 0 ? ",\"" : "\"") + std::to_string(i) + "\":" + std::to_string(i);
  json const value = parse_json(text + "}}", "x.json");
  CHECK(value.at("inner").size() == many);
  CHECK(value.at("inner").front() == 0);
  CHECK(value.at("inner").back() == many - 1);
}

TEST_CASE("json: nesting of any depth is parsed or refused, without running out of stack") {
  for (auto const* open : {"[", "{\"a\":"}) {
    std::string text;
    for (int depth = 0; depth < 100'000; ++depth) text += open;
    CHECK(complaint<file_error>([&] { return parse_json(text, "x.json"); }) ==
          "x.json: lists and objects nested more than 100 deep");
  }
  CHECK(parse_json(std::string(100, '[') + std::string(100, ']'), "x.json").is_array());
}

TEST_CASE("json: a duplicate key is refused at any depth, with the path of its object") {
  CHECK(complaint<file_error>([] { return parse_json(R"({"a": 1, "b": 2, "a": 3})", "x.json"); }) ==
        "x.json: key 'a' appears twice");
  CHECK(complaint<file_error>([] { parse_json(R"({"a": [{"b": {"c": 1, "c": 1}}]})", "x.json"); }) ==
        "x.json: key 'c' of 'b' appears twice");
  CHECK(complaint<file_error>([] { return parse_json("{\"a\\nb\": 1, \"a\\nb\": 1}", "x.json"); }) ==
        "x.json: key 'a?b' appears twice");
  CHECK(parse_json(R"({"a": {"a": 1}, "b": [{"a": 1}, {"a": 2}]})", "x.json").at("b").at(1).at("a") == 2);
}

TEST_CASE("json: a leading byte-order mark is ignored") {
  temporary_directory const directory;
  put(directory / "x.json", "\xef\xbb\xbf{\"a\": 1}");
  CHECK(read_json(directory / "x.json").at("a") == 1);
  CHECK(read_text(directory / "x.json") == "{\"a\": 1}");
}

TEST_CASE("json: a lone surrogate becomes the replacement character, pairs and escaped backslashes are preserved") {
  auto const text = [](std::string_view escaped) {
    return parse_json("\"" + std::string(escaped) + "\"", "x.json").get<std::string>();
  };
  CHECK(text(R"(a\ud83d\ude00b)") ==
        "a\xf0\x9f\x98\x80"
        "b");
  for (auto const* broken : {R"(a\ud83db)", R"(a\uDE00b)", R"(a\ud83d)", R"(\ud83d\u0041)", R"(\ud83d\ud83d\ude00)",
                             R"(\ude00\ud83d)", R"(\ud83d\n)"})
    CHECK(text(broken).find("\xef\xbf\xbd") != std::string::npos);
  CHECK(text(R"(\\ud83d)") == R"(\ud83d)");
  CHECK(text(R"(\u00e9)") == "é");
  CHECK_THROWS_AS(text(R"(\u12)"), file_error);
  CHECK_THROWS_AS(text(R"(\u-123)"), file_error);
  CHECK(complaint<file_error>([] { return parse_json(R"({"a": "\ud83d",, "b": 2})", "x.json"); }) ==
        "x.json: byte 16: not valid JSON, or truncated");
}

TEST_CASE("member: a missing key and a value of the wrong type are refused by name") {
  json const object = {{"n", 3}, {"text", "three"}, {"none", nullptr}};
  CHECK(member<int>(object, "n", "x.json") == 3);
  CHECK(member<std::string>(object, "text", "x.json") == "three");
  CHECK(complaint<file_error>([&] { return member<int>(object, "m", "x.json"); }) == "x.json: key 'm' is missing");
  CHECK(complaint<file_error>([&] { return member<int>(object, "text", "x.json"); }) ==
        "x.json: key 'text': found \"three\", expected a whole number");
  CHECK(complaint<file_error>([&] { return member<int>(json::array(), "n", "x.json"); }) ==
        "x.json: key 'n' is missing");
}

TEST_CASE("member: whole numbers are read exactly, or refused") {
  json const object = parse_json(R"({"part": 18.9, "far": 1e300, "high": 18446744073709551615, "more": 4294967299,
                                     "low": -1, "yes": true, "some": [1, 2.5], "ids": {"a": 1, "b": -2147483649}})",
                                 "x.json");
  auto const read = [&]<class T>(T, char const* key) {
    return complaint<file_error>([&] { return member<T>(object, key, "x.json"); });
  };
  CHECK(read(0, "part") == "x.json: key 'part': found 18.9, expected a whole number");
  CHECK(read(0, "far") == "x.json: key 'far': found 1e+300, expected a whole number");
  CHECK(read(index_t{}, "high") ==
        "x.json: key 'high': found 18446744073709551615, expected -9223372036854775808 to 9223372036854775807");
  CHECK(read(0, "more") == "x.json: key 'more': found 4294967299, expected -2147483648 to 2147483647");
  CHECK(read(std::size_t{}, "low") == "x.json: key 'low': found -1, expected 0 to 18446744073709551615");
  CHECK(read(0, "yes") == "x.json: key 'yes': found true, expected a whole number");
  CHECK(read(std::vector<index_t>(), "some") == "x.json: key 'some': found 2.5, expected a whole number");
  CHECK(read(std::map<std::string, int>(), "ids") ==
        "x.json: key 'ids': found -2147483649, expected -2147483648 to 2147483647");
  CHECK(member<std::size_t>(object, "high", "x.json") == 18446744073709551615u);
  CHECK(member<index_t>(object, "low", "x.json") == -1);
  CHECK(member<bool>(object, "yes", "x.json"));
  CHECK(member<double>(object, "part", "x.json") == 18.9);
  CHECK_THROWS_AS(member_or<int>(object, "more", 7, "x.json"), file_error);
}

TEST_CASE("member_or: absent and null give the default, a wrong type is an error") {
  json const object = {{"n", 3}, {"text", "three"}, {"none", nullptr}};
  CHECK(member_or<int>(object, "n", 7, "x.json") == 3);
  CHECK(member_or<int>(object, "m", 7, "x.json") == 7);
  CHECK(member_or<int>(object, "none", 7, "x.json") == 7);
  CHECK_THROWS_AS(member_or<int>(object, "text", 7, "x.json"), file_error);
}
