// The lab: data, trainings, evaluations, and the loop that fills a table.
#include "lab.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <ctime>
#include <fstream>
#include <thread>
#include <utility>

#include "commands/evaluation.hpp"
#include "commands/signals.hpp"
#include "commands/training.hpp"
#include "commands/translation.hpp"
#include "mql4grec/catalog/read.hpp"
#include "mql4grec/catalog/synthetic.hpp"
#include "mql4grec/core/array.hpp"
#include "mql4grec/core/checksum.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/core/npy.hpp"
#include "mql4grec/embed/npy_features.hpp"
#include "mql4grec/embed/statistics.hpp"
#include "mql4grec/metrics/bootstrap.hpp"
#include "mql4grec/pipeline/dataset.hpp"
#include "mql4grec/seq2seq/checkpoint.hpp"
#include "report/text.hpp"
#include "translations.hpp"

namespace mql4grec::experiments {

namespace {

using clock = std::chrono::steady_clock;

constexpr std::array modalities = {language::modality::text, language::modality::image};

/// A shop of the built-in catalog: the target first.
struct built_in_shop {
  char const* name;
  index_t number;  ///< of the synthetic dataset
  index_t users;
};
constexpr std::array<built_in_shop, 3> shops = {{{"Kitchen", 3, 1000}, {"Music", 0, 500}, {"Hobby", 1, 500}}};

/// A finished run has this file.
constexpr char const* summary_name = "finished.json";
/// In the directory of the tables, so that whoever removes models keeps it.
constexpr char const* settings_name = "settings.json";
/// The run that measures the time.
constexpr char const* rate_name = "rate";

/// Training on the built-in catalog: a model that two cores train in seconds.
constexpr index_t built_in_examples = 120'000, dataset_examples = 300'000;

/// To be raised when models, their trainings or quantizers change, so that rows of before and after aren't in one
/// table.
constexpr int recipe = 3;

/// The training of a model on real data. A model that is small or sees few examples needs many updates and a higher
/// rate, and doesn't overfit, so that dropout only slows it down; docs/results.md has the comparison.
seq2seq::training_options training_with(index_t examples, seq2seq::model_size const& size) {
  constexpr index_t few = 2'000'000;
  return examples < few || size.widths < 1 ? seq2seq::small_recipe() : seq2seq::fast_recipe();
}

std::string machine() {
  std::ifstream cpus("/proc/cpuinfo");
  for (std::string line; std::getline(cpus, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown processor";
}

std::string today() {
  std::time_t const now = std::time(nullptr);
  char text[16];
  std::strftime(text, sizeof text, "%Y-%m-%d", std::localtime(&now));
  return text;
}

/// The first users of a dataset. The catalog keeps all items.
catalog::interactions with_users(catalog::interactions const& data, index_t users) {
  catalog::interactions out;
  for (index_t u = 0; u < std::min(users, data.users()); ++u)
    out.add_user(data.user_keys[to_size(u)], data.of(user_id(u)));
  out.item_count = data.item_count;
  return out;
}

/// What the results depend on, as far as it is known before the data are read.
json settings_of(lab const& l) {
  auto const& o = l.options();
  json sources = json::array();
  for (auto const& path : o.sources) sources.push_back(catalog::dataset_paths(path).name());
  return {{"dataset", o.dataset.empty() ? "the built-in catalog" : catalog::dataset_paths(o.dataset).name()},
          {"sources", sources},
          {"users", o.users},
          {"examples", l.budget()},
          {"model_size", o.model_size},
          {"recipe", recipe},
          {"backend", o.common.backend},
          {"precision", o.common.precision},
          {"threads", o.common.threads},
          {"version", MQL4GREC_VERSION}};
}

/// Checksums of what the tables read: histories and tokens of each dataset, the target's further text indices, and the
/// features that are quantized.
json checksums_of(lab const& l) {
  json all = json::array();
  auto const add = [&](std::filesystem::path const& path) {
    auto const data = l.read(path);
    all.push_back({data.name, pipeline::detail::checksum_of(data)});
  };
  add(l.target_path());
  for (auto const& path : l.source_paths()) add(path);
  for (auto const& path : text_indices(l)) {
    auto const content = read_file(path);
    all.push_back({path.filename().string(), checksum(std::as_bytes(std::span(content)))});
  }
  if (auto const path = find_features(l))
    all.push_back({path->filename().string(), embed::checksum_of_rows(embed::npy_features(*path))});
  return all;
}

/// Whether the directory has tables or models.
bool has_results(std::filesystem::path const& out) {
  for (auto const& file : std::filesystem::directory_iterator(out))
    if (file.path().extension() == ".csv") return true;
  for (auto const& run : std::filesystem::directory_iterator(out / "runs"))
    if (run.path().filename() != rate_name) return true;
  return false;
}

/// Throws error if the directory has results of other settings, or of settings that are unknown.
void check_settings(std::filesystem::path const& out, json const& settings) {
  auto const path = out / settings_name;
  if (!std::filesystem::exists(path)) {
    expects_file(!has_results(out), path, "is missing, so nobody knows how the results there were computed; give ",
                 "another --out");
    return;
  }
  auto const before = read_json(path);
  for (auto const& [name, value] : settings.items())
    expects_file(before.contains(name) && before.at(name) == value, path, "the results there were computed with ", name,
                 " = ", before.contains(name) ? before.at(name).dump() : "nothing", ", but these options have ",
                 value.dump(), "; give another --out");
}

}  // namespace

std::vector<std::string> recommender_columns() {
  return {"ndcg@10",    "difference",   "difference_low", "difference_high",  "hit@1",
          "hit@10",     "text_ndcg@10", "image_ndcg@10",  "sequence_ndcg@10", "train_loss",
          "valid_loss", "examples",     "seconds"};
}

std::string file_name(std::string const& table, std::vector<std::string> const& key) {
  std::string name = table;
  for (auto const& value : key) {
    name += '-';
    for (char const c : value) name += std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' ? c : '_';
  }
  return name;
}

std::vector<std::filesystem::path> text_indices(lab const& l) {
  catalog::dataset_paths const paths(l.target_path());
  std::vector<std::filesystem::path> found;
  auto const images = pipeline::index_path(paths, language::modality::image);
  for (auto const& file : std::filesystem::directory_iterator(paths.directory())) {
    auto const name = file.path().filename().string();
    if (name.starts_with(paths.name() + ".index_") && name.ends_with(".json") && file.path() != images)
      found.push_back(file.path());
  }
  auto const own = pipeline::index_path(paths, language::modality::text);
  std::ranges::sort(found, {}, [&](auto const& path) { return std::pair(path != own, path); });
  return found;
}

void expect_both_modalities(lab const& l, std::string const& table) {
  for (auto const kind : modalities) {
    auto const index = pipeline::index_path(catalog::dataset_paths(l.target_path()), kind);
    expects(std::filesystem::exists(index), table, ": ", index.string(), " doesn't exist, expected both modalities");
  }
}

void expect_whole_models(lab const& l, std::string const& table) {
  expects(l.options().model_size == "whole", table, ": --model-size ", l.options().model_size,
          ", but the table determines the sizes of its models");
}

tasks::dataset without(tasks::dataset data, language::modality kind) {
  auto& table = data.tokens.at(to_size(kind));
  table = language::token_table(kind, table.items(), table.levels());
  return data;
}

lab::lab(lab_options options, compute const& on, progress_log& log)
    : options_(std::move(options)), compute_(on), log_(log) {
  make_directory(options_.out / "runs");
  auto settings = settings_of(*this);
  check_settings(options_.out, settings);
  if (built_in())
    write_built_in();
  else
    target_ = options_.dataset, sources_ = options_.sources;
  for (auto const& source : sources_)
    expects(
        std::filesystem::absolute(source).lexically_normal() != std::filesystem::absolute(target_).lexically_normal(),
        source.string(), ": is the target, expected other datasets as sources");
  auto all = sources_;
  all.insert(all.begin(), target_);
  vocab_ = pipeline::vocabulary_of(all);
  settings["checksums"] = checksums_of(*this);
  check_settings(options_.out, settings);
  if (!options_.plan_only) write_json(options_.out / settings_name, settings);
}

void lab::write_built_in() {
  auto const path_of = [&](built_in_shop const& shop) { return options_.out / "data" / shop.name; };
  target_ = path_of(shops.front());
  for (std::size_t i = 1; i < shops.size(); ++i) sources_.push_back(path_of(shops[i]));
  auto const done = options_.out / "data" / "complete";
  if (std::filesystem::exists(done)) return;
  for (auto const kind : modalities) {
    auto const name = language::name_of(kind);
    program::translation_request request{.embeddings = {},
                                         .indices = {},
                                         .run = {.out = options_.out / "data" / (name + "-translator"), .kind = kind},
                                         .kmeans = quantize::residual_kmeans_options{.codes = {24, 24, 24, 24}}};
    request.run.model.codes = request.kmeans->codes;
    std::filesystem::remove_all(request.run.out);
    for (auto const& shop : shops) {
      auto const made = catalog::make_synthetic_dataset({.users = shop.users}, shop.number);
      catalog::dataset_paths const files(path_of(shop));
      make_directory(files.directory());
      catalog::write_interactions(files.interactions(), made.interactions);
      catalog::write_items(files.items(), made.items);
      write_npy(files.embeddings(name), view_of(made.features[to_size(kind)]));
      request.embeddings.push_back(files.embeddings(name));
      request.indices.push_back(pipeline::index_path(files, kind));
    }
    static_cast<void>(run_translation(compute_, request, log_));
  }
  write_file(done, "");
}

tasks::dataset lab::read(std::filesystem::path const& dataset) const {
  auto data = pipeline::read_dataset(dataset, vocab_);
  if (options_.users > 0) data.interactions = with_users(data.interactions, options_.users);
  return data;
}

index_t lab::budget() const {
  return options_.examples > 0 ? options_.examples : built_in() ? built_in_examples : dataset_examples;
}

void lab::set_length(pipeline::run_options& run, pipeline::training_data const& data, double examples) const {
  double const replayed = data.replayed.empty() ? 0 : run.replay_share;
  auto const epochs = std::max<double>(std::ceil(examples / examples_of(run, data)), validations);
  auto const updates = examples * (1 + replayed) / epochs / static_cast<double>(run.training.batch_size);
  run.training.epochs = static_cast<index_t>(epochs);
  run.training.epoch_updates = std::max<index_t>(1, std::llround(updates));
}

double lab::examples_of(pipeline::run_options const& run, pipeline::training_data data) const {
  if (run.training_users)
    for (auto& one : data.datasets) catalog::keep_training_users(one.interactions, *run.training_users);
  tasks::training_set const examples(pipeline::mixture_named(run.tasks, {.modality_dropout = run.modality_dropout}),
                                     std::move(data.datasets), data.vocab);
  return static_cast<double>(std::max<index_t>(1, examples.size()));
}

std::vector<std::string> lab::seeds() const {
  std::vector<std::string> out;
  for (index_t s = 1; s <= options_.seeds; ++s) out.push_back(std::to_string(s));
  return out;
}

pipeline::run_options lab::run(std::string const& tasks, index_t seed, seq2seq::model_size const& size) const {
  pipeline::run_options out{.out = {}, .tasks = tasks};
  if (built_in()) {
    constexpr index_t layers = 2;
    out.training = {.batch_size = 64, .learning_rate = 4e-3, .warmup = 0.05, .dropout = 0};
    out.model = seq2seq::resized({.model_width = 64, .head_width = 16, .heads = 4, .inner_width = 256},
                                 {size.name, size.widths, layers});
  } else {
    out.training = training_with(budget(), size);
    out.model = seq2seq::resized({}, size);
  }
  out.training.epochs = 0;
  out.training.patience = 0;
  out.training.seed = static_cast<std::uint64_t>(seed);
  return out;
}

finished_model lab::from_scratch(std::filesystem::path const& dataset, std::string const& tasks, index_t seed) const {
  auto const data = read(dataset);
  return train(file_name("scratch", {data.name, tasks, std::to_string(seed)}), run(tasks, seed), {data});
}

bool lab::is_trained(std::string const& name) const { return std::filesystem::exists(run_path(name) / summary_name); }

std::filesystem::path lab::run_path(std::string const& name) const { return options_.out / "runs" / name; }

finished_model lab::train(std::string const& name, pipeline::run_options run, pipeline::training_data data) const {
  run.out = run_path(name);
  run.resume = true;
  auto const summary = run.out / summary_name;
  if (!is_trained(name)) {
    if (run.training.epochs == 0) set_length(run, data, static_cast<double>(budget()));
    program::rank_of_command alone;
    auto const done = program::train_with_progress(compute_, run, std::move(data), log_, alone);
    if (done.status != train::run_status::finished) throw interruption();
    auto const& p = done.progress;
    auto const& kept = p.history.at(to_size(std::max<std::int64_t>(1, p.best_epoch) - 1));
    write_json(summary, json{{"train_loss", kept.train_loss},
                             {"valid_loss", kept.valid_loss},
                             {"examples", p.examples},
                             {"seconds", p.seconds}});
    std::filesystem::remove(run.out / train::state_file_name);  // three times the size of the model
  }
  auto const saved = read_json(summary);
  auto const number = [&](char const* key) {
    return member_or<double>(saved, key, std::nan(""), summary);  // JSON has no NaN: null
  };
  return {.directory = run.out,
          .train_loss = number("train_loss"),
          .valid_loss = number("valid_loss"),
          .examples = number("examples"),
          .seconds = number("seconds"),
          .parameters = seq2seq::t5_layout(seq2seq::read_t5_config(run.out / "config.json")).size()};
}

pipeline::evaluation lab::evaluate(finished_model const& model, tasks::dataset const& data,
                                   pipeline::evaluation_options const& options) const {
  auto const metadata = pipeline::read_model_metadata(model.directory);
  return program::evaluate_with_progress(
      compute_, {.model = model.directory, .metadata = metadata, .data = data, .options = options}, log_);
}

row_result lab::judge(finished_model const& model, tasks::dataset const& data,
                      pipeline::evaluation_options const& options) const {
  auto const found = evaluate(model, data, options);
  auto const ndcg = [](std::optional<metrics::metric_values> const& m) { return m ? m->ndcg(10) : std::nan(""); };
  auto const hit = [](std::optional<metrics::metric_values> const& m, index_t k) {
    return m ? m->hit(k) : std::nan("");
  };
  auto const& result = found.result;
  row_result out{.values = {{"ndcg@10", ndcg(result.ensemble.item)},
                            {"hit@1", hit(result.ensemble.item, 1)},
                            {"hit@10", hit(result.ensemble.item, 10)},
                            {"text_ndcg@10", ndcg(result.of(language::modality::text).item)},
                            {"image_ndcg@10", ndcg(result.of(language::modality::image).item)},
                            {"sequence_ndcg@10", ndcg(result.ensemble.sequence)},
                            {"train_loss", model.train_loss},
                            {"valid_loss", model.valid_loss},
                            {"examples", model.examples},
                            {"seconds", model.seconds}}};
  for (auto const& place : found.places) out.by_user.push_back(metrics::expected_ndcg(place, 10));
  return out;
}

namespace {

std::filesystem::path by_user_path(std::filesystem::path const& out, table const& of,
                                   std::vector<std::string> const& key) {
  return out / "users" / (file_name(of.about().name, key) + ".npy");
}

void compare_with(row_result& row, std::vector<double> const& base) {
  if (base.empty()) return;
  auto const difference = metrics::bootstrap_difference(row.by_user, base);
  row.values["difference"] = difference.mean;
  row.values["difference_low"] = difference.low;
  row.values["difference_high"] = difference.high;
}

/// Empty if the file is missing.
std::vector<double> read_by_user(std::filesystem::path const& path) {
  if (!std::filesystem::exists(path)) return {};
  npy_file const file(path);
  std::vector<float> values(to_size(file.rows() * file.columns()));
  file.read(0, {values.data(), file.rows(), file.columns()});
  return {values.begin(), values.end()};
}

void write_by_user(std::filesystem::path const& path, std::vector<double> const& by_user) {
  std::vector<float> const values(by_user.begin(), by_user.end());
  write_npy(path, {values.data(), std::ssize(values), 1});
}

}  // namespace

void lab::fill(table& into, std::vector<planned_row> const& plan) {
  auto const started = clock::now();
  auto const earlier = into.seconds();
  auto const& columns = into.about().measured;
  bool const compares = std::ranges::find(columns, "difference") != columns.end();
  make_directory(options_.out / "users");
  print_plan(into, plan);
  for (std::size_t i = 0; i < plan.size(); ++i) {
    auto const& row = plan[i];
    if (into.find(row.key) != nullptr) continue;
    std::string label;
    for (std::size_t k = 0; k < row.key.size(); ++k)
      label += (k > 0 ? ", " : "") + into.about().keys[k] + " " + row.key[k];
    log_.stage(into.about().name + " " + std::to_string(i + 1) + "/" + std::to_string(plan.size()) + ": " + label);
    auto measured = row.measure();
    if (compares && !measured.by_user.empty()) {
      auto const path = by_user_path(options_.out, into, row.key);
      write_by_user(path, measured.by_user);
      measured.by_user = read_by_user(path);  // rounded as the base is, so that equal rows differ by 0
      auto const& base = row.base.empty() ? plan.front().key : row.base;
      if (base != row.key) compare_with(measured, read_by_user(by_user_path(options_.out, into, base)));
    }
    into.add({row.key, std::move(measured.values)});
    into.describe(facts_of(plan, earlier + std::chrono::duration<double>(clock::now() - started).count()));
  }
  if (!into.described()) into.describe(facts_of(plan, earlier));  // for example killed after its last row
}

json lab::facts_of(std::vector<planned_row> const& plan, double seconds) const {
  return {{"command", options_.command},
          {"dataset", built_in() ? "the built-in catalog" : catalog::dataset_paths(target_).name()},
          {"machine", machine()},
          {"date", today()},
          {"seconds", seconds},
          {"planned", plan.size()}};
}

void lab::print_plan(table const& of, std::vector<planned_row> const& plan) {
  index_t missing = 0;
  double seconds = 0;
  for (auto const& row : plan) {
    if (of.find(row.key) != nullptr) continue;
    ++missing;
    seconds += seconds_of(row);
  }
  log_.stage(of.about().name + ": " + of.about().question);
  log_.stage(of.about().name + ": " + program::counted(std::ssize(plan), "row") + ", " +
             std::to_string(std::ssize(plan) - missing) + " done" +
             (missing > 0 ? ", the others take about " + program::clock_time(seconds) : ""));
  log_.begin();
}

double lab::measure_rate() const {
  constexpr std::int64_t last = 5;
  auto options = run("next");
  options.out = run_path(rate_name);
  options.training.epochs = 1'000'000;
  std::filesystem::remove_all(options.out);
  std::clock_t begin = 0, end = 0;  // processor time, so that other work on the machine doesn't count
  std::int64_t updates = 0;
  pipeline::run_observer observer;
  observer.on_step = [&](auto const& p, double, std::int64_t) {
    updates = p.step;
    (updates == 1 ? begin : end) = std::clock();  // the first update includes the cost of first use
  };
  observer.interrupted = [&] { return updates == last; };
  static_cast<void>(compute_.train_model(options, {.datasets = {target()}, .vocab = vocab_}, observer));
  std::filesystem::remove_all(options.out);
  double const threads = static_cast<double>(
      options_.common.threads > 0 ? options_.common.threads : std::max(1u, std::thread::hardware_concurrency()));
  double const seconds = static_cast<double>(end - begin) / CLOCKS_PER_SEC / threads;
  return static_cast<double>((last - 1) * options.training.batch_size) / std::max(1e-3, seconds);
}

double lab::seconds_of(planned_row const& row) {
  constexpr double searches_per_example = 2;  // a beam search takes about as long as two examples of a training
  double const work = row.examples + searches_per_example * row.searches;
  if (work == 0) return 0;
  if (!examples_per_second_) examples_per_second_ = measure_rate();
  return work / *examples_per_second_;
}

}  // namespace mql4grec::experiments
