#pragma once
// What every command has: the options they share, and the ways out. Standard output carries results and nothing else.
#include <CLI/CLI.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "mql4grec/backend/contract/precision.hpp"
#include "mql4grec/core/json_fwd.hpp"
#include "mql4grec/core/scalar.hpp"
#include "progress.hpp"

namespace mql4grec::program {

struct common_options {
  std::string backend = "cpu", precision;  ///< empty precision: fp32 on a CPU, tf32 on a GPU, which is twice as fast
                                           ///< there and as good (docs/results.md)
  index_t threads = 0;                     ///< 0: as many as the machine runs at once
  std::string json;                        ///< a file, "-" for standard output, or nothing
  bool quiet = false;
};

enum exit_code { done = 0, failed = 1, wrong_usage = 2, interrupted_by_signal = 130 };

void add_common_options(CLI::App& command, common_options& options);

inline bool on_gpu(common_options const& options) { return options.backend == "gpu"; }

/// Throws error when this build hasn't got what was asked for.
void check_build(common_options const& options);

/// What matrix products round their factors to.
inline precision precision_of(common_options const& options) {
  if (options.precision.empty()) return on_gpu(options) ? precision::tf32 : precision::fp32;
  return options.precision == "bf16"   ? precision::bf16
         : options.precision == "tf32" ? precision::tf32
                                       : precision::fp32;
}
/// Says once that bf16 gains nothing on this machine.
void warn_of_precision(common_options const& options, progress_log& log);

/// Says what a resumed run does otherwise than before.
void warn_of_changes(std::string const& changes, progress_log& log);

/// Hours of work shouldn't end at a misspelt directory: throws file_error when a file can't be written there.
void check_writable(std::filesystem::path const& file);
inline void check_json(common_options const& options) {
  if (!options.json.empty() && options.json != "-") check_writable(options.json);
}

/// The result: as JSON where that was asked for, and as text unless the JSON itself goes to standard output.
void put_result(common_options const& options, json const& result, std::string const& text);

/// Text to standard output; throws error when it doesn't arrive (a full disk behind it).
void put_text(std::string const& text);

/// "12,345"
std::string grouped(index_t number);
/// "1 item", "2 items"
std::string counted(index_t number, std::string const& what);
/// "1:02:03" or "2:03"
std::string clock_time(double seconds);
/// A number with a fixed count of decimals.
std::string fixed(double value, int decimals);
/// The same text without line breaks and other control characters: what comes from files must not break up our lines.
std::string one_line(std::string text);

/// The words between the commas; none for an empty text.
std::vector<std::string> split_at_commas(std::string const& text);

/// The command line, as the report shows it.
void remember_command_line(int count, char const* const* arguments);
std::string const& command_line();

}  // namespace mql4grec::program
