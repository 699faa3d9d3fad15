// Interactions that are larger than the memory: how long it takes to generate them, to pack them, to open them and to
// read an epoch of training examples, how many bytes they have, and how much memory is used at most.
//
// And likewise a catalog of very many items: how long a process takes to the first answer, how much memory it has of
// its own, and what a request takes. Items of interactions follow a Zipf distribution with exponent 1, lengths of
// histories an exponential one; sequences of items are random.
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "mql4grec/catalog/interaction_files.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/core/permutation.hpp"
#include "mql4grec/recommender.hpp"
#include "mql4grec/search/packed_catalog.hpp"
#include "mql4grec/seq2seq/initialize.hpp"
#include "mql4grec/tasks/training_set.hpp"
#include "options.hpp"
#include "timing.hpp"

namespace {

using namespace mql4grec;
using bench::processor_seconds;

/// Ranks 1 … n with probabilities proportional to 1 / rank, in constant memory: rejection-inversion (Hörmann and
/// Derflinger, "Rejection-inversion to generate variates from monotone discrete distributions", 1996).
class zipf {
 public:
  explicit zipf(index_t n) : n_(static_cast<double>(n)), lowest_(std::log(1.5) - 1), highest_(std::log(n_ + 0.5)) {}
  index_t operator()(random_stream& random) const {
    static double const sure = 2 - std::exp(std::log(2.5) - 0.5);
    for (;;) {
      double const u = highest_ + random.uniform() * (lowest_ - highest_), x = std::exp(u);
      double const k = std::clamp(std::floor(x + 0.5), 1.0, n_);
      if (k - x <= sure || u >= std::log(k + 0.5) - 1 / k) return static_cast<index_t>(k);
    }
  }

 private:
  double n_, lowest_, highest_;
};

struct shape {
  index_t interactions = 10'000'000, items = 1'000'000, parts = 1, requests = 300;
  bool built = false;
  double mean_length = 10;
  std::uint64_t seed = 1;
};

/// Calls add(user, items) for users 0, 1, … until there are enough interactions.
template <class Add>
void each_user(shape const& how, Add&& add) {
  zipf const rank(how.items);
  keyed_permutation const number(how.items, how.seed, 1);  // popular items are spread over the catalog
  std::vector<item_id> items;
  for (index_t user = 0, done = 0; done < how.interactions; ++user) {
    random_stream random(how.seed, static_cast<std::uint64_t>(user) << 8);
    constexpr double least = 3;
    double const more = -std::log(1 - random.uniform()) * (how.mean_length - least);
    index_t const length = std::min<index_t>(how.interactions - done, static_cast<index_t>(least + more + 0.5));
    items.clear();
    for (index_t i = 0; i < length; ++i) items.push_back(item_id(number[rank(random) - 1]));
    add(user, items);
    done += length;
  }
}

/// Prints the seconds of each step, the processor's of them, and the peak of memory after it.
class stopwatch {
 public:
  void step(std::string const& name, std::string const& details = {}) {
    std::printf("%-24s %8.2f s, processor %8.2f s, peak %6.0f MiB  %s\n", name.c_str(),
                std::chrono::duration<double>(clock::now() - last_).count(), seconds(), bench::peak_mebibytes(),
                details.c_str());
    std::fflush(stdout);
    last_ = clock::now();
    before_ = processor_seconds();
  }
  /// Processor time since the last step: other processes hardly change it.
  double seconds() const { return processor_seconds() - before_; }

 private:
  using clock = std::chrono::steady_clock;
  clock::time_point last_ = clock::now();
  double before_ = processor_seconds();
};

std::string counts(catalog::packed_summary const& s) {
  return std::to_string(s.interactions) + " interactions, " + std::to_string(s.users) + " users, " +
         std::to_string(s.item_count) + " items, " + std::to_string(s.bytes) + " bytes";
}

void generate(catalog::dataset_paths const& paths, shape const& how) {
  stopwatch watch;
  catalog::packed_writer to(paths.packed(), {.item_count = how.items});
  each_user(how, [&](index_t user, std::vector<item_id> const& items) { to.add_user(std::to_string(user), items); });
  auto const made = to.commit();
  watch.step("generate", counts(made));
}

void write_lines(catalog::dataset_paths const& paths, shape const& how) {
  stopwatch watch;
  auto const number = [](index_t n) {
    auto const text = std::to_string(n);
    return std::string(5 - std::min<std::size_t>(5, text.size()), '0') + text;
  };
  std::ofstream out;
  auto const close = [&] {
    out.close();
    expects(out.good(), paths.directory().string(), ": the lines can't be written");
  };
  index_t part = 0, done = 0, bytes = 0;
  std::string line;
  each_user(how, [&](index_t user, std::vector<item_id> const& items) {
    if (part == 0 || done * how.parts >= part * how.interactions) {
      auto const name = paths.name() + ".inter-" + number(++part) + "-of-" + number(how.parts) + ".jsonl";
      if (part > 1) close();
      out.open(paths.directory() / name);
    }
    line = "{\"user\": " + std::to_string(user) + ", \"items\": [";
    for (std::size_t i = 0; i < items.size(); ++i) line += (i > 0 ? ", " : "") + std::to_string(index(items[i]));
    line += "]}\n";
    out << line;
    bytes += std::ssize(line);
    done += std::ssize(items);
  });
  close();
  expects(part == how.parts, done, " interactions are too few for ", how.parts, " parts");
  watch.step("lines", std::to_string(done) + " interactions, " + std::to_string(bytes) + " bytes");
}

void pack(catalog::dataset_paths const& paths) {
  stopwatch watch;
  auto const made = catalog::pack_interactions(paths);
  double const seconds = watch.seconds();
  watch.step("pack", counts(made) + "; " + std::to_string(static_cast<double>(made.interactions) / seconds / 1e6) +
                         " million interactions a second of the processor");
}

/// A sequence of four codes for each item: the digits of its number in base 256.
language::token_table tokens_of(index_t items, language::vocabulary const& vocab, language::modality kind) {
  language::token_table table(kind, items, vocab.levels(kind));
  std::vector<token_t> sequence(to_size(vocab.levels(kind)));
  for (index_t i = 0; i < items; ++i) {
    for (index_t l = 0, rest = i; l < vocab.levels(kind); ++l, rest /= 256)
      sequence[to_size(l)] = vocab.token(kind, l, code_t(rest % 256));
    table.set(item_id(i), sequence);
  }
  return table;
}

void read_epoch(catalog::dataset_paths const& paths, shape const& how) {
  stopwatch watch;
  tasks::dataset data{.interactions = catalog::read_interactions(paths), .name = paths.name()};
  watch.step("open and check", std::to_string(data.interactions.items.size()) + " interactions");
  language::vocabulary const vocab;
  for (auto const kind : {language::modality::text, language::modality::image})
    data.tokens.push_back(tokens_of(data.interactions.item_count, vocab, kind));
  watch.step("tokens of the items");
  std::vector<tasks::dataset> all;
  all.push_back(std::move(data));
  tasks::training_set const set(tasks::all_tasks(), std::move(all), vocab);
  watch.step("find the examples", std::to_string(set.size()) + " examples of six tasks");
  example_order const order(set.size(), how.seed, 0);
  index_t sum = 0;
  for (index_t i = 0; i < order.size(); ++i) sum += order[i];
  double const seconds = watch.seconds();
  expects(sum == order.size() * (order.size() - 1) / 2 || order.size() > (index_t{1} << 31), "the order isn't whole");
  watch.step("one epoch's order", std::to_string(seconds / static_cast<double>(order.size()) * 1e9) + " ns an example");
  constexpr index_t written = 1'000'000;
  tasks::batch batch;
  for (index_t i = 0; i < std::min(order.size(), written); ++i) {
    if (i % 256 == 0) batch.clear();
    set.write(order[i], how.seed, 0, batch);
  }
  double const rate = static_cast<double>(std::min(order.size(), written)) / watch.seconds();
  watch.step("batches of 256, in order",
             std::to_string(static_cast<index_t>(rate)) + " examples a second of the processor");
}

/// The sequence of an item in a modality: four random codes.
void sequence_of(index_t item, language::vocabulary const& vocab, language::modality kind,
                 std::span<token_t> sequence) {
  auto const bits = philox({static_cast<std::uint32_t>(item), static_cast<std::uint32_t>(item >> 32), 0, 0},
                           {7, static_cast<std::uint32_t>(index(kind))});
  for (std::size_t l = 0; l < sequence.size(); ++l)
    sequence[l] = vocab.token(kind, static_cast<index_t>(l), code_t(bits[l] % 256));
}

void build_catalog(catalog::dataset_paths const& paths, shape const& how) {
  language::vocabulary const vocab;
  std::array<token_t, 4> sequence = {};
  stopwatch watch;
  search::packed_catalog_writer to(paths.packed_catalog(), vocab, language::paper_modalities);
  for (auto const kind : {language::modality::text, language::modality::image})
    for (index_t i = 0; i < how.items; ++i) {
      sequence_of(i, vocab, kind, sequence);
      to.add(kind, item_id(i), sequence);
    }
  auto const made = to.commit();
  watch.step("build the catalog", std::to_string(made.items) + " items, " + std::to_string(made.nodes) + " nodes, " +
                                      std::to_string(made.bytes) + " bytes");
  static_cast<void>(search::read_packed_catalog(paths.packed_catalog(), vocab));
  watch.step("check everything");
}

/// A line of /proc/self/smaps_rollup, in MiB.
double mapped_mebibytes(std::string const& name) {
  std::ifstream lines("/proc/self/smaps_rollup");
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(name + ":")) return std::stod(line.substr(name.size() + 1)) / 1024;
  return 0;
}

void answer_requests(catalog::dataset_paths const& paths, shape const& how) {
  stopwatch watch;
  cpu::backend backend(1);
  seq2seq::t5<cpu::backend, float> model(backend, {});  // of the paper's size, with random weights
  seq2seq::initialize(model, 1);
  watch.step("model");
  auto const begin = std::chrono::steady_clock::now();
  auto packed =
      search::read_packed_catalog(paths.packed_catalog(), language::vocabulary(), search::packed_check::header);
  auto tables = packed->tables;
  auto const items = tables.front().items();
  watch.step("open");
  if (how.built) {
    for (auto& table : tables) {
      language::token_table copy(table.kind(), items, table.levels(),
                                 std::vector<item_id>(table.present().begin(), table.present().end()),
                                 std::vector<token_t>(table.tokens().begin(), table.tokens().end()));
      table = std::move(copy);
    }
    packed.reset();
    watch.step("read tokens into memory");
  }
  recommender<> const service(backend, std::move(model), {.vocab = language::vocabulary(), .tasks = tasks::all_tasks()},
                              std::move(tables), {.catalog = {.packed = packed}});
  watch.step("recommender");
  auto session = service.session();
  random_stream random(how.seed, 3);
  std::vector<item_id> history;
  auto const next_history = [&] {
    history.clear();
    for (int i = 0; i < 8; ++i) history.push_back(item_id(random.below(items)));
  };
  next_history();
  auto const first = session.recommend(history);
  double const to_first = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  watch.step("first answer",
             std::to_string(first.size()) + " items, " + std::to_string(to_first) + " s since the model was there");
  std::vector<double> seconds;
  for (index_t n = 0; n < how.requests; ++n) {
    next_history();
    double const before = processor_seconds();
    static_cast<void>(session.recommend(history));
    seconds.push_back(processor_seconds() - before);
  }
  std::ranges::sort(seconds);
  auto const at = [&](double share) { return std::to_string(1e3 * bench::percentile(seconds, share)); };
  watch.step("requests", at(.5) + " ms of the processor at the median, " + at(.95) + " at 95 %");
  std::printf("memory: %.0f MiB of this process alone, %.0f MiB of the file's pages, which others share\n",
              mapped_mebibytes("Private_Dirty"), mapped_mebibytes("Rss") - mapped_mebibytes("Private_Dirty"));
  constexpr index_t changes = 1000;
  stopwatch changing;
  for (index_t n = 0; n < changes; ++n) service.catalog().remove(item_id(random.below(items)));
  std::printf("%td changes: %.1f us each\n", static_cast<std::ptrdiff_t>(changes), 1e6 * changing.seconds() / changes);
  stopwatch merging;
  service.catalog().merge();
  merging.step("merge");
}

/// A command of this program.
struct command {
  char const* name;
  char const* help;
  std::function<void(catalog::dataset_paths const&, shape const&)> run;
};

}  // namespace

int main(int argc, char** argv) {
  std::vector<command> const commands = {
      {"generate", "write DIR/Name.inter.packed, one user after another", generate},
      {"lines", "write DIR/Name.inter-00001-of-00008.jsonl and so on", write_lines},
      {"pack", "what `mql4grec prepare --pack` does", [](auto const& paths, shape const&) { pack(paths); }},
      {"epoch", "open it, find its examples, walk an epoch, write batches", read_epoch},
      {"catalog", "write DIR/Name.catalog.packed, of two modalities", build_catalog},
      {"recommend", "map it and answer requests", answer_requests}};
  CLI::App program("Interactions that are larger than the memory, and catalogs of very many items", "large_data");
  program.require_subcommand(1);
  std::filesystem::path directory;
  shape how;
  auto const count = [](CLI::App* of, char const* name, index_t& value, char const* help = "") {
    of->add_option(name, value, help)->transform(CLI::AsSizeValue(true))->check(CLI::PositiveNumber);
  };
  for (auto const& each : commands) {
    auto* const one = program.add_subcommand(each.name, each.help);
    one->add_option("DIR", directory)->required();
    count(one, "--interactions", how.interactions, "such as 100M");
    count(one, "--items", how.items, "such as 10M");
    count(one, "--parts", how.parts, "files of lines");
    count(one, "--requests", how.requests);
    one->add_flag("--built", how.built, "build the tries in memory in place of mapping them");
    one->add_option("--seed", how.seed);
    one->add_option("--mean-length", how.mean_length, "of a history")->check(CLI::Range(3., 1e6));
  }
  bench::read_options(program, argc, argv);
  how.items = std::min(how.items, item_number_limit);
  try {
    make_directory(directory);
    for (auto const& each : commands)
      if (program.got_subcommand(each.name)) each.run(catalog::dataset_paths(directory), how);
    return 0;
  } catch (error const& e) {
    std::fprintf(stderr, "large_data: %s\n", e.what());
    return 1;
  }
}
