#pragma once
// Checks for every reader of untrusted files. `read(path)` reads all of a file, or throws file_error.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "core/temporary_directory.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/random.hpp"

namespace mql4grec::test {

/// The file `whole` is read, and refused when it ends anywhere before its end.
template <class Read>
void check_cut_short(std::string const& whole, Read&& read) {
  temporary_directory const directory;
  auto const refused = [&](std::string_view content) {
    std::filesystem::remove(directory / "f");  // a file written over is one that the file system hurries to the disk
    put(directory / "f", content);
    return !complaint<file_error>([&] { read(directory / "f"); }).empty();
  };
  for (std::size_t n = 0; n < whole.size(); ++n) REQUIRE(refused(std::string_view(whole).substr(0, n)));
  CHECK(!refused(whole));
}

/// Some of the first `within` bytes become `likely` ones: the file is refused in one line, or read inside its bounds.
template <class Read>
void check_damaged(std::string const& whole, std::string_view likely, std::size_t within, Read&& read) {
  temporary_directory const directory;
  random_stream random(7, 0);
  for (int round = 0; round < 5000; ++round) {
    std::string bytes = whole;
    for (index_t changes = 1 + random.below(3); changes > 0; --changes)
      bytes[static_cast<std::size_t>(random.below(static_cast<index_t>(within)))] =
          likely[static_cast<std::size_t>(random.below(std::ssize(likely)))];
    put(directory / "f", bytes);
    auto const message = complaint<file_error>([&] { read(directory / "f"); });
    std::filesystem::remove(directory / "f");
    REQUIRE(message.find('\n') == std::string::npos);
  }
}

/// A JSON text with one to three characters replaced, inserted or removed, a function of the seed.
inline std::string garbled(std::string text, std::uint64_t seed) {
  constexpr std::string_view likely = "{}[]\",: 0123456789-.eE\\\n\tabu_<>\xc3\x01";
  random_stream random(seed, 0);
  for (index_t changes = 1 + random.below(3); changes > 0; --changes) {
    auto const at = to_size(random.below(std::ssize(text)));
    auto const length = to_size(random.below(2));
    text.replace(at, length, likely.substr(to_size(random.below(std::ssize(likely))), to_size(random.below(2))));
  }
  return text;
}

/// A reader with a fast path for plain JSON agrees with the general parser on 4000 variants of a text. A byte-order
/// mark before the text selects the general parser. Returns how many variants were accepted.
template <class Read>
int check_fast_reader(std::string const& whole, Read&& read) {
  temporary_directory const directory;
  int accepted = 0;
  for (std::uint64_t seed = 0; seed < 4000; ++seed) {
    auto const text = garbled(whole, seed);
    CAPTURE(text);
    put(directory / "fast", text);
    put(directory / "general", "\xef\xbb\xbf" + text);
    bool const refused = !complaint<file_error>([&] { read(directory / "fast"); }).empty();
    REQUIRE(refused == !complaint<file_error>([&] { read(directory / "general"); }).empty());
    if (!refused) REQUIRE(read(directory / "fast") == read(directory / "general"));
    accepted += refused ? 0 : 1;
  }
  return accepted;
}

/// A directory, a pipe and nothing at all are refused without waiting.
template <class Read>
void check_no_regular_file(Read&& read) {
  temporary_directory const directory;
  REQUIRE(::mkfifo((directory / "pipe").c_str(), 0600) == 0);
  auto const error_of = [&](std::filesystem::path const& path) { return complaint<file_error>([&] { read(path); }); };
  CHECK(error_of(directory / "pipe") == (directory / "pipe").string() + ": isn't a regular file");
  CHECK(error_of(directory.path()) == directory.path().string() + ": isn't a regular file");
  CHECK(error_of(directory / "f") ==
        (directory / "f").string() + ": can't be opened for reading: No such file or directory");
}

}  // namespace mql4grec::test
