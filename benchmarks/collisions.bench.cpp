// Collisions of large catalogs: 5 % of the items share the codes of another; and many items that are all alike.
// Argument: items.
#include "mql4grec/quantize/collisions/match.hpp"
#include "mql4grec/quantize/collisions/reallocate.hpp"
#include "mql4grec/quantize/collisions/uniqueness_report.hpp"
#include "support.hpp"
#include "timing.hpp"

using namespace mql4grec;

namespace {

constexpr index_t width = 32;
std::vector<index_t> const sizes = {256, 256, 256, 256};

/// Latents that are generated on request: a function of the item's number, or the same for all.
struct made_latents {
  index_t items;
  bool alike = false;

  index_t rows() const { return items; }
  index_t width() const { return ::width; }
  void gather(std::span<index_t const> wanted, host_matrix_view<float> out) const {
    for (index_t i = 0; i < out.rows(); ++i) {
      random_stream random(7, alike ? 0 : static_cast<std::uint64_t>(wanted[static_cast<std::size_t>(i)]));
      for (index_t j = 0; j < out.columns(); ++j) out(i, j) = static_cast<float>(2 * random.uniform() - 1);
    }
  }
};

quantize::codebook_set<cpu::backend, float> random_codebooks(cpu::backend& b) {
  quantize::codebook_set<cpu::backend, float> books(b, sizes, width);
  random_stream random(3, 0);
  for (index_t l = 0; l < books.levels(); ++l)
    for (index_t i = 0; i < books.vectors(l).size(); ++i)
      books.vectors(l).data[i] = static_cast<float>(random.normal()) / static_cast<float>(1 << l);
  return books;
}

/// Every twentieth item has the codes of an earlier one, the others are spread.
quantize::code_table crowded(index_t items) {
  quantize::code_table table(items, sizes);
  for (index_t i = 0; i < items; ++i) {
    index_t const source =
        i % 20 == 19 ? i - 1 -
                           static_cast<index_t>(
                               random_stream(1, static_cast<std::uint64_t>(i)).below(std::min<index_t>(i, 1000)))
                     : i;
    auto const bits = random_stream(2, static_cast<std::uint64_t>(source)).bits();
    std::vector<code_t> codes;
    for (int l = 0; l < 4; ++l) codes.push_back(code_t(static_cast<std::int32_t>(bits >> (8 * l) & 255)));
    table.set(item_id(static_cast<std::int32_t>(i)), codes);
  }
  return table;
}
quantize::code_table all_alike(index_t items) {
  quantize::code_table table(items, sizes);
  for (index_t i = 0; i < items; ++i)
    table.set(item_id(static_cast<std::int32_t>(i)), std::vector<code_t>(4, code_t{17}));
  return table;
}

template <class Policy>
void resolve(benchmark::State& state, quantize::code_table const& table, bool alike) {
  cpu::backend b;
  auto const books = random_codebooks(b);
  auto const levels = books.views();
  quantize::collision_outcome outcome;
  for (auto _ : state) {
    auto work = table;
    outcome = Policy{}.resolve(b, work, std::span<quantize::codebook_view<cpu::backend, float> const>(levels),
                               made_latents{table.items(), alike});
    if (!quantize::check_uniqueness(work).unique()) state.SkipWithError("items share a sequence");
  }
  state.counters["items/s"] =
      benchmark::Counter(static_cast<double>(table.items()), benchmark::Counter::kIsIterationInvariantRate);
  state.counters["colliding"] = static_cast<double>(outcome.colliding);
  state.counters["peak_GiB"] = bench::peak_mebibytes() / 1024;
}

void reallocate_twentieth(benchmark::State& state) {
  resolve<quantize::reallocate>(state, crowded(state.range(0)), false);
}
void match_twentieth(benchmark::State& state) { resolve<quantize::match>(state, crowded(state.range(0)), false); }
void match_all_alike(benchmark::State& state) { resolve<quantize::match>(state, all_alike(state.range(0)), true); }
void reallocate_all_alike(benchmark::State& state) {
  resolve<quantize::reallocate>(state, all_alike(state.range(0)), true);
}

}  // namespace

BENCHMARK(reallocate_all_alike)->Arg(1'000)->Arg(10'000)->Arg(100'000)->Iterations(1)->Unit(benchmark::kSecond);
BENCHMARK(match_all_alike)->Arg(10'000)->Arg(100'000)->Iterations(1)->Unit(benchmark::kSecond);
BENCHMARK(reallocate_twentieth)
    ->Arg(100'000)
    ->Arg(1'000'000)
    ->Arg(2'000'000)
    ->Arg(5'000'000)
    ->Arg(10'000'000)
    ->Iterations(1)
    ->Unit(benchmark::kSecond);
BENCHMARK(match_twentieth)->Arg(100'000)->Arg(1'000'000)->Iterations(1)->Unit(benchmark::kSecond);
