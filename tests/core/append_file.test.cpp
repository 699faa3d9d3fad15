#include "mql4grec/core/append_file.hpp"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <csignal>
#include <optional>

#include "core/temporary_directory.hpp"

using namespace mql4grec;

TEST_CASE("append_file: records follow what the file has, and a cut removes the end") {
  test::temporary_directory const folder;
  auto const path = folder.path() / "log";
  {
    append_file file(path);
    CHECK(file.bytes() == 0);
    file.append("one,");
    file.append("");
    file.append("two,");
    CHECK(file.bytes() == 8);
  }
  append_file file(path);
  CHECK(file.bytes() == 8);
  file.cut(4);
  file.append("three,");
  CHECK(read_file(path) == "one,three,");
  CHECK(file.bytes() == 10);
  CHECK_THROWS_AS(append_file(folder.path() / "missing" / "log"), file_error);
}

TEST_CASE("append_file: a record that can't be written whole is removed") {
  test::temporary_directory const folder;
  append_file file(folder.path() / "log");
  file.append("one,");
  auto const before = std::signal(SIGXFSZ, SIG_IGN);
  rlimit usual{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &usual) == 0);
  rlimit const small{.rlim_cur = 6, .rlim_max = usual.rlim_max};
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  CHECK_THROWS_AS(file.append("a long one,"), file_error);
  setrlimit(RLIMIT_FSIZE, &usual);
  std::signal(SIGXFSZ, before);
  file.append("two,");
  CHECK(read_file(folder.path() / "log") == "one,two,");
}

TEST_CASE("append_file: after a cut that can't be synced nothing is appended") {
  append_file file("/proc/self/comm");  // can be cut, but not synced
  CHECK_THROWS_WITH_AS(file.cut(0), doctest::Contains("is cut, but can't be synced to the disk: Invalid argument"),
                       file_error);
  CHECK(file.has_failed());
  CHECK_THROWS_WITH_AS(file.append("one,"), doctest::Contains("since an earlier error"), file_error);
}

TEST_CASE("append_file: a cut that is refused changes nothing") {
  test::temporary_directory const folder;
  append_file file(folder.path() / "log");
  file.append("one,");
  CHECK_THROWS_WITH_AS(file.cut(-1), doctest::Contains("can't be cut: Invalid argument"), file_error);
  file.append("two,");
  CHECK(read_file(folder.path() / "log") == "one,two,");
}

TEST_CASE("file_lock: one object has the lock until it ends") {
  test::temporary_directory const folder;
  std::optional<file_lock> first(folder.path() / "log");
  CHECK_THROWS_WITH_AS(file_lock(folder.path() / "log"), doctest::Contains("is used by another"), file_error);
  first.reset();
  file_lock const second(folder.path() / "log");
}
