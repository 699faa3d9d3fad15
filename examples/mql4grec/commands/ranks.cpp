// Processes under a launcher of MPI.
#include "ranks.hpp"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <thread>

#include "mql4grec/backend/cpu/cpu.hpp"
#include "mql4grec/core/checksum.hpp"
#include "mql4grec/core/detail/whole_number.hpp"
#include "mql4grec/core/files.hpp"
#include "report/text.hpp"
#include "signals.hpp"
#if MQL4GREC_HAS_MPI
#include "mql4grec/train/mpi.hpp"
#endif

namespace mql4grec::program {

namespace {
/// A signal has arrived at one of several ranks.
struct interruption {};

/// A number in the environment; no value if there is none.
std::optional<index_t> number_in(char const* variable) {
  char const* const text = std::getenv(variable);
  return text == nullptr ? std::nullopt : core::detail::whole_number(text);
}

#if MQL4GREC_HAS_MPI
std::string reason_of(std::exception_ptr const& problem) {
  try {
    std::rethrow_exception(problem);
  } catch (std::bad_alloc const&) {
    return "not enough memory";
  } catch (std::exception const& e) {
    return one_line(e.what());
  }
}

/// Throws error on every rank if one runs another program.
void check_program(rank_of_command const& rank) {
  auto const program = read_file("/proc/self/exe");
  cpu::backend backend(1);
  train::expect_equal(rank.communicator, backend, "the program", checksum(std::as_bytes(std::span(program))));
}
#endif
}  // namespace

launched_as launch_of_this_process() {
  constexpr char const* launchers[][2] = {{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},  // Open MPI
                                          {"PMI_RANK", "PMI_SIZE"},                          // MPICH, Slurm
                                          {"PMIX_RANK", "SLURM_STEP_NUM_TASKS"}};            // srun --mpi=pmix
  for (auto const& variables : launchers) {
    auto const rank = number_in(variables[0]), ranks = number_in(variables[1]);
    if (rank && ranks && *rank < *ranks) return {*rank, *ranks};
  }
  return {};
}

void add_rank_timeout(CLI::App& command, double& seconds) {
  command
      .add_option("--rank-timeout", seconds,
                  "end all ranks when they have waited for one for so many seconds; 0: wait forever")
      ->check(CLI::Range(0.0, 1e9))
      ->capture_default_str();
}

int on_ranks(std::function<int(rank_of_command&)> const& work, [[maybe_unused]] double timeout) {
  rank_of_command rank;
  auto const launch = launch_of_this_process();
  catch_interruption(SIGUSR1);  // launchers pass it on to all ranks, where a SIGTERM of theirs ends them
  if (launch.ranks == 1) return work(rank);
#if MQL4GREC_HAS_MPI
  train::mpi_process process({.wait_seconds = timeout});
  if (process.world_size() != launch.ranks) {  // all processes find this, and would train into one directory
    if (launch.rank > 0) return failed;
    raise("the launcher has started ", launch.ranks, " ranks, but MPI connects ", process.world_size(),
          "; start them with the launcher of the MPI that the program was built with");
  }
  rank.communicator = process.communicator();
  rank.on_host = process.ranks_on_host();
  rank.rank_on_host = process.rank_on_host();
  auto const line = [&] {
    return "mql4grec: rank " + std::to_string(process.rank()) +
           (rank.step ? ", step " + std::to_string(*rank.step) : "") + ": " + reason_of(std::current_exception());
  };
  try {
    check_program(rank);
    int const status = work(rank);
    cpu::backend backend(1);
    double all = 1;  // have come so far: MPI's own end would wait for a rank that hangs
    rank.communicator.all_reduce(backend, std::span(&all, 1));
    return status;
  } catch (interruption const&) {
    constexpr char const* interrupted_line = "mql4grec: interrupted";
    process.end_all_unless_all_failed(interrupted_line, interrupted_by_signal);
    if (rank.speaks()) std::cerr << interrupted_line << std::endl;
    return interrupted_by_signal;
  } catch (train::rank_missing const&) {
    process.end_all(line(), failed);
  } catch (train::other_rank_failed const&) {
    process.wait_for_end(line(), failed);
  } catch (...) {
    process.end_all_unless_all_failed(line(), failed);
    if (rank.speaks()) throw;
    return failed;
  }
#else
  raise("this process is rank ", launch.rank, " of ", launch.ranks, ", but the program was built without MPI");
#endif
}

void leave_if_interrupted(train::host_communicator const& ranks) {
  if (ranks.world_size() == 1) return leave_if_interrupted();
  if (interrupted()) throw interruption();
}

common_options options_of(rank_of_command const& rank, common_options common) {
  if (rank.communicator.world_size() == 1) return common;
  common.rank_on_host = rank.rank_on_host;
  if (common.threads == 0)
    common.threads = std::max<index_t>(1, static_cast<index_t>(std::thread::hardware_concurrency()) / rank.on_host);
  common.quiet = common.quiet || !rank.speaks();
  return common;
}

}  // namespace mql4grec::program
