// Data-parallel training on the CPUs of MPI's ranks. Rank 0 prints lines of JSON.
//
//     mpirun -np 2 --bind-to none bench_ranks sums|train
#include <mpi.h>

#include <chrono>
#include <iostream>

#include "mql4grec/backend/cpu/cpu.hpp"
#include "mql4grec/seq2seq/initialize.hpp"
#include "mql4grec/seq2seq/trainer.hpp"
#include "mql4grec/train/mpi.hpp"
#include "options.hpp"
#include "sequences.hpp"

namespace {

using namespace mql4grec;
using clock_type = std::chrono::steady_clock;

double seconds_since(clock_type::time_point start) {
  return std::chrono::duration<double>(clock_type::now() - start).count();
}

/// Adds up the time of another communicator's calls, the waiting for other ranks included. One thread calls at a time.
class timed_communicator {
 public:
  timed_communicator(train::host_communicator of, double& seconds) : of_(std::move(of)), seconds_(&seconds) {}
  index_t rank() const { return of_.rank(); }
  index_t world_size() const { return of_.world_size(); }
  template <class... Arguments>
  void all_reduce(Arguments&&... arguments) {
    timed([&] { of_.all_reduce(arguments...); });
  }
  template <class... Arguments>
  void all_gather(Arguments&&... arguments) {
    timed([&] { of_.all_gather(arguments...); });
  }
  template <class... Arguments>
  void all_to_all(Arguments&&... arguments) {
    timed([&] { of_.all_to_all(arguments...); });
  }

 private:
  template <class Call>
  void timed(Call const& call) {
    auto const start = clock_type::now();
    call();
    *seconds_ += seconds_since(start);
  }

  train::host_communicator of_;
  double* seconds_;
};

void measure_sums(train::host_communicator communicator, index_t rounds) {
  cpu::backend b(1);
  for (index_t size = 1; size <= index_t{1} << 24; size *= 8) {
    auto values = b.allocate<float>(size);
    fill<float>(b, values.view_all(), 1.0f);
    double best = 1e30;
    for (index_t i = 0; i < rounds; ++i) {
      double together = 0;
      communicator.all_reduce(b, std::span(&together, 1));  // all begin at the same time
      auto const start = clock_type::now();
      communicator.all_reduce(b, values.view_all());
      best = std::min(best, seconds_since(start));
    }
    if (communicator.rank() == 0)
      std::cout << "{\"ranks\": " << communicator.world_size() << ", \"bytes\": " << 4 * size
                << ", \"seconds\": " << best << "}\n";
  }
}

struct training_setup {
  index_t threads = 1, shards = 0, sum_entries = 1 << 18;
};

void measure_training(train::host_communicator ranks, training_setup const& how) {
  cpu::backend b(how.threads);
  seq2seq::t5<cpu::backend, float> model(b, {});
  seq2seq::initialize(model, 1);
  double in_collectives = 0;
  seq2seq::trainer<cpu::backend, float, timed_communicator> trainer(
      b, model, {.batch_size = 1024, .gradient_shards = how.shards, .sum_entries = how.sum_entries},
      timed_communicator(ranks, in_collectives));
  auto const all = bench::random_batch(1024, 8, true);
  trainer.step(all, 1e-4);
  in_collectives = 0;
  auto const before = trainer.time_of_sums();
  auto const start = clock_type::now();
  double seconds = 0;
  index_t updates = 0;
  for (double go_on = 1; go_on > 0; ++updates) {
    trainer.step(all, 1e-4);
    seconds = seconds_since(start);
    go_on = ranks.rank() == 0 && seconds < 20 ? 1 : 0;
    ranks.all_reduce(b, std::span(&go_on, 1));
  }
  double const sums = trainer.time_of_sums().all - before.all, hidden = trainer.time_of_sums().hidden - before.hidden;
  if (ranks.rank() == 0)
    std::cout << "{\"ranks\": " << ranks.world_size() << ", \"threads\": " << how.threads
              << ", \"shards\": " << how.shards << ", \"sum_entries\": " << how.sum_entries
              << ", \"updates\": " << updates
              << ", \"examples_per_second\": " << static_cast<double>(all.size() * updates) / seconds
              << ", \"share_of_collectives\": " << in_collectives / seconds << ", \"share_of_sums\": " << sums / seconds
              << ", \"hidden_share_of_sums\": " << (sums > 0 ? hidden / sums : 0) << "}\n";
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App program("Data-parallel training on the CPUs of MPI's ranks", "bench_ranks");
  program.require_subcommand(1);
  auto* const sums = program.add_subcommand("sums", "sums of vectors: what benchmarks/scale_model.py --fit reads");
  index_t rounds = 50;
  sums->add_option("--rounds", rounds)->check(CLI::PositiveNumber);
  auto* const training = program.add_subcommand(
      "train",
      "updates of the paper's model: examples/s, the share of the time in collectives, and how much of the "
      "sums of gradients is hidden beside the backward pass");
  training_setup how;
  training->add_option("--threads", how.threads, "of each rank")->check(CLI::PositiveNumber);
  training->add_option("--shards", how.shards, "training_options::gradient_shards")->check(CLI::NonNegativeNumber);
  training->add_option("--entries", how.sum_entries, "training_options::sum_entries; 0 hides nothing")
      ->check(CLI::NonNegativeNumber);
  bench::read_options(program, argc, argv);
  train::mpi_process process;
  try {
    if (*sums) measure_sums(process.communicator(), rounds);
    if (*training) measure_training(process.communicator(), how);
    return 0;
  } catch (std::exception const& e) {
    process.end_all_unless_all_failed("bench_ranks: rank " + std::to_string(process.rank()) + ": " + e.what(), 1);
    return 1;
  }
}
