// Run under mpirun with any number of processes: the collectives do what they must, and a training has the bits of one
// on a single process. mpi [fail|hang|late|pieces|hosts]: with `fail`, the last rank throws while the others wait, and
// one line says so; with `hang`, it stops; with `late`, it comes when the others have asked for it; with `pieces`,
// messages have 999 values at most; with `hosts`, the ranks are on more than one host.
#include "mql4grec/train/mpi.hpp"

#include <chrono>
#include <csignal>
#include <cstring>
#include <exception>
#include <iostream>
#include <thread>

#include "mql4grec/backend/cpu/cpu.hpp"
#include "mql4grec/backend/reference/reference.hpp"
#include "mql4grec/seq2seq/learner.hpp"
#include "mql4grec/train/check_communicator.hpp"
#include "support/small_t5.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {

struct examples {
  index_t count;

  index_t size() const { return count; }
  void write(index_t i, std::uint64_t, std::uint64_t epoch, tasks::batch& out) const {
    std::vector<token_t> input(static_cast<std::size_t>((3 * i + static_cast<index_t>(epoch)) % 8 + 1), token_t{2});
    out.append(input, std::vector{token_t(2 + i % 7), token_t(2 + i / 7 % 7)});
  }
};

template <class Comm>
std::vector<float> trained(Comm communicator) {
  cpu::backend b;
  auto model = random_t5<float>(b, tiny_t5());
  seq2seq::training_options const options{.epochs = 2,
                                          .batch_size = 11,
                                          .learning_rate = 1e-2,
                                          .patience = 0,
                                          .gradient_shards = 4,
                                          .sum_entries = 100,
                                          .block_tokens = 16};
  seq2seq::trainer<cpu::backend, float, Comm> trainer(b, model, options, communicator);
  seq2seq::training_progress progress;
  seq2seq::fit(trainer, examples{25}, examples{7}, progress);
  auto values = fetched(model.parameters()).values;
  values.push_back(static_cast<float>(progress.best_loss));
  return values;
}

/// One rank after the other comes so late that the others ask for it, and then once more.
void check_late(train::mpi_process const& process) {
  cpu::backend b;
  for (index_t turn = 0; turn < 2 * process.world_size(); ++turn) {
    if (turn % process.world_size() == process.rank()) std::this_thread::sleep_for(std::chrono::milliseconds(1200));
    double number = static_cast<double>(turn);
    process.communicator().all_reduce(b, std::span(&number, 1));
    expects(number == static_cast<double>(turn * process.world_size()), "mpi: a sum of ", number, " in turn ", turn);
  }
}

void check_all(train::mpi_process const& process, bool on_one_host) {
  auto communicator = process.communicator();
  reference::backend reference_backend;
  cpu::backend cpu_backend;
  train::check_communicator<float>(cpu_backend, communicator);
  train::check_communicator<double>(reference_backend, communicator);
  expects((process.ranks_on_host() == process.world_size()) == on_one_host, "mpi: ", process.ranks_on_host(), " of ",
          process.world_size(), " ranks are on a host, expected ", on_one_host ? "all" : "fewer");
  expects(trained(communicator) == trained(train::single_process{}), "mpi: rank ", process.rank(),
          ": the training differs from that of a single process");
}

}  // namespace

int main(int argc, char** argv) {
  auto const asked = [&](char const* what) { return argc > 1 && std::strcmp(argv[1], what) == 0; };
  train::mpi_process process({.wait_seconds = asked("hang")   ? 5.0
                                              : asked("late") ? 0.5
                                                              : 0.0,
                              .values_at_once = asked("pieces") ? 999 : train::connection_limits{}.values_at_once});
  try {
    if (asked("fail") || asked("hang")) {
      bool const is_last = process.rank() + 1 == process.world_size();
      expects(!is_last || !asked("fail"), "out of luck");
      if (is_last) std::raise(SIGSTOP);
      cpu::backend b;
      double number = 1;
      process.communicator().all_reduce(b, std::span(&number, 1));
    }
    if (asked("late")) check_late(process);
    check_all(process, !asked("hosts"));
    cpu::backend b;
    double passed = 1;
    process.communicator().all_reduce(b, std::span(&passed, 1));
    expects(passed == static_cast<double>(process.world_size()), "mpi: ", passed, " ranks have passed");
    if (process.rank() == 0) std::cout << "passed with " << process.world_size() << " processes\n";
    return 0;
  } catch (train::rank_missing const& e) {
    process.end_all("mpi: rank " + std::to_string(process.rank()) + ": " + e.what(), 3);
  } catch (train::other_rank_failed const& e) {
    process.wait_for_end("mpi: rank " + std::to_string(process.rank()) + ": " + e.what(), 3);
  } catch (std::exception const& e) {
    process.end_all_unless_all_failed("mpi: rank " + std::to_string(process.rank()) + ": " + e.what(), 3);
    if (process.rank() == 0) std::cerr << "mpi: on all ranks: " << e.what() << '\n';
    return 1;
  }
}
