// A libFuzzer target for what reads raw files: CSV and other ratings, metadata lines, Python literals, texts, gzip. The
// first byte chooses the reader, or MQL4GREC_FUZZ_READER=0 … 4 in the environment for a run of one reader. An input may
// be refused by mql4grec::error with one line; everything else is a finding.
//   clang++ -std=c++20 -O1 -g -fsanitize=fuzzer,address,undefined -Iinclude tests/fuzz/raw.cpp -lz -lsimdjson -lgumbo
#include <simdjson.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "check.hpp"
#include "mql4grec/catalog/raw/clean_text.hpp"
#include "mql4grec/catalog/raw/python_literal.hpp"
#include "mql4grec/catalog/raw/raw_items.hpp"
#include "mql4grec/catalog/raw/raw_ratings.hpp"
#include "mql4grec/core/detail/half_surrogates.hpp"

namespace {

using namespace mql4grec;
using namespace mql4grec::test;

/// A file with this content, in memory where the system has /dev/shm.
std::filesystem::path file_of(std::string_view content) {
  static auto const path = (std::filesystem::exists("/dev/shm") ? std::filesystem::path("/dev/shm")
                                                                : std::filesystem::temp_directory_path()) /
                           ("mql4grec_fuzz_" + std::to_string(::getpid()));
  static bool const registered = std::atexit([] { std::filesystem::remove(path); }) == 0;
  (void)registered;
  std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
  return path;
}

void read_ratings(std::string_view content) {
  catalog::read_raw_ratings(file_of(content), {.reading = {.max_line = 4096}},
                            [](catalog::raw_rating const& r) { require(!r.user.empty() && !r.item.empty()); });
}

void read_items(std::string_view content) {
  catalog::read_raw_items(file_of(content), {.reading = {.max_line = 4096}},
                          [](std::string_view id, catalog::item_description&& text) {
                            require(!id.empty());
                            require(simdjson::validate_utf8(text.title));
                            require(simdjson::validate_utf8(text.description));
                          });
}

/// Whatever is accepted becomes JSON, apart from bytes that aren't UTF-8.
void read_literal(std::string_view text) {
  auto json = catalog::python_literal_to_json(text);
  core::detail::mend_half_surrogates(json);
  simdjson::dom::parser parser;
  auto const error = parser.parse(json).error();
  require(error == simdjson::SUCCESS || !simdjson::validate_utf8(json));
}

void clean(std::string_view text) {
  auto const cleaned = catalog::clean_text(text);
  require(simdjson::validate_utf8(cleaned));
  require(cleaned.empty() || (cleaned.front() != ' ' && cleaned.back() != ' '));
  require(cleaned.find("  ") == cleaned.npos && cleaned.find('\n') == cleaned.npos);
}

/// The deflated part of a gzip file, so that the fuzzer doesn't have to find the header.
void read_gzip(std::string_view deflated) {
  using namespace std::string_view_literals;
  catalog::line_reader lines(file_of(std::string("\x1f\x8b\x08\0\0\0\0\0\0\x03"sv).append(deflated)),
                             {.max_line = 4096, .max_expansion = 2});
  for (std::string_view line; lines.next(line);) require(line.find('\n') == line.npos && line.size() <= 4096);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  static char const* const only = std::getenv("MQL4GREC_FUZZ_READER");
  if (size == 0) return 0;
  std::string_view const text(reinterpret_cast<char const*>(data) + 1, size - 1);
  constexpr void (*readers[])(std::string_view) = {read_ratings, read_items, read_literal, clean, read_gzip};
  expect_one_line<error>(
      [&] { readers[(only != nullptr ? std::strtoul(only, nullptr, 10) : data[0]) % std::size(readers)](text); });
  return 0;
}
