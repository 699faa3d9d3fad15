#include "mql4grec/core/gguf.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <string>
#include <vector>

#include "core/temporary_directory.hpp"
#include "support/hostile_files.hpp"

using namespace mql4grec;
using test::complaint;

namespace {

template <class T>
std::string bytes_of(T const& value) {
  return {reinterpret_cast<char const*>(&value), sizeof value};
}
std::string text(std::string const& s) { return bytes_of(std::uint64_t{s.size()}) + s; }

/// A value of the metadata: its key, the number of its type and its bytes.
std::string entry(std::string const& key, std::uint32_t type, std::string const& value) {
  return text(key) + bytes_of(type) + value;
}

struct listed_tensor {
  std::string name;
  std::vector<std::uint64_t> extents;  // columns first
  std::uint32_t type;
  std::uint64_t offset;
};

/// A file written without the library. Counts default to what is in it.
struct gguf_bytes {
  std::vector<std::string> metadata = {};
  std::vector<listed_tensor> tensors = {};
  std::string data = {};
  std::uint32_t version = 3;
  std::uint64_t alignment = 32;
  std::int64_t more_tensors = 0, more_metadata = 0;

  operator std::string() const {
    std::string out = "GGUF" + bytes_of(version) + bytes_of(tensors.size() + static_cast<std::uint64_t>(more_tensors)) +
                      bytes_of(metadata.size() + static_cast<std::uint64_t>(more_metadata));
    for (auto const& m : metadata) out += m;
    for (auto const& t : tensors) {
      out += text(t.name) + bytes_of(static_cast<std::uint32_t>(t.extents.size()));
      for (auto const extent : t.extents) out += bytes_of(extent);
      out += bytes_of(t.type) + bytes_of(t.offset);
    }
    out.resize((out.size() + alignment - 1) / alignment * alignment, '\0');
    return out + data;
  }
};

std::span<std::byte const> as_bytes_of(std::string const& s) { return std::as_bytes(std::span(s)); }
std::string refusal(std::string const& bytes) {
  return complaint<file_error>([&] { gguf(as_bytes_of(bytes), "f"); });
}

std::string small_file() {
  return gguf_bytes{.metadata = {entry("general.architecture", 8, text("llama")), entry("n", 4, bytes_of(7u)),
                                 entry("list", 9, bytes_of(8u) + bytes_of(std::uint64_t{2}) + text("a") + text("bc"))},
                    .tensors = {{"x", {2, 2}, 0, 0}, {"y", {32}, 8, 32}},
                    .data = std::string(32 + 34, '\0')};
}

}  // namespace

TEST_CASE("gguf: metadata of every type is read, integers of any width as numbers") {
  std::string const bytes =
      gguf_bytes{.metadata = {entry("u8", 0, bytes_of(std::uint8_t{200})), entry("i8", 1, bytes_of(std::int8_t{-3})),
                              entry("u16", 2, bytes_of(std::uint16_t{60000})),
                              entry("i16", 3, bytes_of(std::int16_t{-300})), entry("u32", 4, bytes_of(4000000000u)),
                              entry("i32", 5, bytes_of(-5)), entry("f32", 6, bytes_of(0.5f)),
                              entry("bool", 7, bytes_of(std::uint8_t{1})), entry("string", 8, text("a\nb")),
                              entry("list", 9, bytes_of(5u) + bytes_of(std::uint64_t{2}) + bytes_of(-1) + bytes_of(9)),
                              entry("texts", 9, bytes_of(8u) + bytes_of(std::uint64_t{2}) + text("") + text("z")),
                              entry("u64", 10, bytes_of(std::numeric_limits<std::uint64_t>::max())),
                              entry("i64", 11, bytes_of(std::int64_t{-1} << 40)), entry("f64", 12, bytes_of(0.25))}};
  gguf const file(as_bytes_of(bytes), "f");
  CHECK(file.value<index_t>("u8") == 200);
  CHECK(file.value<index_t>("i8") == -3);
  CHECK(file.value<index_t>("u16") == 60000);
  CHECK(file.value<index_t>("i16") == -300);
  CHECK(file.value<index_t>("u32") == 4000000000);
  CHECK(file.value<double>("i32") == -5);
  CHECK(file.value<double>("f32") == 0.5);
  CHECK(file.value<bool>("bool"));
  CHECK(file.value<std::string>("string") == "a\nb");
  CHECK(file.value<std::vector<index_t>>("list") == std::vector<index_t>{-1, 9});
  CHECK(file.value<std::vector<double>>("list") == std::vector<double>{-1, 9});
  CHECK(file.value<std::vector<std::string>>("texts") == std::vector<std::string>{"", "z"});
  CHECK(file.value<index_t>("i64") == -(index_t{1} << 40));
  CHECK(file.value<double>("f64") == 0.25);
  CHECK(file.value_or<index_t>("none", 4) == 4);
  CHECK(complaint<file_error>([&] { (void)file.value<index_t>("u64"); }) ==
        "f: key 'u64': isn't an integer below 2^63");
  CHECK(complaint<file_error>([&] { (void)file.value<index_t>("string"); }) ==
        "f: key 'string': isn't an integer below 2^63");
  CHECK(complaint<file_error>([&] { (void)file.value<bool>("none"); }) == "f: key 'none' is missing");
}

TEST_CASE("gguf: shapes are rows first, and blocks are dequantized as ggml does") {
  std::string q8 = bytes_of(std::uint16_t{0x3800});  // scale 0.5
  for (int i = 0; i < 32; ++i) q8 += bytes_of(static_cast<std::int8_t>(i - 16));
  std::string q4_0 = bytes_of(std::uint16_t{0x4000});                                    // scale 2
  std::string q4_1 = bytes_of(std::uint16_t{0x4000}) + bytes_of(std::uint16_t{0xBC00});  // scale 2, least −1
  for (int i = 0; i < 16; ++i) {
    q4_0 += bytes_of(static_cast<std::uint8_t>(i | (15 - i) << 4));
    q4_1 += bytes_of(static_cast<std::uint8_t>(i | (15 - i) << 4));
  }
  auto const padded = [](std::string s) { return s.append(64 - s.size(), '\0'); };
  std::string const bytes =
      gguf_bytes{.tensors = {{"q8", {32, 1}, 8, 0},
                             {"q4_0", {32}, 2, 64},
                             {"q4_1", {32}, 3, 128},
                             {"half", {2}, 1, 192},
                             {"bf16", {1, 3}, 30, 256},
                             {"one", {}, 0, 320}},
                 .data = padded(q8) + padded(q4_0) + padded(q4_1) + padded(bytes_of(0xC0003C00u)) +
                         padded(bytes_of(0x40003F80u) + bytes_of(std::uint16_t{0xBF80})) + bytes_of(2.5f)};
  gguf const file(as_bytes_of(bytes), "f");
  CHECK(file.info("q8").shape == std::vector<index_t>{1, 32});
  CHECK(file.info("bf16").shape == std::vector<index_t>{3, 1});
  CHECK(file.values("half") == std::vector<float>{1, -2});
  CHECK(file.values("bf16") == std::vector<float>{1, 2, -1});
  CHECK(file.values("one") == std::vector<float>{2.5});
  for (std::size_t i = 0; i < 32; ++i) {
    float const code = static_cast<float>(i < 16 ? i : 31 - i);
    CHECK(file.values("q8")[i] == (static_cast<float>(i) - 16) * 0.5f);
    CHECK(file.values("q4_0")[i] == (code - 8) * 2);
    CHECK(file.values("q4_1")[i] == code * 2 - 1);
  }
  std::vector<float> out(32);
  CHECK(complaint<file_error>([&] { file.read("q8", {32}, view_of(std::span(out))); }) ==
        "f: tensor 'q8': shape [1, 32], expected [32]");
}

TEST_CASE("gguf: lying counts, lengths, types and offsets are refused in one line") {
  CHECK(refusal("GGML") == "f: isn't a GGUF file: expected it to begin with GGUF");
  CHECK(refusal(gguf_bytes{.version = 1}) == "f: header: version 1, expected 2 or 3");
  CHECK(refusal(gguf_bytes{.version = 3u << 24}) == "f: header: the file is big-endian, expected little-endian");
  CHECK(refusal(gguf_bytes{.more_metadata = -1})
            .starts_with("f: header: number of metadata values: 18446744073709551615"));
  CHECK(refusal(gguf_bytes{.more_tensors = -1}).starts_with("f: header: number of tensors: 18446744073709551615"));
  CHECK(refusal(gguf_bytes{.metadata = {entry("k", 8, bytes_of(~std::uint64_t{0}))}})
            .starts_with("f: key 'k': byte 37: a string of 18446744073709551615 bytes, but only "));
  CHECK(refusal(gguf_bytes{.metadata = {entry("k", 9, bytes_of(12u) + bytes_of(~std::uint64_t{0}))}})
            .starts_with("f: key 'k': 18446744073709551615 in a place of "));
  CHECK(refusal(gguf_bytes{.metadata = {entry("k", 13, "")}}) == "f: key 'k': type 13, expected 0 to 12");
  CHECK(refusal(gguf_bytes{.metadata = {entry("k", 9, bytes_of(9u) + bytes_of(std::uint64_t{0}))}}) ==
        "f: key 'k': a list of type 9, expected a list of numbers, bools or strings");
  auto const n = entry("k", 4, bytes_of(1u));
  CHECK(refusal(gguf_bytes{.metadata = {n, n}}) == "f: key 'k' appears twice");
  CHECK(refusal(gguf_bytes{.metadata = {entry("general.alignment", 4, bytes_of(0u))}}) ==
        "f: key 'general.alignment': 0, expected a power of two up to 2^20");
  auto const of = [](listed_tensor const& t, std::size_t bytes = 64) {
    return refusal(gguf_bytes{.tensors = {t}, .data = std::string(bytes, '\0')});
  };
  CHECK(of({"x", {4}, 0, 0}) == "");
  CHECK(of({"x", {4}, 5, 0}) == "f: tensor 'x': type 5 isn't known");
  CHECK(of({"x", {4}, 0, 8}) == "f: tensor 'x': begins at data byte 8, expected a multiple of 32");
  CHECK(of({"x", {17}, 0, 0}) == "f: tensor 'x': ends at data byte 0 + 68, but the file has only 64");
  CHECK(of({"x", {4}, 0, 1024}) == "f: tensor 'x': ends at data byte 1024 + 16, but the file has only 64");
  CHECK(of({"x", {4}, 0, ~std::uint64_t{31}}).ends_with(", expected below 2^63"));
  CHECK(of({"x", {31}, 8, 0}) == "f: tensor 'x': rows of 31 entries, expected a multiple of 32 for Q8_0");
  CHECK(of({"x", {1, 1, 1, 1, 1}, 0, 0}) == "f: tensor 'x': 5 dimensions, expected at most 4");
  CHECK(of({"x", {std::uint64_t{1} << 40, std::uint64_t{1} << 40}, 0, 0}).ends_with(" is too large"));
  CHECK(of({"x", {std::uint64_t{1} << 62}, 0, 0}).ends_with(" is too large"));
  CHECK(refusal(gguf_bytes{.tensors = {{"x", {9}, 0, 0}, {"y", {1}, 0, 32}}, .data = std::string(64, '\0')}) ==
        "f: tensor 'y': begins at data byte 32, expected 36 or more: overlaps the tensor before");
  CHECK(refusal(gguf_bytes{.tensors = {{"x", {1}, 0, 0}, {"x", {1}, 0, 32}}, .data = std::string(64, '\0')}) ==
        "f: tensor 'x': appears twice");
}

TEST_CASE("gguf: a file with a type that isn't supported opens, and reading that tensor states what is") {
  std::string const bytes = gguf_bytes{.tensors = {{"x", {256}, 14, 0}}, .data = std::string(210, '\0')};
  gguf const file(as_bytes_of(bytes), "f");
  CHECK(complaint<file_error>([&] { (void)file.values("x"); }) ==
        "f: tensor 'x': is Q6_K, which isn't supported; expected F32, F16, BF16, Q8_0, Q4_0 or Q4_1");
}

TEST_CASE("gguf: files that end anywhere, are damaged or aren't files") {
  auto const read = [](std::filesystem::path const& path) {
    gguf const file(path);
    for (auto const& name : file.names()) (void)file.values(name);
  };
  test::check_cut_short(small_file(), read);
  test::check_damaged(small_file(), std::string("\0\1\2\7\10\11\36\xff\x7f", 9), small_file().size(), read);
  test::check_no_regular_file(read);
}
