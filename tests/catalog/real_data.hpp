#pragma once
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

namespace mql4grec::test {

/// The directory of a real data set: below the environment's MQL4GREC_DATA, or else below the folder the build was
/// told of. Where it is missing, the test says so and gets nothing.
inline std::optional<std::filesystem::path> real_data(std::string const& name) {
  std::string folder;
#ifdef MQL4GREC_TEST_DATA_DIR
  folder = MQL4GREC_TEST_DATA_DIR;
#endif
  if (auto const* given = std::getenv("MQL4GREC_DATA")) folder = given;
  auto const directory = std::filesystem::path(folder) / name;
  if (!folder.empty() && std::filesystem::is_directory(directory)) return directory;
  MESSAGE("skipped: no data set " << name << "; name its parent folder in MQL4GREC_DATA");
  return std::nullopt;
}

}  // namespace mql4grec::test
