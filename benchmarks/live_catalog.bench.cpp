// A live catalog: time and memory of insertions, searches with and without pending changes, a merge, and filters by
// selectivity. Items have random sequences of four codes out of 256; searches use the paper's model with 20 beams, one
// query and one thread. Times are processor time of the thread, except those of the log, which waits for the disk.
//
//   bench_live_catalog [--items N] [--changes N] [--log FILE]
#include "sequences.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <string>

#include "mql4grec/backend/cpu/cpu.hpp"
#include "mql4grec/search/beam_search.hpp"
#include "mql4grec/search/catalog_filter.hpp"
#include "mql4grec/seq2seq/decoding.hpp"
#include "mql4grec/seq2seq/initialize.hpp"
#include "options.hpp"
#include "timing.hpp"

namespace {

using namespace mql4grec;
using model_type = seq2seq::t5<cpu::backend, float>;
constexpr auto text = language::modality::text;

/// Resident memory in MiB.
double resident() {
  long pages = 0, ignored = 0;
  std::ifstream("/proc/self/statm") >> ignored >> pages;
  return static_cast<double>(pages) * static_cast<double>(::sysconf(_SC_PAGESIZE)) / (1 << 20);
}

void print(char const* what, std::vector<double> times, double unit, char const* name) {
  std::ranges::sort(times);
  auto const at = [&](double share) { return unit * bench::percentile(times, share); };
  std::printf("%-44s best %8.2f  median %8.2f  p99 %8.2f %s\n", what, at(0), at(.5), at(.99), name);
}

/// The time of `work` in seconds: of the thread's processor, or of the clock.
double time_of(auto&& work, bool wall = false) {
  auto const now = wall ? bench::wall_seconds : bench::thread_seconds;
  double const start = now();
  work();
  return now() - start;
}

std::vector<token_t> random_sequence(random_stream& random, language::vocabulary const& vocab) {
  std::vector<token_t> tokens;
  for (index_t level = 0; level < 4; ++level)
    tokens.push_back(vocab.token(text, level, code_t(static_cast<std::int32_t>(random.below(256)))));
  return tokens;
}

/// Insertions one after another, each a call of its own.
std::vector<double> insert(search::live_catalog& catalog, index_t count, bool wall) {
  language::vocabulary const vocab;
  random_stream random(5, 0);
  std::vector<double> times;
  auto const first = catalog.version().items();
  for (index_t i = 0; i < count; ++i) {
    search::catalog_change const change{item_id(static_cast<std::int32_t>(first + i)),
                                        {random_sequence(random, vocab)}};
    times.push_back(time_of([&] { catalog.apply({&change, 1}); }, wall));
  }
  return times;
}

void measure_searches(search::catalog_version const& before, search::catalog_version const& after) {
  cpu::backend b(1);
  model_type model(b, {});
  seq2seq::initialize(model, 1);
  seq2seq::frozen_t5 const frozen(b, std::move(model));
  search::beam_searcher<cpu::backend, seq2seq::frozen_t5<cpu::backend, float>> searcher(b, frozen);
  auto const queries = bench::equal_queries(1, 8);
  search::beams found;
  auto const search = [&](search::trie_version const& trie, node_t root, trie_nodes<host_space> const& added = {}) {
    found.clear();
    searcher.use(trie);
    searcher.search({.batch = queries, .part = {0, 1}, .roots = {&root, 1}, .added = added}, {}, found);
  };
  std::vector<double> times[2];
  for (int round = -10; round < 300; ++round)
    for (int v = 0; v < 2; ++v) {  // alternating, so that both meet the same machine
      auto const& trie = (v == 0 ? before : after).groups()[0].trie;
      double const taken = time_of([&] { search(trie, trie.root(0)); });
      if (round >= 0) times[v].push_back(taken);
    }
  print("search, no pending changes", times[0], 1e3, "ms");
  print("search, all changes pending", times[1], 1e3, "ms");

  auto const items = after.items();
  random_stream random(7, 0);
  search::filtered_trie filtered;
  for (double const share : {.0001, .001, .01, .1, .5}) {
    for (bool const allow : {true, false}) {
      search::item_filter filter;
      search::item_list some;
      for (index_t i = 0; i < items; ++i)
        if (random.uniform() < share) some.push_back(item_id(static_cast<std::int32_t>(i)));
      (allow ? filter.allow.emplace() : filter.deny) = some;
      std::vector<double> prepare, both;
      for (int round = 0; round < (share < .05 ? 20 : 3); ++round) {
        node_t root = 0;
        prepare.push_back(time_of([&] {
          filtered.clear();
          search::catalog_choice const wanted(filter, after);
          root = search::add_filter(filtered, {after, after.groups()[0], 0}, filter, wanted);
        }));
        both.push_back(prepare.back() + time_of([&] { search(after.groups()[0].trie, root, filtered.nodes()); }));
        if (found.leaves.size() < std::min<std::size_t>(20, allow ? some.size() / 2 : 20)) std::abort();
      }
      char name[2][64];
      for (int both_times : {0, 1})
        std::snprintf(name[both_times], 64, "%s %g %%: filter%s", allow ? "allow" : "deny", share * 100,
                      both_times ? " and search" : "");
      print(name[0], prepare, 1e3, "ms");
      print(name[1], both, 1e3, "ms");
    }
  }
}

}  // namespace

int main(int count, char** arguments) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  index_t items = 10'000'000, changes = 10'000;
  std::string log;
  CLI::App program("Changes of a live catalog", "bench_live_catalog");
  program.add_option("--items", items)->check(CLI::PositiveNumber);
  program.add_option("--changes", changes)->check(CLI::PositiveNumber);
  program.add_option("--log", log, "file of the changes");
  bench::read_options(program, count, arguments);
  std::vector<language::token_table> tables{bench::random_catalog(items)};
  double const table_memory = resident();
  std::optional<search::live_catalog> catalog;
  double const build = time_of([&] { catalog.emplace(tables, search::live_catalog_options{.merge_after = 1 << 30}); });
  tables.clear();
  tables.shrink_to_fit();
  double const memory = resident();
  std::printf("%td items: tables %.0f MiB; the live catalog alone %.0f MiB, built in %.1f s\n", items, table_memory,
              memory, build);
  auto const before = catalog->version();
  print("insertion without a log", insert(*catalog, changes, false), 1e6, "µs");
  auto const after = catalog->version();
  std::printf("%td pending changes: %.0f MiB more\n", changes, resident() - memory);
  measure_searches(before, after);
  double const most = resident();
  double const merged = time_of([&] { catalog->merge(); });
  std::printf("merge %.2f s of processor time, %.0f MiB more while older versions are read\n", merged,
              resident() - most);
  if (!log.empty()) {
    search::live_catalog logged({bench::random_catalog(6250)}, {.log = log});
    print("insertion into 6250 items, with a log (clock)", insert(logged, 1000, true), 1e6, "µs");
  }
}
