#pragma once
// A command on several ranks: processes that mpirun, or another launcher of MPI, has started. Rank 0 prints and writes.
#include <cstdint>
#include <functional>
#include <optional>

#include "mql4grec/train/host_communicator.hpp"
#include "options.hpp"

namespace mql4grec::program {

/// The rank that the launcher has given this process, and the number of ranks; 0 and 1 without a launcher.
struct launched_as {
  index_t rank = 0, ranks = 1;
};
/// Reads the launcher's variables of the environment.
launched_as launch_of_this_process();

/// This process among the ranks of a command.
struct rank_of_command {
  train::host_communicator communicator = {};  ///< a single process without a launcher
  index_t on_host = 1;                         ///< ranks on this host, which share its cores and GPUs
  index_t rank_on_host = 0;                    ///< this one among them
  std::optional<std::int64_t> step = {};       ///< the last update of a training, for messages of errors

  /// Whether this process prints and writes.
  bool speaks() const { return communicator.rank() == 0; }
};

/// How long ranks wait for one that doesn't come, in seconds, by default: longer than reading a large dataset or
/// writing a state takes on a slow disk.
constexpr double default_rank_timeout = 300;
/// Adds --rank-timeout.
void add_rank_timeout(CLI::App& command, double& seconds);

/// Calls work(rank) on every rank and returns its exit code. Ranks with another program than rank 0's are an error. An
/// exception is thrown again, for main to print. If it isn't thrown on all ranks, one line names the rank and the step
/// of a training, and all processes end at once, because the others wait for this one. So they do when one has not come
/// to a collective for `timeout` seconds; 0: they wait forever.
int on_ranks(std::function<int(rank_of_command&)> const& work, double timeout = default_rank_timeout);

/// For commands that have nothing to save: leave_if_interrupted() of a single process. Among several ranks, throws what
/// makes on_ranks() end all of them with 130 and one line.
void leave_if_interrupted(train::host_communicator const& ranks);

/// The options of a rank: without --threads, the ranks of a host share its hardware threads; each has a GPU, or several
/// share one; rank 0 alone prints progress.
common_options options_of(rank_of_command const& rank, common_options common);

}  // namespace mql4grec::program
