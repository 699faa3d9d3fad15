// The shared options, and how results are written.
#include "options.hpp"

#include <iostream>

#include "mql4grec/core/detail/words.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/core/json.hpp"

namespace mql4grec::program {

void add_common_options(CLI::App& command, common_options& options) {
  command.add_option("--backend", options.backend, "where to compute: cpu or gpu")
      ->check(CLI::IsMember({"cpu", "gpu"}))
      ->capture_default_str();
  command
      .add_option("--precision", options.precision,
                  "what matrix products round their factors to: fp32, tf32 (a GPU's), bf16, or int8 (a CPU's; not for "
                  "training); sums are fp32 (default: fp32, on a GPU tf32)")
      ->check(CLI::IsMember({"fp32", "tf32", "bf16", "int8"}));
  command.add_option("--device", options.device, "gpu: the number of the GPU; of several ranks, the first one's")
      ->check(CLI::Range(0, 4095))
      ->capture_default_str();
  command.add_option("--threads", options.threads, "threads to compute with (default: all)")
      ->check(CLI::Range(1, 1024));
  command.add_option("--json", options.json, "write the result as JSON to this file, - for standard output");
  command.add_flag("--quiet", options.quiet, "no progress and no warnings");
  command.set_version_flag("--version", std::string("mql4grec ") + MQL4GREC_VERSION, "print the version");
}

std::vector<std::filesystem::path> paths_of(std::string const& text, char const* option) {
  std::vector<std::filesystem::path> paths;
  for (auto const& word : core::detail::split_at_commas(text)) {
    if (word.empty()) throw CLI::ValidationError(option, "'" + text + "': a name between commas is empty");
    paths.emplace_back(word);
  }
  return paths;
}

void check_writable(std::filesystem::path const& file) {
  expects_file(!std::filesystem::is_directory(file), file, "is a directory, expected a file to write");
  atomic_file const probe(file);  // without commit() nothing remains
}

void put_text(std::string const& text) {
  std::cout << text << std::flush;
  expects(std::cout.good(), "standard output: can't be written");
}

void put_result(common_options const& options, json const& result, std::string const& text) {
  if (options.json == "-") return put_text(core::detail::file_text(result));
  if (!options.json.empty()) write_json(options.json, result);
  put_text(text);
}

}  // namespace mql4grec::program
