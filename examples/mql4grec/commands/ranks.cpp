// Processes under a launcher of MPI.
#include "ranks.hpp"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <thread>

#include "mql4grec/backend/cpu/cpu.hpp"
#include "mql4grec/core/checksum.hpp"
#include "mql4grec/core/files.hpp"
#include "report/text.hpp"
#include "signals.hpp"
#if MQL4GREC_HAS_MPI
#include "mql4grec/train/mpi.hpp"
#endif

namespace mql4grec::program {

namespace {
/// A number in the environment; no value if there is none.
std::optional<index_t> number_in(char const* variable) {
  char const* const text = std::getenv(variable);
  if (text == nullptr) return std::nullopt;
  char* end = nullptr;
  long const number = std::strtol(text, &end, 10);
  if (end == text || *end != 0 || number < 0) return std::nullopt;
  return number;
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

int on_ranks(std::function<int(rank_of_command&)> const& work) {
  rank_of_command rank;
  auto const launch = launch_of_this_process();
  catch_interruption(SIGUSR1);  // launchers pass it on to all ranks, where a SIGTERM of theirs ends them
  if (launch.ranks == 1) return work(rank);
#if MQL4GREC_HAS_MPI
  train::mpi_process process;
  if (process.world_size() != launch.ranks) {  // all processes find this, and would train into one directory
    if (launch.rank > 0) return failed;
    raise("the launcher has started ", launch.ranks, " ranks, but MPI connects ", process.world_size(),
          "; start them with the launcher of the MPI that the program was built with");
  }
  rank.communicator = process.communicator();
  rank.on_host = process.ranks_on_host();
  try {
    check_program(rank);
    return work(rank);
  } catch (...) {
    auto const problem = std::current_exception();
    process.end_all_unless_all_failed("mql4grec: rank " + std::to_string(process.rank()) + ", step " +
                                          std::to_string(rank.step) + ": " + reason_of(problem),
                                      failed);
    if (rank.speaks()) throw;
    return failed;
  }
#else
  raise("this process is rank ", launch.rank, " of ", launch.ranks, ", but the program was built without MPI");
#endif
}

common_options options_of(rank_of_command const& rank, common_options common) {
  if (rank.communicator.world_size() == 1) return common;
  expects(common.backend == "cpu", "--backend ", common.backend, ": several ranks train on CPUs only");
  if (common.threads == 0)
    common.threads = std::max<index_t>(1, static_cast<index_t>(std::thread::hardware_concurrency()) / rank.on_host);
  common.quiet = common.quiet || !rank.speaks();
  return common;
}

}  // namespace mql4grec::program
