// The command demo: everything on the built-in catalog. Features, a translator per modality, a small model, its
// evaluation next to popularity, a report.
#include <cmath>

#include "commands.hpp"
#include "evaluation.hpp"
#include "mql4grec/catalog/synthetic.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/core/npy.hpp"
#include "mql4grec/metrics/json.hpp"
#include "options.hpp"
#include "report/text.hpp"
#include "signals.hpp"
#include "training.hpp"
#include "translation.hpp"
#include "warnings.hpp"

namespace mql4grec::program {

namespace {
struct demo_options {
  std::filesystem::path out = "mql4grec-demo";
  common_options common;
};

constexpr index_t codes_of_level = 24;

/// A model that two cores train in seconds. Only its size, the number of epochs and the batch size differ from the
/// paper.
pipeline::run_options demo_run(std::filesystem::path const& out) {
  return {.out = out,
          .training = {.epochs = 3, .batch_size = 64, .learning_rate = 4e-3, .warmup = 0.05, .dropout = 0},
          .model = {.model_width = 64,
                    .head_width = 16,
                    .heads = 4,
                    .inner_width = 256,
                    .encoder_layers = 2,
                    .decoder_layers = 2}};
}

/// The files of a dataset directory that exist before the translation: interactions, titles, features.
std::filesystem::path write_catalog(std::filesystem::path const& out) {
  auto const shop = catalog::make_synthetic_dataset({.users = 1000}, 3);  // the kitchen shop: no name of a real dataset
  auto const directory = out / shop.name;
  catalog::dataset_paths const paths(directory);
  make_directory(directory);
  write_npy(paths.embeddings("text"), view_of(shop.features.at(0)));
  write_npy(paths.embeddings("image"), view_of(shop.features.at(1)));
  catalog::write_items(paths.items(), shop.items);
  catalog::write_interactions(paths.interactions(), shop.interactions);
  return directory;
}

/// The translation of one modality: a translator that trains in seconds, with codebooks for 400 items.
translation_request demo_translation(std::filesystem::path const& out, std::filesystem::path const& directory,
                                     language::modality kind) {
  catalog::dataset_paths const paths(directory);
  return {.embeddings = {paths.embeddings(language::name_of(kind))},
          .indices = {pipeline::index_path(paths, kind)},
          .run = {.out = out / (language::name_of(kind) + "-translator"),
                  .kind = kind,
                  .model = {.hidden = {256, 128},
                            .latent_width = 16,
                            .codes = {codes_of_level, codes_of_level, codes_of_level, codes_of_level}},
                  .options = {.training = {.batch_size = 128}, .epochs = 150}}};
}

/// Removes the runs of an earlier demo. Other runs remain, and training refuses to overwrite them.
void remove_earlier_demo(std::filesystem::path const& out) {
  if (!std::filesystem::exists(out / "Kitchen" / "Kitchen.inter.json")) return;
  for (auto const* run : {"text-translator", "image-translator", "model"})
    for (auto const* name : {train::state_file_name, "model.safetensors"}) std::filesystem::remove(out / run / name);
}

std::string example_text(shown_example const& example) {
  auto const last = example.history.size() - std::min<std::size_t>(3, example.history.size());
  std::string text = "\nUser " + example.user + " interacted with";
  for (std::size_t i = last; i < example.history.size(); ++i)
    text += (i == last ? " " : ", then ") + example.history[i];
  text += "\n";
  for (std::size_t i = 0; i < example.best.size(); ++i) {
    auto const& [title, score, hit] = example.best[i];
    text += "  " + std::to_string(i + 1) + ". " + title + (hit ? "   <- the next interaction" : "") + "\n";
  }
  if (example.place == 0 || static_cast<std::size_t>(example.place) > example.best.size())
    text += "     next interaction: " + example.target +
            (example.place > 0 ? ", place " + std::to_string(example.place) : "") + "\n";
  return text;
}

std::string verdict(metrics::metric_values const& ours, metrics::metric_values const& popular) {
  double const hit = ours.hit(10), popular_hit = popular.hit(10);
  return "The next item is among the first ten for " + fixed(100 * hit, 1) + "% of the users, with popularity for " +
         fixed(100 * popular_hit, 1) + "%" +
         (popular_hit > 0 ? ": " + fixed(hit / popular_hit, 0) + " times as often" : "") + ".\n";
}

json as_json(pipeline::evaluation const& found, metrics::metric_values const& popular,
             seq2seq::training_progress const& p, std::filesystem::path const& report_path) {
  json result = found.result;
  result["popularity"] = popular;
  result["epochs"] = p.epoch;
  result["best_epoch"] = p.best_epoch;
  result["training_seconds"] = p.seconds;
  result["report"] = report_path.string();
  return result;
}

int demo(demo_options& options) {
  auto const compute = open_compute(options.common);
  check_json(options.common);
  progress_log log({.quiet = options.common.quiet});
  warn_of_precision(*compute, log);
  std::vector<index_t> const codes(4, codes_of_level);
  language::vocabulary const vocab(
      {.modalities = {{"a", codes}, {"A", codes}}});  // a shop of 400 items needs no 256 codes a level
  remove_earlier_demo(options.out);
  auto const directory = write_catalog(options.out);
  std::vector<shown_translation> translations;
  for (auto const kind : {language::modality::text, language::modality::image}) {
    auto const request = demo_translation(options.out, directory, kind);
    auto const translated = run_translation(*compute, request, log);
    if (translated.trained.status == train::run_status::interrupted) leave_if_interrupted();
    translations.push_back(shown_of(request, translated));
  }
  auto const data = pipeline::read_dataset(directory, vocab);
  auto const run = demo_run(options.out / "model");
  log.stage(summary(data));
  auto const trained = train_with_progress(*compute, run, {.datasets = {data}, .vocab = vocab}, log);
  if (trained.status == train::run_status::interrupted) leave_if_interrupted();

  pipeline::evaluation_options const defaults;
  auto const metadata = pipeline::read_model_metadata(run.out);
  evaluation_inputs const inputs{.model = run.out, .metadata = metadata, .data = data, .options = defaults};
  auto const found = evaluate_with_progress(*compute, inputs, log);
  log.clear();
  auto const popular = evaluate_popularity(data, defaults).value();  // the built-in shop's users all have a target
  auto rows = rows_of(found.result);
  rows.push_back({"popularity", popular});
  auto const report_path = options.out / "report.html";
  auto page = evaluation_report_of(inputs, found, rows);
  page.translations = std::move(translations);
  write_report(report_path, page);

  auto text = headline(found.result) + metric_table(rows) + verdict(found.result.ensemble.sequence.value(), popular);
  for (auto const& example : examples_of(data, found, defaults, 3)) text += example_text(example);
  put_result(options.common, as_json(found, popular, trained.progress, report_path), text);
  return done;
}
}  // namespace

void add_demo(CLI::App& program, int& status) {
  auto const options = std::make_shared<demo_options>();
  auto& command =
      *program.add_subcommand("demo", "everything on the built-in catalog, with a report; a minute at most");
  command.add_option("--out", options->out, "directory for the dataset, the model and report.html")
      ->capture_default_str();
  add_common_options(command, options->common);
  command.callback([options, &status] { status = demo(*options); });
}

}  // namespace mql4grec::program
