// The command translate: trains a translator on the features of all files, or takes one that exists, and writes an
// index of tokens per file.
#include "commands.hpp"
#include "mql4grec/core/json.hpp"
#include "options.hpp"
#include "ranks.hpp"
#include "report/text.hpp"
#include "translation.hpp"
#include "warnings.hpp"

namespace mql4grec::program {

namespace {

struct translate_options {
  std::string embeddings, indices, kind = "text", quantizer = "rq-vae", collisions = "reallocate",
                                   normalize = "standard";
  std::filesystem::path report, model;
  index_t levels = 4, codes = 256;
  pipeline::quantizer_run run;
  index_t rotation_rounds = 0;
  common_options common;
  double rank_timeout = default_rank_timeout;
};

json as_json(quantize::capacity_report const& room) {
  json levels = json::array();
  for (auto const& fill : room.levels)
    levels.push_back({{"prefixes", fill.prefixes},
                      {"fullest", fill.fullest},
                      {"mean", fill.mean},
                      {"fullest_share", fill.fullest_share},
                      {"full_share", fill.full_share}});
  return {{"log2_sequences", room.log2_sequences}, {"levels", levels}, {"items_until_full", room.items_until_full}};
}

json as_json(translation_request const& request, std::vector<pipeline::translated_catalog> const& found,
             pipeline::quantizer_run_result const& trained, double variance) {
  json files = json::array();
  index_t items = 0;
  double error = 0;
  for (std::size_t f = 0; f < found.size(); ++f) {
    auto const& one = found[f];
    auto const& c = one.uniqueness;
    files.push_back({{"embeddings", request.embeddings[f].string()},
                     {"index", request.indices[f].string()},
                     {"items", c.items},
                     {"missing", c.missing},
                     {"collision_rate_before", one.collisions_before},
                     {"collision_rate", one.collisions},
                     {"kept", one.kept},
                     {"moved", one.outcome.moved},
                     {"unique", c.unique()},
                     {"reconstruction_error", one.reconstruction_error},
                     {"usage", one.usage},
                     {"capacity", as_json(one.capacity)}});
    index_t const added = c.items - c.missing - one.kept;
    items += added;
    error += one.reconstruction_error * static_cast<double>(added);
  }
  auto const& p = trained.progress;
  json result = {{"quantizer", request.kmeans ? "residual-kmeans" : "rq-vae"}, {"items", items}};
  bool const has_trained = request.model.empty();
  if (!request.kmeans && has_trained) {
    result["epochs"] = p.epoch;
    result["best_epoch"] = p.best_epoch;
  }
  if (has_trained) {
    result["seconds"] = p.seconds;
    result["items_per_second"] = p.seconds > 0 ? static_cast<double>(p.items) / p.seconds : 0.0;
  }
  result["variance"] = variance;
  if (!found.empty()) result["reconstruction_error"] = items > 0 ? error / static_cast<double>(items) : 0.0;
  result["files"] = files;
  return result;
}

std::string as_text(translation_request const& request, std::vector<pipeline::translated_catalog> const& found,
                    double variance) {
  std::string text;
  for (std::size_t f = 0; f < found.size(); ++f) {
    auto const& one = found[f];
    text += request.indices[f].string() + ": " + one.uniqueness.summary();
    if (!request.model.empty())
      text += "\n  " + counted(one.kept, "item") + " with tokens before, which keep them; " +
              grouped(one.uniqueness.items - one.uniqueness.missing - one.kept) + " added";
    text += "\n  collisions before: " + fixed(100 * one.collisions_before, 2) + " %, " +
            counted(one.outcome.moved, "item") + " moved; reconstruction error " + fixed(one.reconstruction_error, 5) +
            " of variance " + fixed(variance, 5) + "\n  codes used:";
    for (auto const& level : one.usage)
      text += " " + std::to_string(level.used) + "/" + std::to_string(level.codes) + " (perplexity " +
              fixed(level.perplexity, 0) + ")";
    text += "\n  the fullest prefix holds " + std::to_string(one.capacity.levels.back().fullest) + " of " +
            std::to_string(one.codes.sizes().back()) + " items\n";
  }
  return text;
}

/// Throws ValidationError for a given option that the quantizer or a translator that exists does not have, and for
/// another number of indices than of features.
void check_options(CLI::App const& command, translate_options const& options) {
  auto const& quantizer = options.quantizer;
  auto const features = paths_of(options.embeddings, "--embeddings"),
             indices = paths_of(options.indices, "--out-index");
  if (features.size() != indices.size())
    throw CLI::ValidationError("--out-index", "names " + counted(std::ssize(indices), "file") + " for " +
                                                  counted(std::ssize(features), "file") +
                                                  " of --embeddings, expected one each");
  bool const has_model = command.get_option("--model")->count() > 0;
  if (!has_model && command.get_option("--out-model")->count() == 0)
    throw CLI::ValidationError("--out-model", "is required, or --model with a translator that exists");
  if (has_model) {
    for (auto const* name :
         {"--out-model", "--quantizer", "--levels", "--codes", "--rotation", "--epochs", "--batch-size", "--lr",
          "--gradient-shards", "--seed", "--normalize", "--evaluate-every", "--max-seconds", "--resume", "--report"})
      if (command.get_option(name)->count() > 0)
        throw CLI::ValidationError(name, "is not an option of a translator that exists (--model)");
    return;
  }
  std::vector<char const*> others = {"--rotation"};
  if (quantizer == "residual-kmeans")
    others = {"--epochs",    "--batch-size",     "--lr",          "--gradient-shards",
              "--normalize", "--evaluate-every", "--max-seconds", "--resume"};
  for (auto const* name : others)
    if (command.get_option(name)->count() > 0)
      throw CLI::ValidationError(name, "is not an option of --quantizer " + quantizer);
}

int translate_on(rank_of_command& rank, translate_options options) {
  bool const speaks = rank.speaks();
  options.common = options_of(rank, options.common);
  auto const compute = open_compute(options.common);
  if (speaks) check_json(options.common);
  options.run.kind = options.kind == "image" ? language::modality::image : language::modality::text;
  options.run.model.codes.assign(static_cast<std::size_t>(options.levels), options.codes);
  options.run.normalize = options.normalize == "none" ? pipeline::normalization_of_features::none
                                                      : pipeline::normalization_of_features::standard;
  translation_request request{.embeddings = paths_of(options.embeddings, "--embeddings"),
                              .indices = paths_of(options.indices, "--out-index"),
                              .run = options.run,
                              .collisions = options.collisions,
                              .model = options.model,
                              .ranks = rank.communicator,
                              .on_update = [&](std::int64_t step) { rank.step = step; }};
  if (options.quantizer == "residual-kmeans")
    request.kmeans = {.codes = options.run.model.codes,
                      .clustering = {.seed = options.run.options.seed},
                      .rotation_rounds = options.rotation_rounds};
  if (speaks)
    for (auto const& path : request.indices) check_writable(path);
  if (speaks && !options.report.empty()) check_writable(options.report);
  progress_log log({.quiet = options.common.quiet});
  warn_of_precision(*compute, log);
  auto const finished =
      options.model.empty() ? run_translation(*compute, request, log) : run_addition(*compute, request, log);
  log.clear();
  if (finished.trained.status == train::run_status::interrupted) return interrupted_by_signal;
  if (!speaks) return done;
  if (finished.trained.status == train::run_status::out_of_time) {
    put_result(options.common, as_json(request, {}, finished.trained, finished.variance), "");
    return done;
  }
  put_result(options.common, as_json(request, finished.catalogs, finished.trained, finished.variance),
             as_text(request, finished.catalogs, finished.variance));
  if (!options.report.empty()) write_report(options.report, translation_report(request, finished));
  return done;
}

int translate_command(CLI::App const& command, translate_options const& options) {
  check_options(command, options);
  return on_ranks([&](rank_of_command& rank) { return translate_on(rank, options); }, options.rank_timeout);
}

}  // namespace

void add_translate(CLI::App& program, int& status) {
  auto const options = std::make_shared<translate_options>();
  auto& o = *options;
  auto& command = *program.add_subcommand("translate", "learn a translator on features and write every item's tokens");
  command
      .add_option("--embeddings", o.embeddings,
                  "features, .npy files with a row an item, one a catalog, separated by commas")
      ->required();
  command.add_option("--modality", o.kind, "text or image: whose prefixes the tokens get")
      ->check(CLI::IsMember({"text", "image"}))
      ->required();
  command.add_option("--out-model", o.run.out, "directory of the translator and of its run");
  command.add_option("--model", o.model,
                     "directory of a translator that exists: it gives tokens to the items that --out-index does not "
                     "contain yet; the others keep theirs");
  command
      .add_option("--out-index", o.indices,
                  "index files, one for each of --embeddings; replaced, or with --model extended")
      ->required();
  command
      .add_option(
          "--quantizer", o.quantizer,
          "rq-vae: a neural network and codebooks; residual-kmeans: k-means on the features level by level, in seconds")
      ->check(CLI::IsMember({"rq-vae", "residual-kmeans"}))
      ->capture_default_str();
  command.add_option("--levels", o.levels, "codes an item")->check(CLI::Range(1, 26))->capture_default_str();
  command.add_option("--codes", o.codes, "codes to choose from at each level")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  command
      .add_option("--rotation", o.rotation_rounds,
                  "residual-kmeans: rounds at most that turn the features towards their codes")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  command.add_option("--epochs", o.run.options.epochs, "rq-vae: epochs")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  command.add_option("--batch-size", o.run.options.training.batch_size, "rq-vae: items in an update")
      ->check(CLI::Range(1, 1 << 24))
      ->capture_default_str();
  command.add_option("--lr", o.run.options.training.learning_rate, "rq-vae: learning rate")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command
      .add_option(
          "--gradient-shards", o.run.options.training.gradient_shards,
          "rq-vae: parts of a batch whose gradients are added in a fixed order, to the same bits for any number "
          "of ranks and threads; 0: one for each thread of each of several ranks")
      ->check(CLI::Range(0, 1 << 16))
      ->capture_default_str();
  command.add_option("--seed", o.run.options.seed, "of parameters, order, samples and first codes")
      ->capture_default_str();
  command.add_option("--collisions", o.collisions, "what to do with items that share all codes")
      ->check(CLI::IsMember({"reallocate", "match", "suffix", "none"}))
      ->capture_default_str();
  command
      .add_option("--normalize", o.normalize,
                  "rq-vae: standard learns features with mean 0 and variance 1, none as they are")
      ->check(CLI::IsMember({"standard", "none"}))
      ->capture_default_str();
  command
      .add_option("--evaluate-every", o.run.options.evaluate_every,
                  "rq-vae: epochs from one look at the whole catalog to the next")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  command
      .add_option("--max-seconds", o.run.limits.max_seconds, "rq-vae: stop training after so long; --resume goes on")
      ->check(CLI::PositiveNumber);
  command.add_flag("--resume", o.run.resume,
                   "rq-vae: go on with the run in --out-model, to the same bits; start it if there is none");
  command.add_option("--report", o.report, "write a report as one HTML file");
  add_rank_timeout(command, o.rank_timeout);
  add_common_options(command, o.common);
  command.callback([options, &command, &status] { status = translate_command(command, *options); });
}

}  // namespace mql4grec::program
