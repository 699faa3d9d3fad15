#include "mql4grec/language/index_shape.hpp"

#include <doctest/doctest.h>

#include "catalog/scratch.hpp"

using namespace mql4grec;
using test::complaint_of;
using test::has;
using test::scratch;

namespace {
language::modality_tokens const text{"a", {}}, images{"A", {}};
}  // namespace

TEST_CASE("index_shape: the number of levels, and the largest code plus one of each") {
  scratch const here;
  auto const of = [&](std::string_view content, language::modality_tokens const& family = text) {
    return language::read_index_shape(here.file(content), family);
  };
  CHECK(of(R"({"2": ["<a_3>", "<b_0>"], "7": ["<a_1>", "<b_511>"]})") == language::index_shape{{4, 512}, "2"});
  CHECK(of(R"({"0": ["<A_0>"]})", images) == language::index_shape{{1}, "0"});
  CHECK(of("{}") == language::index_shape{});
  std::string longest = R"({"0": [)";
  for (char letter = 'a'; letter <= 'z' + 1; ++letter)
    longest += (longest.back() == '[' ? "\"<" : ", \"<") + std::string(1, letter) + "_1>\"";
  CHECK(of(longest + "]}").codes == std::vector<index_t>(27, 2));
}

TEST_CASE("index_shape: an error message contains the file, the item and what was expected") {
  scratch const here;
  auto const error_message = [&](std::string_view content) {
    return complaint_of([&] { return language::read_index_shape(here.file(content, "bad.json"), text); });
  };
  CHECK(has(error_message(""), "bad.json: is empty"));
  CHECK(has(error_message("[]"), "found a array"));
  CHECK(has(error_message("{"), "not valid JSON"));
  CHECK(has(error_message(R"({"1": "<a_1>"})"), "item 1: expected a list of tokens, found a string"));
  CHECK(has(error_message(R"({"1\n2": "<a_1>"})"), "item 1?2: expected a list"));
  CHECK(has(error_message(R"({"1": ["<a\n_1>"]})"), "'<a?_1>' does not belong there"));
  CHECK(has(error_message(R"({"1": []})"), "item 1 has 0 tokens, expected 1 to 27"));
  CHECK(has(error_message(R"({"1": [)" + std::string(27 * 3, ' ') + R"("<a_0>")" +
                          [] {
                            std::string more;
                            for (int i = 0; i < 27; ++i) more += ", 0";
                            return more;
                          }() +
                          "]}"),
            "item 1 has 28 tokens, expected 1 to 27"));
  CHECK(has(error_message(R"({"1": ["<a_1>", 5]})"),
            "item 1, place 1: expected a token like \"<b_12>\", found a number"));
  CHECK(has(error_message(R"({"1": ["<a_1>", "<c_1>"]})"),
            "item 1, place 1: '<c_1>' does not belong there, expected one like <b_0>"));
  for (std::string const word :
       {"<A_1>", "</s>", "", "a_1", "<a_-1>", "<a_>", "<a_99999999999999999999>", "<_1>", "<a 1>"})
    CHECK(has(error_message(R"({"1": [")" + word + "\"]}"),
              "item 1, place 0: '" + word + "' does not belong there, expected one like <a_0>"));
  CHECK(has(error_message(R"({"1": ["<a_1048576>"]})"),
            "item 1, place 0: '<a_1048576>', expected a code less than 1048576"));
  std::string many = R"({"5": [)";
  for (char letter = 'a'; letter <= 'q'; ++letter)
    many += (letter == 'a' ? "\"<" : ", \"<") + std::string(1, letter) + "_1048575>\"";
  CHECK(has(error_message(many + "]}"),
            "item 5: the codes of all levels add up to 17825792, expected less than 16777216"));
  CHECK(has(error_message(R"({"3": ["<a_1>"], "4": ["<a_1>", "<b_1>"]})"),
            "bad.json: item 4 has 2 tokens, expected 1, as many as item 3 has"));
}
