// The program: one sub-command per stage, each a thin caller of the library.
#include <algorithm>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <new>
#include <string_view>

#include "commands.hpp"
#include "memory.hpp"
#include "options.hpp"
#include "ranks.hpp"
#include "report/report.hpp"
#include "report/text.hpp"
#include "signals.hpp"

namespace {

using namespace mql4grec::program;

/// Prints an error in one line; of several ranks with the same wrong usage, one prints it.
int print_error(std::string const& what, exit_code code) {
  auto const rank = launch_of_this_process().rank;
  if (rank == 0)
    std::cerr << "mql4grec: " << one_line(what) << '\n';
  else if (code != wrong_usage)
    std::cerr << "mql4grec: rank " << rank << ": " << one_line(what) << '\n';
  return code;
}

/// Prints an error of the command line, or what --help and --version request; returns the exit code.
int print_usage_error(CLI::App const& program, CLI::ParseError const& e, char const* first) {
  if (e.get_exit_code() == 0) return program.exit(e);  // --help and --version
  std::string what = e.what();
  if (program.get_subcommands().empty())
    what = first == nullptr ? "no command given" : "there is no command '" + std::string(first) + "'";
  return print_error(what + "; see mql4grec --help", wrong_usage);
}

constexpr std::string_view commands_on_ranks[] = {"embed", "translate", "pretrain", "finetune", "evaluate"};

/// Whether a command works on several ranks, or only answers how it is used.
bool works_on_ranks(int argc, char** argv) {
  std::string_view const command = argc > 1 ? argv[1] : "";
  return std::ranges::find(commands_on_ranks, command) != std::end(commands_on_ranks) || command.starts_with("-");
}

int run(int argc, char** argv) {
  if (launch_of_this_process().ranks > 1 && !works_on_ranks(argc, argv))
    return print_error(
        "several ranks have been started, but only embed, translate, pretrain, finetune and evaluate work "
        "on them",
        wrong_usage);
  CLI::App program("Generative recommendation in a quantitative language.", "mql4grec");
  program.set_version_flag("--version", std::string("mql4grec ") + MQL4GREC_VERSION, "print the version");
  program.require_subcommand(1);
  int status = done;
  for (auto const add : {add_prepare, add_embed, add_translate, add_pretrain, add_finetune, add_evaluate, add_recommend,
                         add_serve, add_demo})
    add(program, status);
  try {
    program.parse(argc, argv);
    return status;
  } catch (CLI::ParseError const& e) {
    return print_usage_error(program, e, argc > 1 ? argv[1] : nullptr);
  } catch (std::bad_alloc const&) {
    return print_error("not enough memory", failed);
  } catch (std::exception const& e) {
    return print_error(e.what(), failed);
  }
}

}  // namespace

int main(int argc, char** argv) {
  keep_freed_memory();
  remember_command_line(argc, argv);
  catch_interruptions();
  return run(argc, argv);
}
