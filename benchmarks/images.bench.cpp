// Images of a shop, one core: decode a file in memory, resize it, preprocess it for CLIP. The pictures are the files of
// the folder in the environment variable MQL4GREC_BENCH_IMAGES, which benchmarks/peers/pillow_images.py writes and
// measures with Pillow.
#include "support.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "mql4grec/core/files.hpp"
#include "mql4grec/embed/image/decode.hpp"
#include "mql4grec/embed/image/item_images.hpp"
#include "mql4grec/embed/image/preprocess.hpp"

namespace {

namespace embed = mql4grec::embed;
using bench::index_t;

/// The files with this extension, in memory.
std::vector<std::string> pictures(std::string const& extension) {
  std::vector<std::string> files;
  char const* const folder = std::getenv("MQL4GREC_BENCH_IMAGES");
  if (folder == nullptr || !std::filesystem::is_directory(folder)) return files;
  for (auto const& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().extension() == extension) files.push_back(mql4grec::read_file(entry.path()));
  return files;
}

embed::rgb_image decoded(std::string const& file) {
  return embed::decode_image(std::as_bytes(std::span(file.data(), file.size())), "picture");
}

/// An iteration is work(file) for each of the files.
template <class Prepare, class Work>
void for_each_picture(benchmark::State& state, std::string const& extension, Prepare&& prepare, Work&& work) {
  std::vector<decltype(prepare(std::string()))> inputs;
  for (auto const& file : pictures(extension)) inputs.push_back(prepare(file));
  if (inputs.empty()) {
    state.SkipWithError("MQL4GREC_BENCH_IMAGES names no folder with such pictures");
    return;
  }
  for (auto _ : state)
    for (auto const& input : inputs) work(input);
  state.SetItemsProcessed(state.iterations() * std::ssize(inputs));
  state.counters["image"] = benchmark::Counter(static_cast<double>(state.iterations() * std::ssize(inputs)),
                                               benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void decode(benchmark::State& state, std::string const& extension) {
  for_each_picture(
      state, extension, [](std::string const& file) { return file; },
      [](std::string const& file) { benchmark::DoNotOptimize(decoded(file).pixels.data()); });
}

/// Shrinks to a short edge of 224, the whole picture, as Pillow's resize does.
void resize(benchmark::State& state, std::string const& extension) {
  for_each_picture(state, extension, decoded, [](embed::rgb_image const& image) {
    benchmark::DoNotOptimize(embed::resize_bicubic(image, embed::shortest_edge_size(image.size, 224)).pixels.data());
  });
}

void decode_and_resize(benchmark::State& state, std::string const& extension) {
  for_each_picture(
      state, extension, [](std::string const& file) { return file; },
      [](std::string const& file) {
        auto const image = decoded(file);
        benchmark::DoNotOptimize(
            embed::resize_bicubic(image, embed::shortest_edge_size(image.size, 224)).pixels.data());
      });
}

void decode_and_preprocess(benchmark::State& state, std::string const& extension) {
  embed::image_preprocessing const how;
  std::vector<float> values(mql4grec::to_size(how.values()));
  for_each_picture(
      state, extension, [](std::string const& file) { return file; },
      [&](std::string const& file) {
        embed::preprocess_image(decoded(file), how, mql4grec::view_of(std::span(values)));
        benchmark::ClobberMemory();
      });
}

/// From files to rows, by several threads.
void read_images(benchmark::State& state) {
  char const* const folder = std::getenv("MQL4GREC_BENCH_IMAGES");
  std::vector<std::filesystem::path> paths;
  if (folder != nullptr && std::filesystem::is_directory(folder))
    for (auto const& entry : std::filesystem::directory_iterator(folder)) paths.push_back(entry.path());
  if (paths.empty()) {
    state.SkipWithError("MQL4GREC_BENCH_IMAGES names no folder with pictures");
    return;
  }
  embed::image_reading const how{.strict = true};
  index_t const rows = std::ssize(paths), columns = how.preprocessing.values();
  std::vector<float> values(mql4grec::to_size(rows * columns));
  mql4grec::cpu::thread_pool pool(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(embed::read_images(pool, paths, how, {values.data(), rows, columns}));
  state.SetItemsProcessed(state.iterations() * rows);
}
BENCHMARK(read_images)->ArgName("threads")->Arg(1)->Arg(2)->Unit(benchmark::kMillisecond)->UseRealTime();

#define MQL4GREC_EACH_FORMAT(work)                                      \
  BENCHMARK_CAPTURE(work, jpeg, ".jpg")->Unit(benchmark::kMicrosecond); \
  BENCHMARK_CAPTURE(work, png, ".png")->Unit(benchmark::kMicrosecond);  \
  BENCHMARK_CAPTURE(work, webp, ".webp")->Unit(benchmark::kMicrosecond)
MQL4GREC_EACH_FORMAT(decode);
MQL4GREC_EACH_FORMAT(resize);
MQL4GREC_EACH_FORMAT(decode_and_resize);
MQL4GREC_EACH_FORMAT(decode_and_preprocess);

}  // namespace
