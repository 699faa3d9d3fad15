#pragma once
// Command lines of benchmarks, read by CLI11.
#include <cstdlib>

#include <CLI/CLI.hpp>

namespace bench {

/// Reads the arguments of main(). Ends the program after --help, and with status 2 after an error, which is printed.
inline void read_options(CLI::App& program, int count, char** arguments) {
  try {
    program.parse(count, arguments);
  } catch (CLI::ParseError const& e) {
    std::exit(program.exit(e) == 0 ? 0 : 2);
  }
}

}  // namespace bench
