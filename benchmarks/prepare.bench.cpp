// Raw ratings to a dataset directory: a CSV of Amazon's form with synthetic ratings. The first argument is the number
// of lines, the second that of different lines, the third that of users; there are a quarter as many items. Bytes are
// those of the file. peak_rss is that of the whole process: compare runs of one benchmark each.
#include <benchmark/benchmark.h>

#include "mql4grec/core/macros.hpp"
#if MQL4GREC_HAS_RAW
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

#include "mql4grec/catalog/raw/prepare.hpp"
#include "mql4grec/core/random.hpp"
#include "timing.hpp"

namespace {

using mql4grec::index_t;

/// A directory that is gone when the program ends.
struct working_directory {
  std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("mql4grec_bench_prepare_" + std::to_string(::getpid()));
  working_directory() { std::filesystem::create_directories(path); }
  working_directory(working_directory const&) = delete;
  working_directory& operator=(working_directory const&) = delete;
  ~working_directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
};

/// A skewed choice, as popularity is: the square of an even one.
index_t skewed(mql4grec::random_stream& random, index_t count) {
  auto const even = static_cast<double>(random.below(1 << 30)) / (1 << 30);
  return static_cast<index_t>(even * even * static_cast<double>(count));
}

/// A number as an id of the shop: "A00000000012", whose letters and length are those of real ids.
std::string padded(char letter, index_t number, std::size_t width) {
  auto const digits = std::to_string(number);
  return letter + std::string(width - digits.size(), '0') + digits;
}

struct shape {
  index_t lines, different, users;
};

void write_ratings(std::filesystem::path const& path, shape const& size) {
  std::ofstream out(path, std::ios::binary);
  std::string buffer;
  mql4grec::random_stream random(1, 0);
  for (index_t i = 0; i < size.lines; ++i) {
    if (i % size.different == 0) random = mql4grec::random_stream(1, 0);
    buffer += padded('B', skewed(random, size.users / 4), 9) + "," + padded('A', skewed(random, size.users), 13) +
              ",5.0," + std::to_string(1'200'000'000 + 86'400 * random.below(4000)) + "\n";
    if (buffer.size() > (1 << 20)) out << std::exchange(buffer, {});
  }
  out << buffer;
}

void prepare(benchmark::State& state) {
  working_directory const here;
  auto const ratings = here.path / "ratings.csv";
  write_ratings(ratings, {.lines = state.range(0), .different = state.range(1), .users = state.range(2)});
  for (auto _ : state) {
    auto const made = mql4grec::catalog::prepare_dataset({.ratings = {ratings}});
    mql4grec::catalog::write_dataset(here.path / "Synthetic", made);
    state.counters["users"] = static_cast<double>(made.statistics.users);
    state.counters["interactions"] = static_cast<double>(made.statistics.interactions);
  }
  state.counters["peak_rss_MiB"] = bench::peak_mebibytes();
  state.SetItemsProcessed(state.iterations() * state.range(0));
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(std::filesystem::file_size(ratings)));
}

BENCHMARK(prepare)
    ->ArgNames({"lines", "different", "users"})
    ->Args({1'000'000, 1'000'000, 62'500})
    ->Args({10'000'000, 10'000'000, 625'000})
    ->Args({20'000'000, 10'000'000, 625'000})
    ->Args({20'000'000, 20'000'000, 625'000})
    ->Unit(benchmark::kSecond)
    ->Iterations(1);

}  // namespace
#endif
