#pragma once
// The options that all commands share, the exit codes, and how results are written. Standard output carries results
// only.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "mql4grec/core/json_fwd.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::program {

struct common_options {
  std::string backend = "cpu", precision;  ///< empty precision: fp32 on a CPU, tf32 on a GPU, which is twice as fast
                                           ///< there and as good (docs/results.md)
  index_t threads = 0;                     ///< 0: as many as the machine has hardware threads
  index_t device = 0;                      ///< the number of a GPU
  index_t rank_on_host = 0;                ///< of several ranks: on the GPU so many after `device`, modulo their number
  std::string json;                        ///< a file, "-" for standard output, or empty
  bool quiet = false;
};

enum exit_code { done = 0, failed = 1, wrong_usage = 2, interrupted_by_signal = 130 };

void add_common_options(CLI::App& command, common_options& options);

/// The paths of an option's value, which commas separate. Throws ValidationError for an empty one.
std::vector<std::filesystem::path> paths_of(std::string const& text, char const* option);

/// Throws file_error when the file cannot be written. Called before hours of work, which should not end at a misspelt
/// directory.
void check_writable(std::filesystem::path const& file);
/// The same for the file of --json.
inline void check_json(common_options const& options) {
  if (!options.json.empty() && options.json != "-") check_writable(options.json);
}

/// Writes the result: as JSON where that was requested, and as text unless the JSON goes to standard output.
void put_result(common_options const& options, json const& result, std::string const& text);

/// Writes text to standard output. Throws error when that fails, for example on a full disk.
void put_text(std::string const& text);

}  // namespace mql4grec::program
