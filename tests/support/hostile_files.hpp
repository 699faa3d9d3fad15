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
