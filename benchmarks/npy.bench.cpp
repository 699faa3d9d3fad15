// Reading a .npy file of 200 MiB that the system has in memory, one core. Arguments: rows of a
// block, columns. Bytes are those of the file; their share is of what a core copies, reads and writes both counted.
#include "support.hpp"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "mql4grec/core/npy.hpp"

namespace {

using mql4grec::dtype, bench::index_t;

constexpr index_t columns = 768, rows = (index_t{200} << 20) / (columns * 4);  // of floats; twice as many of halves

/// A file that is gone when the program ends.
class temporary_file {
 public:
  explicit temporary_file(dtype type)
      : path_(std::filesystem::temp_directory_path() / ("mql4grec_bench_" + std::to_string(::getpid()) + "_" +
                                                        std::to_string(static_cast<int>(type)) + ".npy")) {
    bool const halves = type == dtype::f16;
    std::string prefix = mql4grec::core::detail::npy_prefix(halves ? 2 * rows : rows, columns);
    if (halves) prefix.replace(prefix.find("<f4"), 3, "<f2");
    std::vector<std::uint16_t> piece(1 << 20);
    mql4grec::random_stream random(1, 0);
    for (auto& bits : piece)
      bits = static_cast<std::uint16_t>(random.below(0x7C00));  // some number, as a half and as half a float
    std::ofstream out(path_, std::ios::binary);
    out << prefix;
    auto const piece_bytes = static_cast<index_t>(piece.size() * sizeof piece[0]), body = rows * columns * 4;
    for (index_t done = 0; done < body; done += piece_bytes)
      out.write(reinterpret_cast<char const*>(piece.data()), std::min(piece_bytes, body - done));
  }
  temporary_file(temporary_file const&) = delete;
  temporary_file& operator=(temporary_file const&) = delete;
  ~temporary_file() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  std::filesystem::path const& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

mql4grec::npy_file open(dtype type) {
  static temporary_file const floats(dtype::f32), halves(dtype::f16);
  return mql4grec::npy_file((type == dtype::f16 ? halves : floats).path());
}

void count_file_bytes(benchmark::State& state, mql4grec::npy_file const& file) {
  double const bytes = file.type() == dtype::f16 ? 2 : 4;
  double const entries = static_cast<double>(state.range(0) * state.range(1));
  bench::count_bytes(state, bytes * entries);
  state.counters["share"] =
      benchmark::Counter((bytes + 4) * entries / bench::peak_bytes(), benchmark::Counter::kIsIterationInvariantRate);
}

/// The whole file in blocks, round and round.
template <dtype Type>
void read_blocks(benchmark::State& state) {
  bench::backend b;
  auto const file = open(Type);
  auto const block = mql4grec::take<float>(b, state.range(0), state.range(1));
  index_t first = 0;
  for (auto _ : state) {
    file.read(first, block);
    first = first + 2 * block.rows() <= file.rows() ? first + block.rows() : 0;
  }
  count_file_bytes(state, file);
}

/// Batches of a training: rows in random order.
template <dtype Type>
void gather_rows(benchmark::State& state) {
  bench::backend b;
  auto const file = open(Type);
  auto const block = mql4grec::take<float>(b, state.range(0), state.range(1));
  std::vector<index_t> order(static_cast<std::size_t>(block.rows()));
  mql4grec::random_stream random(2, 0);
  for (auto _ : state) {
    for (index_t& row : order) row = random.below(file.rows());
    file.gather(order, block);
  }
  count_file_bytes(state, file);
}

/// The conversion alone, in memory.
void widen(benchmark::State& state) {
  bench::backend b;
  index_t const n = state.range(0) * state.range(1);
  auto const from = mql4grec::take<mql4grec::core::detail::half>(b, n);
  auto const to = mql4grec::take<float>(b, n);
  for (index_t i = 0; i < n; ++i) from(i).bits = static_cast<std::uint16_t>(i * 7919);
  for (auto _ : state) {
    mql4grec::core::detail::widen(from, to);
    benchmark::ClobberMemory();
  }
  bench::count_bytes(state, 6.0 * static_cast<double>(n));
}

BENCHMARK(read_blocks<dtype::f32>)->Args({1024, columns});
BENCHMARK(read_blocks<dtype::f16>)->Args({1024, columns});
BENCHMARK(gather_rows<dtype::f32>)->Args({1024, columns});
BENCHMARK(gather_rows<dtype::f16>)->Args({1024, columns});
BENCHMARK(widen)->Args({16, 1024})->Args({1024, columns});

}  // namespace
