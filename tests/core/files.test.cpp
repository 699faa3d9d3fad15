#include "mql4grec/core/files.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <string>

#include "core/temporary_directory.hpp"

using namespace mql4grec;
using test::complaint;
using test::temporary_directory;

TEST_CASE("files: a round trip preserves every byte") {
  temporary_directory const directory;
  std::string bytes = "line\r\n\n";
  for (int i = 0; i < 100'000; ++i) bytes.push_back(static_cast<char>(i * 7));
  for (std::string const& content : {std::string(), bytes}) {
    write_file(directory / "x", content);
    CHECK(read_file(directory / "x") == content);
  }
  CHECK(directory.files() == 1);
}

TEST_CASE("atomic_file: commit replaces the complete old file by the complete new one") {
  temporary_directory const directory;
  write_file(directory / "x", "old");
  atomic_file file(directory / "x");
  file.write("new");
  CHECK(read_file(directory / "x") == "old");
  file.write(", longer");
  file.commit();
  CHECK(read_file(directory / "x") == "new, longer");
  CHECK(directory.files() == 1);
}

TEST_CASE("atomic_file: without commit no file is left") {
  temporary_directory const directory;
  {
    atomic_file file(directory / "x");
    file.write("half");
  }
  CHECK(directory.files() == 0);
}

TEST_CASE("atomic_file: temporary files of a crash don't prevent writing") {
  temporary_directory const directory;
  test::put(directory / "x.partial", "what a killed process left, longer than what comes now");
  write_file(directory / "x", "new");
  CHECK(read_file(directory / "x") == "new");
  CHECK(directory.files() == 1);
}

TEST_CASE("atomic_file: a full disk is an error and keeps the old file" *
          doctest::skip(!std::filesystem::exists("/dev/full"))) {
  temporary_directory const directory;
  write_file(directory / "x", "old");
  std::filesystem::create_symlink("/dev/full", directory / "x.partial");
  auto const message = complaint<file_error>([&] { return write_file(directory / "x", "new"); });
  CHECK(message == (directory / "x").string() + ": can't be written: No space left on device");
  CHECK(read_file(directory / "x") == "old");
  CHECK(directory.files() == 1);
}

TEST_CASE("atomic_file: a missing directory is an error with the file's name") {
  temporary_directory const directory;
  auto const path = directory / "missing/x";
  CHECK(complaint<file_error>([&] { return write_file(path, "new"); }) ==
        path.string() + ": can't be opened for writing: No such file or directory");
}

TEST_CASE("atomic_file: a directory of the same name is an error and leaves no file") {
  temporary_directory const directory;
  std::filesystem::create_directory(directory / "x");
  CHECK(complaint<file_error>([&] {
          return write_file(directory / "x", "new");
        }).starts_with((directory / "x").string() + ": can't be put in place: "));
  CHECK(directory.files() == 1);
}

TEST_CASE("read_file: a missing file and a directory are errors with the path") {
  temporary_directory const directory;
  CHECK(complaint<file_error>([&] { return read_file(directory / "x"); }) ==
        (directory / "x").string() + ": can't be opened for reading: No such file or directory");
  CHECK(complaint<file_error>([&] { return read_file(directory.path()); }) ==
        directory.path().string() + ": is a directory, expected a file");
}

TEST_CASE("make_directory: creates parents, keeps existing content, and refuses a path that is a file") {
  temporary_directory const directory;
  make_directory(directory / "a/b/c");
  write_file(directory / "a/b/c/x", "kept");
  make_directory(directory / "a/b/c");
  CHECK(read_file(directory / "a/b/c/x") == "kept");
  auto const path = directory / "a/b/c/x";
  CHECK(complaint<file_error>([&] {
          return make_directory(path);
        }).starts_with(path.string() + ": can't be made a directory: "));
  CHECK(complaint<file_error>([&] {
          return make_directory(path / "d");
        }).starts_with((path / "d").string() + ": can't be made a directory: "));
}
