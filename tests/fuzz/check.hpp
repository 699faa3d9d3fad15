#pragma once
// What the fuzz targets check: conditions, and the errors by which an input is refused.
#include <cstdlib>
#include <string_view>

namespace mql4grec::test {

/// Ends the process if a condition doesn't hold: a finding.
inline void require(bool holds) {
  if (!holds) std::abort();
}

/// Runs `read`. An `Error` that it throws must be one line; any other exception is a finding.
template <class Error, class Read>
void expect_one_line(Read&& read) {
  try {
    read();
  } catch (Error const& e) {
    require(std::string_view(e.what()).find_first_of("\n\r") == std::string_view::npos);
  }
}

}  // namespace mql4grec::test
