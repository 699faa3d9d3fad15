#pragma once
// Real datasets aren't part of the source: tests that want one look where MQL4GREC_DATA points, then where CMake found
// them.
#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

#ifndef MQL4GREC_TEST_DATA_DIR
#define MQL4GREC_TEST_DATA_DIR ""
#endif

namespace mql4grec::test {

inline std::filesystem::path data_directory() {
  char const* const directory = std::getenv("MQL4GREC_DATA");
  return directory && *directory ? directory : MQL4GREC_TEST_DATA_DIR;
}

/// The folder of a dataset ("Instruments"); an empty path, with a message, if it is absent:
/// `auto const folder = real_dataset("Games"); if (!folder) return;`
inline std::optional<std::filesystem::path> real_dataset(std::string const& name) {
  auto const root = data_directory();
  if (!root.empty() && std::filesystem::is_directory(root / name)) return root / name;
  MESSAGE("skipped: no dataset '", name, "' in '", root.string(), "'; set MQL4GREC_DATA to the folder that holds it");
  return std::nullopt;
}

/// A path below the directory of pretrained weights, MQL4GREC_WEIGHTS, which aren't part of the source either; nothing,
/// with a message, if it is absent.
inline std::optional<std::filesystem::path> pretrained(std::filesystem::path const& relative) {
  char const* const directory = std::getenv("MQL4GREC_WEIGHTS");
  if (directory && std::filesystem::exists(directory / relative)) return directory / relative;
  MESSAGE("skipped: no weights '", relative.string(), "'; set MQL4GREC_WEIGHTS to the directory that holds them");
  return std::nullopt;
}

}  // namespace mql4grec::test
