#include "mql4grec/core/error.hpp"

#include <doctest/doctest.h>

#include <type_traits>

#include "core/temporary_directory.hpp"

using namespace mql4grec;
using test::complaint;

TEST_CASE("error: all types derive from error and std::runtime_error") {
  CHECK(std::is_base_of_v<std::runtime_error, error>);
  CHECK(std::is_base_of_v<error, file_error>);
  CHECK(std::is_base_of_v<error, training_error>);
}

TEST_CASE("expects: throws only for a false condition, with the arguments joined in one line") {
  CHECK_NOTHROW(expects(true, "unused"));
  CHECK(complaint<error>([] { return expects(false, "x has ", 3, " columns but gain has ", 4.5, " entries"); }) ==
        "x has 3 columns but gain has 4.5 entries");
}

TEST_CASE("expects_file: throws a file_error whose message begins with the path") {
  CHECK_NOTHROW(expects_file(true, "a/b.json", "unused"));
  CHECK(complaint<file_error>([] { return expects_file(false, "a/b.json", "key '", "k", "': found ", 2); }) ==
        "a/b.json: key 'k': found 2");
}

TEST_CASE("raise: throws the requested type") {
  CHECK_THROWS_AS(raise<training_error>("step ", 7), training_error);
  CHECK(complaint<training_error>([] { return raise<training_error>("step ", 7); }) == "step 7");
}
