#include "mql4grec/quantize/feature_stream.hpp"

#include <atomic>
#include <chrono>
#include <filesystem>
#include <numeric>
#include <thread>

#include "core/temporary_directory.hpp"
#include "mql4grec/embed/npy_features.hpp"
#include "support/backends.hpp"
#include "support/check_close.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
matrix<float> counted_rows(index_t rows, index_t width) {
  auto all = constant({rows, width}, 0.f);
  std::iota(all.values.begin(), all.values.end(), 1.f);
  return all;
}

/// Features with equal rows that count the calls that began and ended.
struct watched_features {
  std::atomic<index_t>*begun, *ended;
  index_t all;
  std::chrono::milliseconds takes{0};

  index_t rows() const { return all; }
  static index_t width() { return 3; }
  void read(index_t, host_matrix_view<float> out) const { gather({}, out); }
  void gather(std::span<index_t const>, host_matrix_view<float> out) const {
    ++*begun;
    std::this_thread::sleep_for(takes);
    fill(out.flat(), 1.f);
    ++*ended;
  }
};
static_assert(embed::FeatureSource<watched_features>);
}  // namespace

TEST_CASE_TEMPLATE(
    "feature blocks: every row is visited once, in order and unchanged, and the last block is the remainder", B,
    MQL4GREC_TEST_BACKENDS) {
  B b;
  for (index_t const rows : {0, 1, 5, 16, 17, 33})
    for (index_t const block : {1, 4, 16, 100}) {
      auto const all = counted_rows(rows, 3);
      std::vector<float> seen;
      index_t blocks = 0;
      quantize::detail::for_each_feature_block(
          b, embed::matrix_features(all), block, [&](B& worker, index_t number, index_t first, in_matrix<B, float> x) {
            scratch_scope<B> const scope(worker.scratch());
            fill<float>(worker, take<float>(worker, 1000), NAN);  // visitors use scratch as well
            CHECK(number == blocks++);
            CHECK(first == std::ssize(seen) / 3);
            CHECK(x.rows() == std::min(block, rows - first));
            auto const values = fetched(x).values;
            seen.insert(seen.end(), values.begin(), values.end());
          });
      CHECK(seen == all.values);
      CHECK(blocks == (rows + block - 1) / block);
    }
}

TEST_CASE_TEMPLATE("feature blocks: the exception of a failed read is rethrown after the blocks before it", B,
                   MQL4GREC_TEST_BACKENDS) {
  temporary_directory const directory;
  auto const path = directory / "f.npy";
  write_npy(path, counted_rows(10, 3));
  embed::npy_features const features(path);
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 4 * 3 * sizeof(float) - 1);  // inside row 5
  B b;
  std::vector<index_t> seen;
  auto const walk = [&] {
    quantize::detail::for_each_feature_block(
        b, features, 2, [&](B&, index_t, index_t first, in_matrix<B, float>) { seen.push_back(first); });
  };
  CHECK(complaint<file_error>(walk).starts_with(path.string() + ": "));
  CHECK(seen == std::vector<index_t>{0, 2});
}

TEST_CASE_TEMPLATE("feature blocks: an exception from a visitor leaves no read running", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  std::atomic<index_t> begun{0}, ended{0};
  watched_features const features{&begun, &ended, 100, std::chrono::milliseconds(20)};
  auto const walk = [&] {
    quantize::detail::for_each_feature_block(b, features, 4, [&](B&, index_t number, index_t, in_matrix<B, float>) {
      if (number == 1) throw training_error("enough");
    });
  };
  CHECK(complaint<training_error>(walk) == "enough");
  CHECK(begun >= 2);
  CHECK(begun <= 3);
  CHECK(begun == ended);
}

#if defined(MQL4GREC_TEST_DEVICE_BACKENDS)
TEST_CASE_TEMPLATE("feature stream: the next block is read during the work on one, and no further block", B,
                   MQL4GREC_TEST_DEVICE_BACKENDS) {
  constexpr index_t blocks = 6;
  B b;
  std::atomic<index_t> begun{0}, ended{0};
  watched_features const features{&begun, &ended, 4 * blocks - 1};
  quantize::feature_stream<B, watched_features> stream(b, features, 4);
  for (index_t i = 0; i < blocks; ++i) {
    auto const x = stream.next();
    CHECK(x.rows() == (i + 1 < blocks ? 4 : 3));
    index_t const wanted = std::min(blocks, i + 2);
    for (int patience = 0; ended < wanted && patience < 10'000; ++patience)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    CHECK(begun == wanted);
    CHECK(ended == wanted);
    CHECK_CLOSE(fetched(x), constant({x.rows(), x.columns()}, 1.f), 0);
  }
  CHECK(stream.next().rows() == 0);
  CHECK(stream.next().rows() == 0);
}
#endif
