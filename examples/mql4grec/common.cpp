#include "common.hpp"

#include <array>
#include <cmath>
#include <cstdio>
#include <iostream>

#include "gpu.hpp"
#include "mql4grec/backend/cpu/cpu.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/core/json.hpp"

namespace mql4grec::program {

void add_common_options(CLI::App& command, common_options& options) {
  auto* const group = &command;
  group->add_option("--backend", options.backend, "where to compute: cpu or gpu")
      ->check(CLI::IsMember({"cpu", "gpu"}))
      ->capture_default_str();
  group
      ->add_option("--precision", options.precision,
                   "what matrix products round their factors to: fp32, tf32 (a GPU's) or bf16; sums are fp32 (default: "
                   "fp32, on a GPU tf32)")
      ->check(CLI::IsMember({"fp32", "tf32", "bf16"}));
  group->add_option("--threads", options.threads, "threads to compute with (default: all)")->check(CLI::Range(1, 1024));
  group->add_option("--json", options.json, "write the result as JSON to this file, - for standard output");
  group->add_flag("--quiet", options.quiet, "no progress and no warnings");
  group->set_version_flag("--version", std::string("mql4grec ") + MQL4GREC_VERSION, "print the version");
}

void check_build(common_options const& options) {
  if (on_gpu(options)) return check_gpu();
  expects(precision_of(options) != precision::tf32,
          "--precision tf32: only GPUs have it; expected fp32 or bf16, or --backend gpu");
}

void warn_of_precision(common_options const& options, progress_log& log) {
  if (!on_gpu(options) && precision_of(options) == precision::bf16 && !cpu::has_fast_bf16())
    log.warn(
        "--precision bf16: this CPU has no instructions for it (AVX512_BF16); factors are rounded and multiplied in "
        "fp32, which is no faster");
}

void warn_of_changes(std::string const& changes, progress_log& log) {
  log.warn("--resume: " + changes + "; from here on bits may differ from those of a run that never stopped");
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
  if (options.json == "-") return put_text(result.dump(2) + "\n");
  if (!options.json.empty()) write_json(options.json, result);
  put_text(text);
}

std::string grouped(index_t number) {
  std::string digits = std::to_string(number);
  for (auto at = static_cast<index_t>(digits.size()) - 3; at > (number < 0 ? 1 : 0); at -= 3)
    digits.insert(static_cast<std::size_t>(at), ",");
  return digits;
}

std::string counted(index_t number, std::string const& what) {
  return grouped(number) + " " + what + (number == 1 ? "" : "s");
}

std::string fixed(double value, int decimals) {
  std::array<char, 64> text{};
  auto const length = std::snprintf(text.data(), text.size(), "%.*f", decimals, value);
  return {text.data(), std::min(static_cast<std::size_t>(std::max(length, 0)), text.size() - 1)};
}

std::string clock_time(double seconds) {
  auto const whole = static_cast<index_t>(std::clamp(seconds, 0.0, 1e9));
  auto const two = [](index_t n) { return (n < 10 ? "0" : "") + std::to_string(n); };
  auto const tail = ":" + two(whole % 60);
  return whole < 3600 ? std::to_string(whole / 60) + tail
                      : std::to_string(whole / 3600) + ":" + two(whole / 60 % 60) + tail;
}

std::string one_line(std::string text) {
  for (auto& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  return text;
}

std::vector<std::string> split_at_commas(std::string const& text) {
  std::vector<std::string> vocab;
  for (std::size_t begin = 0; begin < text.size();) {
    auto const end = std::min(text.find(',', begin), text.size());
    vocab.push_back(text.substr(begin, end - begin));
    begin = end + 1;
    if (end + 1 == text.size()) vocab.emplace_back();  // "a," has an empty second word
  }
  return vocab;
}

namespace {
std::string remembered;
}

void remember_command_line(int count, char const* const* arguments) {
  remembered = "mql4grec";
  for (int i = 1; i < count; ++i) {
    std::string const word = arguments[i];
    bool const plain = !word.empty() && word.find_first_of(" \t\n\"'\\$&|;<>()*?") == word.npos;
    remembered += plain ? " " + word : " '" + word + "'";
  }
}
std::string const& command_line() { return remembered; }

}  // namespace mql4grec::program
