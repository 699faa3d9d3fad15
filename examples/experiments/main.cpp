// The program of the experiments: fills tables in a directory, and continues where it was stopped.
#include <algorithm>
#include <iostream>
#include <new>
#include <optional>

#include "commands/memory.hpp"
#include "commands/signals.hpp"
#include "commands/training.hpp"
#include "experiments.hpp"
#include "mql4grec/core/detail/words.hpp"
#include "report/text.hpp"

namespace {

using namespace mql4grec;
using namespace mql4grec::experiments;

std::vector<experiment> all_experiments() {
  return {early_check(),      simple_baselines(),      token_indices(),   quantizer_choices(),
          collision_stress(), task_ablation(),         missing_content(), search_settings(),
          domain_transfer(),  interference_remedies(), few_users(),       model_growth()};
}

struct command_line {
  std::vector<std::string> tables;
  std::string sources;
  lab_options options;
  bool list = false;
};

void list_tables() {
  for (auto const& e : all_experiments()) std::cout << e.about.name << "  " << e.about.question << "\n";
}

/// The experiments with these names, in the program's order; without names all.
std::vector<experiment> chosen(std::vector<std::string> const& names) {
  auto const known = all_experiments();
  for (auto const& name : names)
    if (std::ranges::none_of(known, [&](auto const& e) { return e.about.name == name; }))
      throw CLI::ValidationError("TABLE", "there is no table '" + name + "'; see --list");
  std::vector<experiment> out;
  for (auto const& e : known)
    if (names.empty() || std::ranges::find(names, e.about.name) != names.end()) out.push_back(e);
  return out;
}

/// An argument as tables quote it: of an absolute path only the last part, so that a table doesn't tell where it was
/// made.
std::string shown(std::string const& argument) {
  std::string out;
  for (auto const& part : core::detail::split_at_commas(argument)) {
    std::filesystem::path const path(part);
    out += (out.empty() ? "" : ",") + (path.is_absolute() ? path.filename().string() : part);
  }
  return out;
}

/// The rows of a table, or none if these data can't fill it and it wasn't asked for by name; then the reason is
/// printed.
std::optional<std::vector<planned_row>> plan_of(experiment const& e, lab& laboratory, command_line const& line) try {
  return e.plan(laboratory);
} catch (error const& fault) {
  if (!line.tables.empty()) throw;
  laboratory.log().clear();
  std::cerr << "experiments: " << e.about.name << " is left out: " << program::one_line(fault.what()) << "\n";
  return std::nullopt;
}

/// Fills the tables, or prints their plans.
void run(command_line& line) {
  auto const experiments = chosen(line.tables);
  auto& options = line.options;
  if (!line.sources.empty()) options.sources = program::paths_of(line.sources, "--sources");
  program::progress_log log({.quiet = options.common.quiet});
  auto const compute = program::open_compute(options.common);
  lab laboratory(options, *compute, log);
  for (auto const& e : experiments) {
    table results(options.out, e.about);
    auto const rows = plan_of(e, laboratory, line);
    if (!rows) continue;
    if (options.plan_only)
      laboratory.print_plan(results, *rows);
    else
      laboratory.fill(results, *rows);
  }
}

int parse_and_run(int argc, char** argv) {
  command_line line;
  CLI::App program("The tables of docs/results.md: each row is trained, evaluated and kept; what exists is skipped.",
                   "experiments");
  program.add_option("TABLE", line.tables, "the tables to fill (default: all)");
  program.add_option("--dataset", line.options.dataset,
                     "target, a dataset directory .../Name (default: the built-in catalog)");
  program.add_option("--sources", line.sources, "datasets for pre-training, with commas between them");
  program.add_option("--out", line.options.out, "directory of tables and models")->required();
  program.add_option("--users", line.options.users, "only the first so many users of each dataset")
      ->check(CLI::Range(1, 1 << 30));
  program
      .add_option("--examples", line.options.examples,
                  "training examples of one model (default: 300,000; 120,000 on the built-in catalog)")
      ->check(CLI::Range(1, 1 << 30));
  program
      .add_option("--model-size", line.options.model_size,
                  "widths and layers of the models, relative to the paper's; smaller ones see as many examples in less "
                  "time")
      ->check(program::known_model_sizes())
      ->capture_default_str();
  program.add_option("--seeds", line.options.seeds, "models per configuration")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  program.add_flag("--plan", line.options.plan_only, "print what is missing and how long it will take, and end");
  program.add_flag("--list", line.list, "print the tables and end");
  program::add_common_options(program, line.options.common);
  program.remove_option(program.get_option("--json"));  // every table has a JSON file
  line.options.command = "experiments";
  for (int i = 1; i < argc; ++i) line.options.command += " " + shown(argv[i]);
  try {
    if (argc == 2 && std::string(argv[1]) == "--list") return list_tables(), program::done;
    program.parse(argc, argv);
    run(line);
    return program::done;
  } catch (CLI::ParseError const& e) {
    if (e.get_exit_code() == 0) return program.exit(e);
    std::cerr << "experiments: " << program::one_line(e.what()) << "; see experiments --help\n";
    return program::wrong_usage;
  } catch (interruption const&) {
    std::cerr << "experiments: interrupted; the same command goes on\n";
    return program::interrupted_by_signal;
  } catch (std::bad_alloc const&) {
    std::cerr << "experiments: not enough memory\n";
  } catch (std::exception const& e) {
    std::cerr << "experiments: " << program::one_line(e.what()) << "\n";
  }
  return program::failed;
}

}  // namespace

int main(int argc, char** argv) {
  program::keep_freed_memory();
  program::catch_interruptions();
  return parse_and_run(argc, argv);
}
