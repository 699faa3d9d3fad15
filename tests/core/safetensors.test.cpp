#include "mql4grec/core/safetensors.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "core/temporary_directory.hpp"
#include "mql4grec/core/files.hpp"
#include "support/hostile_files.hpp"

using namespace mql4grec;
using test::check_cut_short;
using test::check_damaged;
using test::check_no_regular_file;
using test::complaint;
using test::temporary_directory;

namespace {

template <class T>
std::string bytes_of(std::vector<T> const& entries) {
  return {reinterpret_cast<char const*>(entries.data()), entries.size() * sizeof(T)};
}
/// A file with this header and data, written without the library.
std::string raw(std::string const& header, std::string const& data = "") {
  return bytes_of(std::vector<std::uint64_t>{header.size()}) + header + data;
}
/// A file with one tensor, "x".
std::string one(std::string const& type, std::string const& shape, std::string const& data) {
  return raw(R"({"x":{"dtype":")" + type + R"(","shape":)" + shape + R"(,"data_offsets":[0,)" +
                 std::to_string(data.size()) + "]}}",
             data);
}
template <class T, class From>
std::vector<T> read_as(std::string const& type, std::vector<From> const& entries) {
  temporary_directory const directory;
  test::put(directory / "f", one(type, "[" + std::to_string(entries.size()) + "]", bytes_of(entries)));
  return safetensors(directory / "f").values<T>("x");
}
/// The error message, without the path, of opening such a file.
std::string refusal(std::string const& bytes) {
  temporary_directory const directory;
  test::put(directory / "f", bytes);
  auto const message = complaint<file_error>([&] { safetensors file(directory / "f"); });
  auto const prefix = (directory / "f").string() + ": ";
  return message.starts_with(prefix) ? message.substr(prefix.size()) : message;
}
template <class T>
host_vector_view<T const> seen(std::vector<T> const& entries) {
  return view_of(std::span<T const>(entries));
}

std::vector<float> const six = {1, -2, 3.5f, -0.f, 1e-42f, INFINITY};
std::vector<std::int64_t> const three = {1, -1, std::numeric_limits<std::int64_t>::min()};

}  // namespace

TEST_CASE("safetensors: what is written is read back: names, kinds, shapes, entries, metadata") {
  temporary_directory const directory;
  std::vector<double> const number = {0.1};
  std::vector<std::uint8_t> const nothing;
  write_safetensors(directory / "f",
                    std::vector<named_tensor>{{"matrix", {2, 3}, seen(six)},
                                              {"näme \"q\"", {3}, seen(three)},
                                              {"scalar", {}, seen(number)},
                                              {"empty", {4, 0}, seen(nothing)}},
                    {{"format", "pt"}, {"step", "7"}});
  safetensors const file(directory / "f");
  CHECK(file.names() == std::vector<std::string>{"empty", "matrix", "näme \"q\"", "scalar"});
  CHECK(file.metadata() == std::map<std::string, std::string>{{"format", "pt"}, {"step", "7"}});
  CHECK(file.info("matrix").type == dtype::f32);
  CHECK(file.info("matrix").shape == std::vector<index_t>{2, 3});
  CHECK(file.info("scalar").size() == 1);
  CHECK(file.info("empty").size() == 0);
  CHECK(bytes_of(file.values<float>("matrix")) == bytes_of(six));  // compares bits, including −0 and a subnormal
  CHECK(file.values<std::int64_t>("näme \"q\"") == three);
  CHECK(file.values<double>("scalar") == number);
  CHECK(file.values<float>("empty").empty());
}

TEST_CASE("safetensors: reading and writing a file of the official library reproduces its bytes") {
  for (std::string const name : {"model", "golden"}) {
    std::filesystem::path const path = MQL4GREC_TEST_GOLDEN_DIR "/t5_relu_untied/" + name + ".safetensors";
    safetensors const file(path);
    std::vector<std::vector<float>> floats;
    std::vector<std::vector<std::int32_t>> integers;
    std::vector<named_tensor> tensors;
    floats.reserve(file.names().size());
    integers.reserve(file.names().size());
    for (auto const& tensor : file.names())
      if (file.info(tensor).type == dtype::f32)
        tensors.push_back({tensor, file.info(tensor).shape, seen(floats.emplace_back(file.values<float>(tensor)))});
      else
        tensors.push_back(
            {tensor, file.info(tensor).shape, seen(integers.emplace_back(file.values<std::int32_t>(tensor)))});
    temporary_directory const directory;
    write_safetensors(directory / "f", tensors, file.metadata());
    CHECK(read_file(directory / "f") == read_file(path));
  }
}

TEST_CASE("safetensors: the bytes don't depend on the order of the tensors, and the data is aligned") {
  temporary_directory const directory;
  std::vector<named_tensor> tensors = {{"a", {6}, seen(six)}, {"b", {3}, seen(three)}, {"c", {3, 2}, seen(six)}};
  write_safetensors(directory / "f", tensors);
  std::ranges::reverse(tensors);
  write_safetensors(directory / "g", tensors);
  CHECK(read_file(directory / "f") == read_file(directory / "g"));
  safetensors const file(directory / "f");
  for (auto const& name : file.names()) CHECK(file.info(name).begin % 8 == 0);
}

TEST_CASE("safetensors: a file without tensors is valid") {
  temporary_directory const directory;
  write_safetensors(directory / "f", {});
  CHECK(safetensors(directory / "f").names().empty());
  CHECK(refusal(raw("{}")).empty());
}

TEST_CASE("write_safetensors: invalid arguments are refused and leave no file") {
  temporary_directory const directory;
  auto const error_of = [&](std::vector<named_tensor> const& tensors) {
    return complaint<error>([&] { return write_safetensors(directory / "f", tensors); });
  };
  CHECK(error_of({{"a", {7}, seen(six)}}).ends_with("tensor 'a' has 6 entries, its shape is [7]"));
  CHECK(error_of({{"a", {-2, -3}, seen(six)}}).ends_with("tensor 'a' has 6 entries, its shape is [-2, -3]"));
  CHECK(error_of({{"a", {6}, seen(six)}, {"b", {6}, seen(six)}, {"a", {3}, seen(three)}})
            .ends_with("two tensors with the name 'a'"));
  CHECK(error_of({{"__metadata__", {6}, seen(six)}}).ends_with("no tensor can have the name __metadata__"));
  CHECK(error_of({{"\xff", {6}, seen(six)}}).ends_with("a name isn't valid UTF-8"));
  CHECK(directory.files() == 0);
}

// ---- entries
// ---------------------------------------------------------------------------------------------------------------

TEST_CASE("safetensors: every F16 has the value that IEEE 754 gives it") {
  std::vector<std::uint16_t> bits(65536);
  for (std::size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<std::uint16_t>(i);
  auto const values = read_as<double>("F16", bits);
  for (unsigned i = 0; i < 65536; ++i) {
    int const exponent = static_cast<int>(i >> 10 & 31), fraction = static_cast<int>(i & 1023);
    double const sign = i >> 15 ? -1 : 1, value = values[i];
    if (exponent == 31 && fraction != 0) {
      REQUIRE(std::isnan(value));
      continue;
    }
    double const expected = exponent == 31  ? sign * INFINITY
                            : exponent == 0 ? sign * std::ldexp(fraction, -24)
                                            : sign * std::ldexp(1024 + fraction, exponent - 25);
    REQUIRE(value == expected);
    REQUIRE(std::signbit(value) == (sign < 0));
  }
}

TEST_CASE("safetensors: a BF16 is the upper half of an F32") {
  std::vector<std::uint16_t> const bits = {0x0000, 0x8000, 0x3f80, 0xc049, 0x0001, 0x7f80, 0xff80};
  auto const values = read_as<float>("BF16", bits);
  for (std::size_t i = 0; i < bits.size(); ++i)
    CHECK(std::bit_cast<std::uint32_t>(values[i]) == std::uint32_t{bits[i]} << 16);
}

TEST_CASE("safetensors: F64 is rounded to float, F32 widens exactly") {
  CHECK(read_as<float>("F64", std::vector<double>{0.1, 1e-60, -INFINITY}) == std::vector<float>{0.1f, 0.f, -INFINITY});
  CHECK(read_as<double>("F32", std::vector<float>{0.1f, 1e-42f}) == std::vector<double>{0.1f, 1e-42f});
  CHECK_THROWS_AS(read_as<float>("F64", std::vector<double>{1e300}), file_error);
}

TEST_CASE("safetensors: integers keep their value or are refused") {
  CHECK(read_as<std::int32_t>("I64", std::vector<std::int64_t>{-5, 2147483647}) ==
        std::vector<std::int32_t>{-5, 2147483647});
  CHECK(read_as<std::uint8_t>("BOOL", std::vector<std::uint8_t>{0, 1}) == std::vector<std::uint8_t>{0, 1});
  CHECK(read_as<std::int64_t>("U16", std::vector<std::uint16_t>{65535}) == std::vector<std::int64_t>{65535});
  CHECK(read_as<float>("I32", std::vector<std::int32_t>{-(1 << 24), 1 << 24}) == std::vector<float>{-0x1p24f, 0x1p24f});
  CHECK(read_as<double>("U32", std::vector<std::uint32_t>{~0u}) == std::vector<double>{4294967295.0});
  CHECK_THROWS_AS(read_as<std::int32_t>("I64", std::vector<std::int64_t>{2147483648}), file_error);
  CHECK_THROWS_AS(read_as<std::uint32_t>("I8", std::vector<std::int8_t>{-1}), file_error);
  CHECK_THROWS_AS(read_as<std::int64_t>("U64", std::vector<std::uint64_t>{~std::uint64_t{0}}), file_error);
  CHECK_THROWS_AS(read_as<float>("I32", std::vector<std::int32_t>{(1 << 24) + 1}), file_error);
  CHECK_THROWS_AS(read_as<float>("U64", std::vector<std::uint64_t>{~std::uint64_t{0}}), file_error);
  CHECK_THROWS_AS(read_as<std::int32_t>("F32", std::vector<float>{1}), file_error);
}

TEST_CASE("safetensors: tensors longer than a read block are converted completely") {
  std::vector<std::int32_t> entries(100'001);
  for (std::size_t i = 0; i < entries.size(); ++i) entries[i] = static_cast<std::int32_t>(i);
  auto const values = read_as<double>("I32", entries);
  CHECK(std::ranges::equal(values, entries));
  entries.back() = -1;
  CHECK(complaint<file_error>([&] {
          return read_as<std::uint64_t>("I32", entries);
        }).ends_with("tensor 'x': entry 100000 doesn't fit its new type"));
}

TEST_CASE("safetensors: a missing tensor and one of another shape are named") {
  temporary_directory const directory;
  write_safetensors(directory / "f", std::vector<named_tensor>{{"a", {2, 3}, seen(six)}});
  safetensors const file(directory / "f");
  std::vector<float> out(6), five(5);
  auto const error_of = [&](char const* name, std::vector<index_t> const& shape, std::vector<float>& to) {
    return complaint<error>([&] { return file.read(name, shape, view_of(std::span<float>(to))); });
  };
  CHECK(error_of("b", {2, 3}, out) == (directory / "f").string() + ": tensor 'b' is missing");
  CHECK(error_of("a", {3, 2}, out) == (directory / "f").string() + ": tensor 'a': shape [2, 3], expected [3, 2]");
  CHECK(error_of("a", {2, 3}, five) == (directory / "f").string() + ": tensor 'a': 6 entries into a place for 5");
  CHECK(error_of("a", {2, 3}, out).empty());
  CHECK(file.contains("a"));
  CHECK(!file.contains("b"));
}

// ---- hostile files
// ---------------------------------------------------------------------------------------------------------

TEST_CASE("safetensors: an impossible header length is refused before reading") {
  auto const length = [](std::uint64_t n) { return bytes_of(std::vector<std::uint64_t>{n}); };
  CHECK(refusal("") == "is 0 bytes, expected at least the 8 of a safetensors header's length");
  CHECK(refusal("1234567") == "is 7 bytes, expected at least the 8 of a safetensors header's length");
  CHECK(refusal(length(3) + "{}") == "header: its length is 3, but only 2 bytes follow");
  CHECK(refusal(length(100'000'001) + "{}") == "header: its length is 100000001, expected at most 100000000");
  CHECK(refusal(length(~std::uint64_t{0}) + "{}") ==
        "header: its length is 18446744073709551615, expected at most 100000000");
  CHECK(refusal(length(0)) == "header: expected a JSON object that starts at byte 8");
  CHECK(refusal(raw("[]")) == "header: expected a JSON object that starts at byte 8");
  CHECK(refusal(raw(" {}")) == "header: expected a JSON object that starts at byte 8");
}

TEST_CASE("safetensors: an invalid header is refused with the position and what was expected") {
  struct {
    char const *header, *complaint;
  } const cases[] = {
      {R"({"x")", "header: byte 5: not valid JSON"},
      {R"({} {})", "header: byte 4: not valid JSON"},
      {"{\"\xff\":1}", "header: byte 3: not valid JSON"},
      {R"({"x":1})", "tensor 'x': found 1, expected an object"},
      {R"({"x":null})", "tensor 'x': found null, expected an object"},
      {R"({"x":[]})", "tensor 'x': found a list, expected an object"},
      {R"({"x":{}})", "tensor 'x': key 'dtype' is missing"},
      {R"({"x":{"dtype":"F32"}})", "tensor 'x': key 'shape' is missing"},
      {R"({"x":{"dtype":"F32","shape":[0]}})", "tensor 'x': key 'data_offsets' is missing"},
      {R"({"x":{"dtype":3}})", "tensor 'x': key 'dtype': found 3, expected a string"},
      {R"({"x":{"dtype":["F32"]}})", "tensor 'x': key 'dtype': found a list, expected a string"},
      {R"({"x":{"dtype":"F99"}})",
       "tensor 'x': key 'dtype': 'F99', expected BOOL, F16, BF16, F32, F64, I8 … I64 or U8 … U64"},
      {R"({"x":{"dtype":"F32","dtype":"F64"}})", "tensor 'x': key 'dtype': appears twice"},
      {R"({"x":{"colour":"red"}})", "tensor 'x': key 'colour': unknown; expected dtype, shape and data_offsets"},
      {R"({"x":{"shape":"[1]"}})", "tensor 'x': key 'shape': found a string, expected a list of integers"},
      {R"({"x":{"shape":{}}})", "tensor 'x': key 'shape': found an object, expected a list of integers"},
      {R"({"x":{"shape":[[1]]}})", "tensor 'x': key 'shape': found a list, expected integers from 0 to 2^63 − 1"},
      {R"({"x":{"shape":[-1]}})", "tensor 'x': key 'shape': found -1, expected integers from 0 to 2^63 − 1"},
      {R"({"x":{"shape":[1.5]}})", "tensor 'x': key 'shape': found 1.5, expected integers from 0 to 2^63 − 1"},
      {R"({"x":{"shape":[true]}})", "tensor 'x': key 'shape': found true, expected integers from 0 to 2^63 − 1"},
      {R"({"x":{"shape":[9223372036854775808]}})",
       "tensor 'x': key 'shape': found 9223372036854775808, expected integers from 0 to 2^63 − 1"},
      {R"({"x":{"data_offsets":[0]}})", "tensor 'x': key 'data_offsets': a list of 1, expected [begin, end]"},
      {R"({"x":{"data_offsets":[0,1,2]}})", "tensor 'x': key 'data_offsets': a list of 3, expected [begin, end]"},
      {R"({"x":{"data_offsets":[4,0]}})", "tensor 'x': key 'data_offsets': [4, 0], expected begin ≤ end"},
      {R"({"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})",
       "header: 'x' appears twice"},
      {R"({"__metadata__":{"a":"b"},"__metadata__":{}})", "header: '__metadata__' appears twice"},
      {R"({"__metadata__":{"a":"b","a":"c"}})", "__metadata__: key 'a': appears twice"},
      {R"({"__metadata__":{"a":1}})", "__metadata__: key 'a': found 1, expected a string"},
      {R"({"__metadata__":{"a":{}}})", "__metadata__: key 'a': found an object, expected a string"},
      {R"({"__metadata__":"a"})", "__metadata__: found a string, expected an object"},
      {R"({"two\nlines":1})", "tensor 'two?lines': found 1, expected an object"},
  };
  for (auto const& c : cases) CHECK(refusal(raw(c.header)) == c.complaint);
}

TEST_CASE("safetensors: tensors must fill the data exactly, each with the bytes that its shape needs") {
  std::string const eight(8, '\0');
  auto const two = [&](std::string const& a, std::string const& b) {
    auto const entry = [](std::string const& offsets) {
      return R"({"dtype":"U8","shape":[4],"data_offsets":)" + offsets + "}";
    };
    return refusal(raw(R"({"a":)" + entry(a) + R"(,"b":)" + entry(b) + "}", eight));
  };
  CHECK(two("[0,4]", "[4,8]").empty());
  CHECK(two("[4,8]", "[0,4]").empty());
  CHECK(two("[0,4]", "[0,4]") == "tensor 'b': begins at data byte 0, expected 4: overlaps the tensor before");
  CHECK(two("[0,4]", "[3,7]") == "tensor 'b': begins at data byte 3, expected 4: overlaps the tensor before");
  CHECK(two("[0,4]", "[5,9]") == "tensor 'b': begins at data byte 5, expected 4: a gap");
  CHECK(two("[1,5]", "[5,9]") == "tensor 'a': begins at data byte 1, expected 0: a gap");
  CHECK(two("[0,4]", "[4,9]") == "tensor 'b': data_offsets span 5 bytes, expected 4 for U8 [4]");

  CHECK(refusal(one("F32", "[2]", eight)).empty());
  CHECK(refusal(one("F32", "[3]", eight)) == "tensor 'x': data_offsets span 8 bytes, expected 12 for F32 [3]");
  CHECK(refusal(one("F32", "[]", eight)) == "tensor 'x': data_offsets span 8 bytes, expected 4 for F32 []");
  CHECK(refusal(one("F32", "[2]", eight) + "!") == "1 bytes after the last tensor, expected none");
  CHECK(refusal(one("F32", "[2]", eight).substr(0, raw("").size() + 60)) != "");
  CHECK(refusal(raw(R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", "1234567")) ==
        "tensor 'x': ends at data byte 0 + 8, but the file has only 7");
}

TEST_CASE("safetensors: sizes that overflow are refused as too large") {
  auto const of_shape = [](std::string const& shape) { return refusal(one("F32", shape, "")); };
  CHECK(of_shape("[4611686018427387904,4]") == "tensor 'x': shape [4611686018427387904, 4] is too large");
  CHECK(of_shape("[2305843009213693952]") ==
        "tensor 'x': shape [2305843009213693952] is too large");  // 2⁶¹ floats are 2⁶³ bytes
  CHECK(of_shape("[3037000500,3037000500,0]") == "tensor 'x': shape [3037000500, 3037000500, 0] is too large");
  CHECK(of_shape("[0,9223372036854775807]").empty());
  CHECK(refusal(raw(R"({"x":{"dtype":"U8","shape":[9223372036854775807],"data_offsets":[0,9223372036854775807]}})")) ==
        "tensor 'x': ends at data byte 0 + 9223372036854775807, but the file has only 0");
}

TEST_CASE("safetensors: a deeply nested header uses neither memory nor stack") {
  CHECK(refusal(raw("{\"x\":" + std::string(1'000'000, '['))) == "tensor 'x': found a list, expected an object");
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"x\":";
  CHECK(refusal(raw(objects)) == "tensor 'x': key 'x': unknown; expected dtype, shape and data_offsets");
}

namespace {
std::string two_tensors() {
  temporary_directory const directory;
  write_safetensors(directory / "f", std::vector<named_tensor>{{"a", {2, 3}, seen(six)}, {"b", {3}, seen(three)}},
                    {{"k", "v"}});
  return read_file(directory / "f");
}
void look_into(std::filesystem::path const& path) { safetensors const file(path); }
void read_all(std::filesystem::path const& path) {
  safetensors const file(path);
  for (auto const& name : file.names()) file.values<double>(name);
}
}  // namespace

TEST_CASE("safetensors: a truncated file is refused") { check_cut_short(two_tensors(), look_into); }

TEST_CASE("safetensors: a file with damaged bytes is refused in one line or read inside its bounds") {
  auto const whole = two_tensors();
  check_damaged(whole, "{}[],:\"0123456789-.eE \\\n\xff", whole.size(), read_all);
}

TEST_CASE("safetensors: a directory, a pipe and a missing file are refused without blocking") {
  check_no_regular_file(look_into);
}

TEST_CASE("safetensors: an open file is unaffected when replaced by rename, and truncation is an error") {
  temporary_directory const directory;
  std::vector<float> const other(6, 9.f);
  write_safetensors(directory / "f", std::vector<named_tensor>{{"a", {6}, seen(six)}});
  safetensors const file(directory / "f");
  write_safetensors(directory / "f", std::vector<named_tensor>{{"a", {6}, seen(other)}});
  CHECK(file.values<float>("a") == six);
  safetensors const cut(directory / "f");
  std::filesystem::resize_file(directory / "f", 80);
  CHECK(complaint<file_error>([&] {
          return cut.values<float>("a");
        }).ends_with("ends at byte 80, has become shorter while it was read"));
}
