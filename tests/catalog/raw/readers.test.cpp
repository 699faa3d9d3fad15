#include <doctest/doctest.h>

#include "mql4grec/core/macros.hpp"
#if MQL4GREC_HAS_RAW
#include "catalog/raw/gzip.hpp"
#include "catalog/scratch.hpp"
#include "mql4grec/catalog/raw/clean_text.hpp"
#include "mql4grec/catalog/raw/detail/sha256.hpp"
#include "mql4grec/catalog/raw/line_reader.hpp"
#include "mql4grec/catalog/raw/python_literal.hpp"
#include "mql4grec/catalog/raw/raw_items.hpp"
#include "mql4grec/catalog/raw/raw_ratings.hpp"
#include "mql4grec/catalog/raw/record_reader.hpp"
#include "support/hostile_files.hpp"

using namespace mql4grec;
using test::complaint_of;
using test::gzipped;
using test::has;
using test::scratch;

namespace {

std::vector<std::string> lines_of(std::filesystem::path const& path, catalog::read_options options = {}) {
  catalog::line_reader reader(path, std::move(options));
  std::vector<std::string> lines;
  for (std::string_view line; reader.next(line);) lines.emplace_back(line);
  return lines;
}

/// "user item time" of each rating.
std::vector<std::string> ratings_of(std::filesystem::path const& path, catalog::ratings_options const& options = {}) {
  std::vector<std::string> found;
  catalog::read_raw_ratings(path, options, [&](catalog::raw_rating const& r) {
    found.push_back(std::string(r.user) + " " + std::string(r.item) + " " +
                    std::to_string(static_cast<long long>(r.time)));
  });
  return found;
}

catalog::item_description item_of(std::filesystem::path const& path, std::string_view wanted) {
  catalog::item_description found;
  catalog::read_raw_items(path, {}, [&](std::string_view id, catalog::item_description&& text) {
    if (id == wanted) found = std::move(text);
  });
  return found;
}

using strings = std::vector<std::string>;

}  // namespace

TEST_CASE("sha256: the test vectors of FIPS 180-4, in one piece and byte by byte") {
  auto const hash = [](std::string_view text, std::size_t piece) {
    catalog::detail::sha256 h;
    for (; text.size() > piece; text.remove_prefix(piece)) h.update(text.data(), piece);
    h.update(text.data(), text.size());
    return h.digest();
  };
  std::string const million(1'000'000, 'a');
  for (std::size_t const piece : {std::size_t{1}, std::size_t{63}, std::size_t{64}, std::size_t{1} << 30}) {
    CHECK(hash("", piece) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK(hash("abc", piece) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(hash("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", piece) ==
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    CHECK(hash(million, piece) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  }
}

TEST_CASE("line_reader: line ends, a byte-order mark and a last line without an end") {
  scratch const here;
  CHECK(lines_of(here.file("")).empty());
  CHECK(lines_of(here.file("a")) == strings{"a"});
  CHECK(lines_of(here.file("\xef\xbb\xbf"
                           "a\r\n\nb\n")) == strings{"a", "", "b"});
  std::string const big(3 << 20, 'x');
  CHECK(lines_of(here.file(big + "\n" + big)) == strings{big, big});
}

TEST_CASE("line_reader: gzip is recognized by its content; members in a row and trailing zeros are read") {
  scratch const here;
  std::string const big(3 << 20, 'x');
  CHECK(lines_of(here.file(gzipped("a\nb"), "ratings.csv")) == strings{"a", "b"});
  CHECK(lines_of(here.file(gzipped("a\n") + gzipped("b\n") + std::string(100, '\0'))) == strings{"a", "b"});
  CHECK(lines_of(here.file(gzipped(big + "\ny"))) == strings{big, "y"});
  CHECK(lines_of(here.file(gzipped(""))).empty());
}

TEST_CASE("line_reader: hostile files are refused in one line") {
  scratch const here;
  auto const refusal = [&](std::string_view content, catalog::read_options options = {}) {
    return complaint_of([&] { return lines_of(here.file(content, "f"), options); });
  };
  auto const whole = gzipped("some text that is compressed\n");
  for (std::size_t n = 2; n < whole.size(); ++n) REQUIRE(has(refusal(whole.substr(0, n)), "f: is truncated"));
  CHECK(has(refusal(whole + "garbage"), "expected the end or another gzip member"));
  auto damaged = whole;
  damaged[whole.size() - 6] ^= 1;
  CHECK(has(refusal(damaged), "f: is damaged: zlib reports 'incorrect data check'"));
  CHECK(has(refusal("short\n" + std::string(100, 'x'), {.max_line = 50}), "f, line 2: is longer than 50 bytes"));
  CHECK(has(refusal("short\n" + std::string(100, 'x') + "\n", {.max_line = 50}), "f, line 2: is longer than 50"));
  CHECK(has(refusal("PK\x03\x04 …"), "is a zip archive"));
  CHECK(has(refusal("\xff\xfe"
                    "a"),
            "is encoded in UTF-16"));
  auto const bomb = gzipped(std::string(128 << 20, '\n'));
  CHECK(has(complaint_of([&] {
              catalog::line_reader reader(here.file(bomb, "bomb"));
              for (std::string_view line; reader.next(line);) {
              }
            }),
            "bomb: expands to more than 200 times its size"));
  CHECK(has(refusal(gzipped(std::string(40 << 20, 'x'))), "line 1: is longer than 16777216 bytes"));
  test::check_no_regular_file([](auto const& path) { return lines_of(path); });
}

TEST_CASE("record_reader: fields of RFC 4180, and of files without quoting") {
  scratch const here;
  auto const records = [&](std::string_view content, catalog::record_format format = {}) {
    catalog::line_reader lines(here.file(content, "f"), {.max_line = 1000});
    catalog::record_reader reader(lines, std::move(format));
    std::vector<strings> all;
    for (auto const* r = &reader.next(); !r->empty(); r = &reader.next()) all.emplace_back(r->begin(), r->end());
    return all;
  };
  CHECK(records("a,b,\n\n,c\n") == std::vector<strings>{{"a", "b", ""}, {"", "c"}});
  CHECK(records("\"a,\"\"b\"\"\",c\nd,\"\"\n") == std::vector<strings>{{"a,\"b\"", "c"}, {"d", ""}});
  CHECK(records("\"two\r\nlines\n\nmore\",x\ny\n") == std::vector<strings>{{"two\nlines\n\nmore", "x"}, {"y"}});
  CHECK(records("5\" pipe,\"x\"") == std::vector<strings>{{"5\" pipe", "x"}});
  CHECK(records("a::b::\"c\n", {.separator = "::", .quotes = catalog::quoting::none}) ==
        std::vector<strings>{{"a", "b", "\"c"}});
  CHECK(has(complaint_of([&] { return records("a\n\"b\nc\n"); }), "f, line 2: a quotation mark is never closed"));
  CHECK(has(complaint_of([&] { return records("\"b\"c,d\n"); }), "line 1: text between a closing quotation mark"));
  std::string endless = "\"";
  for (int i = 0; i < 100; ++i) endless += "twenty bytes a line…\n";
  CHECK(has(complaint_of([&] { return records(endless); }), "line 1: a record is longer than the limit"));
}

TEST_CASE("python_literal_to_json: what Python's repr writes") {
  auto const json = catalog::python_literal_to_json;
  CHECK(json("{'a': \"It's\", \"b\": u'x', 'c': [1, -2.5, 1e400, .5, 3L], 'd': (True, False, None,), 'e': {}}") ==
        R"({"a":"It's","b":"x","c":[1,-2.5,null,0.5,3],"d":[true,false,null],"e":{}})");
  CHECK(json(R"('\'\"\\\n\x41\u00e9\101\q')") == R"("'\"\\\u000a\u0041\u00e9\u0041\\q")");
  CHECK(json(R"('\U0001f600')") == R"("\ud83d\ude00")");
  CHECK(json(R"(r'\n' "b")") == R"("\\nb")");
  CHECK(json("[44444444444444444444, 9223372036854775807]") == "[44444444444444442624.0,9223372036854775807]");
  CHECK(json("[nan, NaN, -inf, Infinity, null]") == "[null,null,null,null,null]");
}

TEST_CASE("python_literal_to_json: errors name the byte") {
  auto const error_of = [](std::string const& text) {
    return complaint_of([&] { return catalog::python_literal_to_json(text); });
  };
  CHECK(has(error_of(""), "byte 0: expected a value"));
  CHECK(has(error_of("{'a' 1}"), "byte 5: expected :"));
  CHECK(has(error_of("{1: 2}"), "byte 1: expected a key in quotation marks"));
  CHECK(has(error_of("['a'"), "expected , or ]"));
  CHECK(has(error_of("'a"), "expected a closing quotation mark"));
  CHECK(has(error_of("'a\\"), "expected a closing quotation mark"));
  CHECK(has(error_of("'\\xg0'"), "expected digits of an escape"));
  CHECK(has(error_of("'\\U00110000'"), "expected a character up to U+10FFFF"));
  CHECK(has(error_of("1 2"), "expected the end of the line"));
  CHECK(has(error_of("os.system('x')"), "byte 0: expected a value"));
  CHECK(has(error_of(std::string(100'000, '[')), "expected at most 64 levels of nesting"));
}

TEST_CASE("decode_entities: HTML 5, also without a semicolon") {
  CHECK(catalog::decode_entities("caf&eacute; &amp; &#38; &#x1F600; &apos;&nbsp;|&CounterClockwiseContourIntegral;") ==
        "café & & \xF0\x9F\x98\x80 '\xc2\xa0|∳");
  CHECK(catalog::decode_entities("AT&T &ampx &unknown; & &; &#; 5&") == "AT&T &x &unknown; & &; &#; 5&");
  CHECK(catalog::decode_entities("&amp;lt;") == "&lt;");
  CHECK(catalog::decode_entities("&#146;&#0;&#xD800;&#99999999;") == "’\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
  CHECK(catalog::decode_entities("&#32;&#9;|") == " \t|");
}

TEST_CASE("clean_text: mark-up is removed, white space folded, other text kept") {
  using catalog::clean_text;
  CHECK(clean_text("  A\tb\r\n <b>bold</b>er&nbsp;&#8195;x ") == "A b bolder x");
  CHECK(clean_text("one<br/>two<P class=\"x\">three</p>") == "one two three");
  CHECK(clean_text("&lt;br&gt;a&lt;i&gt;b") == "ab");
  CHECK(clean_text("1 < 2 and 3 > 2, I <3 it, a<b") == "1 < 2 and 3 > 2, I <3 it, a<b");
  CHECK(clean_text("a<!-- <b> -->b<script>var x = '<b>';</script>c<style>d</style>e") == "ab c e");
  CHECK(clean_text("a <!-- never closed") == "a <!-- never closed");
  CHECK(clean_text("caf\xe9") == "café");  // Latin-1
  CHECK(clean_text(std::string("a\0b\x01"
                               "c",
                               5)) == "a b c");
  CHECK(clean_text("").empty());
  std::string const opened = [] {
    std::string text;
    for (int i = 0; i < 300'000; ++i) text += "<script><!--<a ";
    return text;
  }();
  CHECK(!clean_text(opened).empty());  // a quadratic algorithm would take hours
}

TEST_CASE("parse_time: numbers and ISO 8601") {
  using catalog::parse_time;
  CHECK(parse_time("1525305600") == 1525305600);
  CHECK(parse_time("1525305600.5") == 1525305600.5);
  CHECK(parse_time("2018-05-03") == 1525305600);
  CHECK(parse_time("2018-05-03T12:30:01Z") == 1525305600 + 45001);
  CHECK(parse_time("2018-05-03 12:30") == 1525305600 + 45000);
  CHECK(parse_time("2018-05-03T12:30:00.25+02:00") == 1525305600 + 45000.25 - 7200);
  CHECK(parse_time("2000-02-29") == 951782400);
  for (auto const* wrong : {"", "x", "nan", "inf", "1 ", "2018-13-01", "2018-05", "2018-05-03T", "2018-05-03T25:00",
                            "2018-05-03T12:30:", "2018-05-03T12:30:1e1", "2018-05-03T12:30:61"})
    CHECK_MESSAGE(!parse_time(wrong), wrong);
}

TEST_CASE("read_raw_ratings: every format is recognized by its first line") {
  scratch const here;
  strings const expected = {"u1 i1 10", "u2 i2 20"};
  auto const read = [&](std::string_view content) { return ratings_of(here.file(content, "f")); };
  CHECK(read("i1,u1,5.0,10\ni2,u2,3.0,20\n") == expected);
  CHECK(read(gzipped("i1,u1,5.0,10\r\ni2,u2,3.0,20\r\n")) == expected);
  CHECK(read("user_id,parent_asin,rating,timestamp\nu1,i1,5.0,10\nu2,i2,1.0,20\n") == expected);
  CHECK(read("userId,movieId,rating,timestamp\nu1,i1,5.0,10\nu2,i2,1.0,20\n") == expected);
  CHECK(read("u1::i1::5::10\nu2::i2::3::20\n") == expected);
  CHECK(read("user_id:token\titem_id:token\ttimestamp:float\nu1\ti1\t10\nu2\ti2\t20.0\n") == expected);
  CHECK(read("time;user;shelf;item\n10;u1;x;i1\n20;u2;y;i2\n") == expected);
  CHECK(read(R"({"rating": 5.0, "title": "{", "asin": "v", "parent_asin": "i1", "user_id": "u1", "timestamp": 10}
{"rating": 5.0, "asin": "w", "parent_asin": "i2", "user_id": "u2", "timestamp": 20})") == expected);
  CHECK(read(R"({"reviewerID": "u1", "asin": "i1", "unixReviewTime": 10}
{'reviewerID': 'u2', 'asin': 'i2', 'unixReviewTime': 20})") == expected);
  CHECK(read("A2SUAM1J3GNN3B,0000013714,5.0,1400457600\n") == strings{"A2SUAM1J3GNN3B 0000013714 1400457600"});
  CHECK(read("0000013714,A2SUAM1J3GNN3B,5.0,1400457600\n") == strings{"A2SUAM1J3GNN3B 0000013714 1400457600"});
}

TEST_CASE("read_raw_ratings: columns may be named, and times left out") {
  scratch const here;
  auto const path = here.file("who,\"what\",when\nu1,\"i,1\",2018-05-03\n");
  CHECK(ratings_of(path, {.columns = {.user = "who", .item = "what", .time = "when"}}) == strings{"u1 i,1 1525305600"});
  CHECK(ratings_of(path, {.columns = {.user = "who", .item = "what", .without_time = true}}) == strings{"u1 i,1 0"});
}

TEST_CASE("read_raw_ratings: an error is one line with the file, the line and what was expected") {
  scratch const here;
  auto const refusal = [&](std::string_view content, catalog::ratings_options const& options = {}) {
    auto const text = complaint_of([&] { return ratings_of(here.file(content, "f"), options); });
    CHECK(text.find('\n') == text.npos);
    return text;
  };
  CHECK(has(refusal(""), "f: is empty"));
  CHECK(has(refusal("user,item,time\n"), "f: contains no ratings"));
  CHECK(has(refusal("a,b\n1,2\n"), "line 1: no column of users among 'a', 'b'; --columns names"));
  CHECK(has(refusal("a,b\n", {.columns = {.user = "x", .item = "b"}}), "line 1: no column 'x' of users"));
  CHECK(has(refusal("i,u,5,10\ni,u\n"), "f, line 2: has 2 fields, expected at least 4"));
  CHECK(has(refusal("i,u,5,10\ni,,5,10\n"), "f, line 2: the user is missing"));
  CHECK(has(refusal("i,u,5,10\ni,u,5,then\n"), "f, line 2: 'then': expected a time"));
  CHECK(has(refusal("i,u,5,10\ni,u\x01,5,10\n"), "line 2: the user 'u?' contains a control character"));
  CHECK(has(refusal("i,u,5,10\ni,u\xe9,5,10\n"), "line 2: the user 'u\xe9' is not encoded in UTF-8"));
  CHECK(has(refusal("i,u,5,10\n" + std::string(2000, 'i') + ",u,5,10\n"), "the item has more than 1024 bytes"));
  CHECK(has(refusal("{\"user_id\": \"u\", \"asin\": \"i\", \"timestamp\": 1}\n[1]\n"), "f, line 2: is not an object"));
  CHECK(has(refusal("{\"user_id\": \"u\"\n"), "f, line 1: is neither JSON ("));
  CHECK(has(refusal("{\"user_id\": 5, \"asin\": \"i\"}\n"), "f, line 1: the user is missing"));
  CHECK(has(refusal("{\"user_id\": \"u\", \"asin\": \"i\"}\n"), "f, line 1: '': expected a time"));
  CHECK(has(refusal("u::i::5::10\n", {.format = catalog::raw_format::recbole}),
            "f: has the format movielens (user::item::rating::time), expected recbole"));
  CHECK(has(complaint_of([] { return catalog::raw_format_of("xml"); }), "'xml': expected auto, amazon2018"));
}

TEST_CASE("read_raw_items: Amazon's metadata of 2014, 2018 and 2023") {
  scratch const here;
  auto const of_2014 = here.file(
      "{'asin': 'A', 'title': \"Bob's &quot;Drum&quot;\", 'description': 'loud<br />and clear', 'price': 3.5, "
      "'related': {'also_bought': ['B']}, 'salesRank': {}, 'categories': [['Music', 'Drums'], ['Toys']], "
      "'brand': 'Bob'}\n",
      "2014");
  CHECK(item_of(of_2014, "A") == catalog::item_description{.title = "Bob's \"Drum\"",
                                                           .description = "loud and clear",
                                                           .brand = "Bob",
                                                           .categories = "Music,Drums,Toys"});
  auto const of_2018 =
      here.file(gzipped(R"({"asin": "A", "title": "T", "description": ["one", "", "two"], "brand": "by\nYamaha", )"
                        R"("category": ["Music", "</span></span>junk", "Drums"]}
{"asin": "B", "title": "var x = new Date().getTime();", "description": [], "brand": "", "category": []})"),
                "2018");
  CHECK(item_of(of_2018, "A") ==
        catalog::item_description{.title = "T", .description = "one two", .brand = "Yamaha", .categories = "Music"});
  CHECK(item_of(of_2018, "B") == catalog::item_description{});
  auto const of_2023 =
      here.file(R"({"parent_asin": "A", "title": "T \ud83d", "description": [], "features": ["f", "g"], "store": "S", )"
                R"("details": {"Brand": "B"}, "categories": ["x", "y"], "price": null})",
                "2023");
  CHECK(item_of(of_2023, "A") ==
        catalog::item_description{.title = "T \xef\xbf\xbd", .description = "f g", .brand = "B", .categories = "x,y"});
}

TEST_CASE("read_raw_items: MovieLens, RecBole and CSV") {
  scratch const here;
  auto const expected = catalog::item_description{.title = "Léon", .categories = "Crime,Drama"};
  CHECK(item_of(here.file("movieId,title,genres\n7,\"Léon\",Crime|Drama\n", "a"), "7") == expected);
  CHECK(item_of(here.file("7::L\xe9on::Crime|Drama\n", "b"), "7") == expected);
  CHECK(item_of(here.file("item_id:token\tmovie_title:token_seq\tclass:token_seq\n7\tLéon\tCrime Drama\n", "c"), "7") ==
        expected);
  CHECK(item_of(here.file("id,name,brand\n7,\"a, b\",c\n", "d"), "7") ==
        catalog::item_description{.title = "a, b", .brand = "c"});
}

TEST_CASE("read_raw_items: items that aren't needed are neither cleaned nor visited; errors name the line") {
  scratch const here;
  auto const path = here.file("{\"asin\": \"A\", \"title\": \"a\"}\n{\"asin\": \"B\", \"title\": \"b\"}\n");
  int visited = 0;
  auto const source = catalog::read_raw_items(path, {.is_needed = [](std::string_view id) { return id == "B"; }},
                                              [&](std::string_view id, auto&&) { visited += id == "B" ? 1 : 100; });
  CHECK(visited == 1);
  CHECK(source.records == 2);
  auto const refusal = [&](std::string_view content) {
    return complaint_of([&] { return item_of(here.file(content, "f"), ""); });
  };
  CHECK(has(refusal("{\"title\": \"a\"}\n"), "f, line 1: has no 'asin'"));
  CHECK(has(refusal("{\"asin\": \"A\"}\n5\n"), "f, line 2: is not an object"));
  CHECK(has(refusal("{\"asin\": \"A\xff\"}\n"), "f, line 1: is "));
  CHECK(has(refusal("x,y\n1,2\n"), "f: line 1: no column of items among 'x', 'y'"));
}
#endif
