// The latency of single requests: recommend() with the paper's model, both modalities, 20 beams, one thread, histories
// as long as those of Instruments. Prints the percentiles for every precision and instruction set of the machine, and a
// histogram for each. Times are processor time of the thread, so that other programs on the machine don't count; with
// --wall, or with several threads for each request, they are those that a client sees.
#include "sequences.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "mql4grec/recommender.hpp"
#include "mql4grec/seq2seq/initialize.hpp"
#include "options.hpp"
#include "timing.hpp"

namespace {

using namespace mql4grec;

struct settings {
  index_t requests = 1000;
  bool wall = false;
  index_t threads = 1;    // of each request
  index_t history = 0;    // items of every history; 0: as in Instruments
  std::string only = "";  // an instruction set
  index_t bits = 0;       // of a product's factors; 0: every precision
};

settings read_settings(int count, char** arguments) {
  settings all;
  CLI::App program("The latency of single requests", "bench_request");
  program.add_option("--requests", all.requests)->check(CLI::PositiveNumber);
  program.add_flag("--wall", all.wall, "the time that a client sees, in place of processor time");
  program.add_option("--threads", all.threads, "of each request; more than one: as with --wall")
      ->check(CLI::PositiveNumber);
  program.add_option("--history", all.history, "items of every history; 0: as in Instruments")
      ->check(CLI::NonNegativeNumber);
  program.add_option("--only", all.only, "an instruction set")->check(CLI::IsMember({"avx2", "avx512", "baseline"}));
  program.add_option("--bits", all.bits, "of a product's factors; without it every precision")
      ->check(CLI::IsMember({8, 16, 32}));
  bench::read_options(program, count, arguments);
  all.wall = all.wall || all.threads > 1;
  return all;
}

constexpr int bits_of(precision products) {
  return products == precision::fp32 ? 32 : products == precision::bf16 ? 16 : 8;
}

recommender<> random_recommender(precision products) {
  cpu::backend backend(1, products);
  seq2seq::t5<cpu::backend, float> model(backend, {});
  seq2seq::initialize(model, 1);
  return {
      backend,
      std::move(model),
      {language::vocabulary(), tasks::all_tasks()},
      {bench::random_catalog(6250, language::modality::text), bench::random_catalog(6250, language::modality::image)}};
}

/// The latency in milliseconds of each request, ascending.
std::vector<double> latencies(recommender<> const& from, settings const& how) {
  auto session = from.session({.threads = how.threads});
  random_stream random(11, 0);
  std::vector<double> times;
  for (index_t i = -20; i < how.requests; ++i) {  // the first 20 warm up
    auto history = bench::random_history(random, from.items());
    if (how.history > 0) history.resize(to_size(how.history), history.front());
    double const start = how.wall ? bench::wall_seconds() : bench::thread_seconds();
    auto const list = session.recommend(history);
    double const end = how.wall ? bench::wall_seconds() : bench::thread_seconds();
    if (list.size() != 10) std::abort();
    if (i >= 0) times.push_back(1e3 * (end - start));
  }
  std::ranges::sort(times);
  return times;
}

void print_histogram(std::vector<double> const& sorted) {
  constexpr int columns = 50;
  double const step = std::pow(2., .25);
  for (std::size_t i = 0; i < sorted.size();) {
    double const from = std::pow(step, std::floor(std::log(sorted[i]) / std::log(step)));
    auto const end = std::ranges::lower_bound(sorted, from * step) - sorted.begin();
    auto const count = static_cast<std::size_t>(std::max<std::ptrdiff_t>(end, std::ptrdiff_t(i) + 1)) - i;
    auto const length = (count * columns + sorted.size() - 1) / sorted.size();
    std::printf("  %7.2f ms  %-*s %zu\n", from, columns, std::string(length, '#').c_str(), count);
    i += count;
  }
}

}  // namespace

int main(int count, char** arguments) {
  auto const how = read_settings(count, arguments);
  constexpr std::pair<char const*, cpu::instruction_set> sets[] = {{"avx512", cpu::instruction_set::avx512},
                                                                   {"avx2", cpu::instruction_set::avx2},
                                                                   {"baseline", cpu::instruction_set::baseline}};
  for (auto const& [name, set] : sets) {
    if (set > cpu::best_instruction_set() || (!how.only.empty() && how.only != name)) continue;
    cpu::allowed_instruction_set() = set;
    for (auto const products : {precision::fp32, precision::bf16, precision::int8}) {
      if (how.bits != 0 && how.bits != bits_of(products)) continue;
      if (products == precision::bf16 && !cpu::has_fast_bf16()) continue;
      if (products == precision::int8 && cpu::chosen_int8_instructions() == cpu::int8_instructions::none) continue;
      auto const sorted = latencies(random_recommender(products), how);
      auto const at = [&](double share) { return bench::percentile(sorted, share); };
      std::printf("%s %s: p50 %.2f  p90 %.2f  p99 %.2f  p99.9 %.2f  max %.2f ms; p99/p50 %.2f\n", name,
                  std::string(name_of(products)).c_str(), at(.5), at(.9), at(.99), at(.999), sorted.back(),
                  at(.99) / at(.5));
      print_histogram(sorted);
    }
  }
}
