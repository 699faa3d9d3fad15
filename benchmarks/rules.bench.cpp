// The cost of the rules of a request by selectivity: recommend() with the paper's model, both modalities, 20 beams,
// k = 10, one thread. Rules name sets that the catalog has prepared, combine several of them, or list items; quotas
// are of sets that are a tenth of the catalog each. Items have random sequences, and are in sets at random. Times are
// processor time of the thread. Prints the median and the 99th percentile.
//
//   bench_rules [--items N] [--requests N]
#include "sequences.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string>

#include "mql4grec/recommender.hpp"
#include "mql4grec/seq2seq/initialize.hpp"
#include "options.hpp"
#include "timing.hpp"

namespace {

using namespace mql4grec;

constexpr double shares[] = {1, .1, .01, .001, .0001};

std::string name_of(double share, char which) { return std::to_string(share) + which; }

/// Two sets for each share, and ten disjoint ones, "0" to "9", that are a tenth of the catalog each.
search::named_sets random_sets(index_t items) {
  search::named_sets sets;
  random_stream random(17, 0);
  for (index_t i = 0; i < items; ++i) {
    auto const item = item_id(static_cast<std::int32_t>(i));
    for (double const share : shares)
      for (char const which : {'a', 'b'})
        if (random.uniform() < share) sets[name_of(share, which)].push_back(item);
    sets[std::to_string(random.below(10))].push_back(item);
  }
  return sets;
}

recommender<> random_recommender(index_t items, search::named_sets const& sets) {
  cpu::backend backend(1);
  seq2seq::t5<cpu::backend, float> model(backend, {});
  seq2seq::initialize(model, 1);
  return {
      backend,
      std::move(model),
      {language::vocabulary(), tasks::all_tasks()},
      {bench::random_catalog(items, language::modality::text), bench::random_catalog(items, language::modality::image)},
      {.catalog = {.sets = sets}}};
}

struct measurement {
  recommender_session<>& session;
  index_t items, requests;

  void operator()(std::string const& name, recommend_options const& options, index_t expected = 10) const {
    random_stream random(11, 0);
    std::vector<double> times;
    for (index_t i = -3; i < requests; ++i) {  // the first ones warm up
      auto const history = bench::random_history(random, items);
      double const start = bench::thread_seconds();
      auto const list = session.recommend(history, options);
      double const taken = bench::thread_seconds() - start;
      if (list.size() != expected) std::exit((std::fprintf(stderr, "%s: %td items\n", name.c_str(), list.size()), 1));
      if (i >= 0) times.push_back(1e3 * taken);
    }
    std::ranges::sort(times);
    std::printf("%-52s median %8.2f  p99 %8.2f ms\n", name.c_str(), bench::percentile(times, .5),
                bench::percentile(times, .99));
  }
};

}  // namespace

int main(int count, char** arguments) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  index_t items = 100'000, requests = 40;
  CLI::App program("Requests with rules", "bench_rules");
  program.add_option("--items", items)->check(CLI::Range(index_t{1000}, std::numeric_limits<index_t>::max()));
  program.add_option("--requests", requests, "of each row")->check(CLI::PositiveNumber);
  bench::read_options(program, count, arguments);
  auto const sets = random_sets(items);
  double const start = bench::thread_seconds();
  auto const from = random_recommender(items, sets);
  std::printf("%td items, %zu sets: built in %.2f s of processor time\n", items, sets.size(),
              bench::thread_seconds() - start);
  auto session = from.session();
  measurement const measure{session, items, requests};
  measure("no rules", {});
  for (double const share : shares) {
    auto const a = name_of(share, 'a'), b = name_of(share, 'b');
    char selectivity[32];
    std::snprintf(selectivity, sizeof selectivity, "%g %%: ", 100 * share);
    auto const size = std::ssize(sets.at(a));
    auto const k = std::min<index_t>(10, size);
    measure(selectivity + std::string("any of one set"), {.filter = {.any_of = {a}}}, k);
    measure(selectivity + std::string("any of two sets"), {.filter = {.any_of = {a, b}}});
    measure(selectivity + std::string("all of a set and another of 10 %"),
            {.k = 0, .filter = {.all_of = {a, name_of(.1, 'b')}}}, 0);
    if (share < 1) measure(selectivity + std::string("none of a set"), {.filter = {.none_of = {a}}});
    measure(selectivity + std::string("a list of the items"), {.filter = {.allow = sets.at(a)}}, k);
  }
  measure("seen items excluded", {.exclude_seen = true});
  measure("a quota that is not exhausted", {.quotas = {{"0", 10}}});
  std::vector<search::item_quota> each;
  for (char const c : std::string("0123456789")) each.push_back({std::string(1, c), 2});
  measure("ten quotas of 2 items", {.quotas = each});
  for (auto& quota : each) quota.most = 1;
  measure("ten quotas of 1 item, several searches", {.quotas = each});
}
