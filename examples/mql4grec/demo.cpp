// Everything on the built-in catalogue: a dataset directory, a small model, its evaluation beside popularity, a report.
#include <cmath>

#include "commands.hpp"
#include "evaluation.hpp"
#include "mql4grec/catalog/synthetic.hpp"
#include "mql4grec/language/translate.hpp"
#include "mql4grec/metrics/json.hpp"
#include "report.hpp"
#include "signals.hpp"
#include "training.hpp"

namespace mql4grec::program {

namespace {
struct demo_options {
  std::filesystem::path out = "mql4grec-demo";
  common_options common;
};

/// A model that two cores can teach in a minute or two; everything but its size is as in the paper.
run_options demo_run(std::filesystem::path const& out) {
  return {
      .out = out,
      .training = {.epochs = 6, .batch_size = 256, .learning_rate = 3e-3, .warmup = 0.05, .dropout = 0.05},
      .model = {.model_width = 64, .head_width = 16, .heads = 4, .inner_width = 256, .encoder_layers = 2, .decoder_layers = 2}};
}

/// A dataset directory like any other: all commands can read it.
std::filesystem::path write_catalogue(std::filesystem::path const& out, vocabulary const& words) {
  auto const shop = make_synthetic_domain({}, 3);  // the kitchen shop: no name of a real dataset
  auto const directory = out / shop.name;
  dataset_paths const paths(directory);
  make_directory(directory);
  for (auto const& [kind, path] : {std::pair(modality::text, paths.text_index()), {modality::image, paths.image_index()}})
    write_token_table(path, translate(view_of(shop.codes[static_cast<std::size_t>(kind)]), words, kind), words);
  write_items(paths.items(), shop.items);
  write_interactions(paths.interactions(), shop.histories);
  return directory;
}

/// A demo that ran here before is replaced; a run that isn't the demo's stays, and training refuses to touch it.
void forget_earlier_demo(std::filesystem::path const& out) {
  if (!std::filesystem::exists(out / "Kitchen" / "Kitchen.inter.json")) return;
  for (auto const* name : {"training.safetensors", "model.safetensors"}) std::filesystem::remove(out / "model" / name);
}

std::string example_text(shown_example const& example) {
  auto const last = example.history.size() - std::min<std::size_t>(3, example.history.size());
  std::string text = "\nUser " + example.user + " took";
  for (std::size_t i = last; i < example.history.size(); ++i) text += (i == last ? " " : ", then ") + example.history[i];
  text += "\n";
  for (std::size_t i = 0; i < example.best.size(); ++i) {
    auto const& [title, score, hit] = example.best[i];
    text += "  " + std::to_string(i + 1) + ". " + title + (hit ? "   <- taken next" : "") + "\n";
  }
  if (example.place == 0 || static_cast<std::size_t>(example.place) > example.best.size())
    text += "     taken next: " + example.target + (example.place > 0 ? ", place " + std::to_string(example.place) : "") + "\n";
  return text;
}

std::string verdict(metric_values const& ours, metric_values const& popular) {
  return "The next item is among the first ten for " + fixed(100 * ours.hit10, 1) + "% of the users, with popularity for " +
         fixed(100 * popular.hit10, 1) + "%" +
         (popular.hit10 > 0 ? ": " + fixed(ours.hit10 / popular.hit10, 0) + " times as often" : "") + ".\n";
}

json as_json(evaluation const& found, metric_values const& popular, training_progress const& p,
             std::filesystem::path const& report_path) {
  json result = found.result;
  result["popularity"] = popular;
  result["epochs"] = p.epoch;
  result["best_epoch"] = p.best_epoch;
  result["training_seconds"] = p.seconds;
  result["report"] = report_path.string();
  return result;
}

int demo(demo_options& options) {
  check_build(options.common);
  check_json(options.common);
  progress_log log(options.common.quiet);
  vocabulary const words;
  forget_earlier_demo(options.out);
  auto const directory = write_catalogue(options.out, words);
  auto const data = read_dataset(directory, words);
  auto const run = demo_run(options.out / "model");
  log.stage(summary(data));
  auto const trained = train_with_progress(run, options.common.threads, {data.data}, words, log);
  if (trained.end == ending::interrupted) leave_if_interrupted();

  evaluation_options const asked;
  auto const found = evaluate_with_progress(run.out, data, read_model_card(run.out), asked, options.common.threads, log);
  log.clear();
  auto const popular = evaluate_popularity(data, asked);
  auto rows = rows_of(found.result);
  rows.push_back({"popularity", popular});
  auto const report_path = options.out / "report.html";
  write_report(report_path, evaluation_report(data, run.out, found, rows, asked));

  auto text = headline(found.result) + metric_table(rows) + verdict(found.result.ensemble, popular);
  for (auto const& example : examples_of(data, found, asked, 3)) text += example_text(example);
  put_result(options.common, as_json(found, popular, trained.progress, report_path), text);
  return done;
}
}  // namespace

void add_demo(CLI::App& program, int& status) {
  auto const options = std::make_shared<demo_options>();
  auto& command = *program.add_subcommand("demo", "everything on the built-in catalogue, with a report; two minutes or so");
  command.add_option("--out", options->out, "directory for the dataset, the model and report.html")->capture_default_str();
  add_common_options(command, options->common);
  command.callback([options, &status] { status = demo(*options); });
}

}  // namespace mql4grec::program
