// The command demo: everything on the built-in catalog, from raw files to a report. Three shops write ratings, metadata
// and pictures; they are prepared, embedded by small random encoders and translated together. A model is pre-trained on
// two of them, fine-tuned on the third, and evaluated next to popularity.
#include <cmath>

#include "commands.hpp"
#include "embedding.hpp"
#include "evaluation.hpp"
#include "mql4grec/catalog/raw/prepare.hpp"
#include "mql4grec/catalog/raw/synthetic_raw.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/embed/encoder/random_checkpoint.hpp"
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

#if MQL4GREC_HAS_RAW && MQL4GREC_HAS_IMAGES && MQL4GREC_HAS_UTF8PROC

constexpr index_t codes_of_level = 24;

/// One of the shops of the demo, whose names are those of no real dataset.
struct demo_shop {
  char const* name;
  index_t number;  ///< of the synthetic dataset
  index_t users;
};
constexpr std::array<demo_shop, 3> shops = {{{"Music", 0, 500}, {"Hobby", 1, 500}, {"Kitchen", 3, 1000}}};
constexpr std::size_t target_shop = 2;  ///< the others are the sources of the pre-training

/// The files of the demo.
struct demo_files {
  std::filesystem::path out;

  std::filesystem::path raw(demo_shop const& shop) const { return out / "raw" / shop.name; }
  std::filesystem::path dataset(demo_shop const& shop) const { return out / shop.name; }
  std::filesystem::path encoder(language::modality kind) const { return out / "encoders" / language::name_of(kind); }
  std::filesystem::path features(demo_shop const& shop, language::modality kind) const {
    return catalog::dataset_paths(dataset(shop)).embeddings(language::name_of(kind));
  }
  std::filesystem::path translator(language::modality kind) const {
    return out / (language::name_of(kind) + "-translator");
  }
};

constexpr std::array modalities = {language::modality::text, language::modality::image};

/// A model that two cores train in seconds. Only its size, the number of epochs and the batch size differ from the
/// paper.
pipeline::run_options demo_run(std::filesystem::path const& out, index_t epochs) {
  return {.out = out,
          .training = {.epochs = epochs, .batch_size = 64, .learning_rate = 4e-3, .warmup = 0.05, .dropout = 0},
          .model = {.model_width = 64,
                    .head_width = 16,
                    .heads = 4,
                    .inner_width = 256,
                    .encoder_layers = 2,
                    .decoder_layers = 2}};
}

/// Removes the runs of an earlier demo. Other runs remain, and training refuses to overwrite them.
void remove_earlier_demo(demo_files const& files) {
  if (!std::filesystem::exists(files.out / "Kitchen" / "Kitchen.inter.json")) return;
  for (auto const* run : {"text-translator", "image-translator", "pretrained", "model"})
    for (auto const* name : {train::state_file_name, "model.safetensors"})
      std::filesystem::remove(files.out / run / name);
  for (auto const& shop : shops)
    for (auto const kind : modalities) std::filesystem::remove(files.features(shop, kind).string() + ".state.json");
}

/// Raw files of a shop, and the dataset directory that prepare makes of them.
void prepare_shop(demo_files const& files, demo_shop const& shop, progress_log& log) {
  auto const raw = catalog::write_synthetic_raw(
      files.raw(shop),
      {.catalog = {.users = shop.users, .missing_text = 0.02, .missing_image = 0.02}, .dataset_number = shop.number});
  auto const prepared =
      catalog::prepare_dataset({.ratings = {raw.ratings}, .metadata = {raw.metadata}, .images = raw.images});
  catalog::write_dataset(files.dataset(shop), prepared);
  auto const& s = prepared.statistics;
  log.stage(std::string(shop.name) + ": " + counted(s.raw_ratings, "rating") + " and " + counted(s.raw_items, "item") +
            " in raw files; " + grouped(s.users) + " users, " + grouped(s.items) + " items, " +
            grouped(s.interactions) + " interactions remain");
}

/// Small encoders with random weights, whose vocabulary is the words of all shops.
void write_encoders(demo_files const& files) {
  std::vector<std::string> texts;
  for (auto const& shop : shops)
    for (auto const& [item, description] : catalog::read_items(catalog::dataset_paths(files.dataset(shop)).items()))
      for (auto const& text : {description.title, description.description}) texts.push_back(text);
  embed::write_random_bert(files.encoder(language::modality::text), texts);
  embed::write_random_clip(files.encoder(language::modality::image));
}

void embed_shop(compute const& compute, demo_files const& files, demo_shop const& shop, progress_log& log) {
  for (auto const kind : modalities) {
    embedding_request const request{.dataset = files.dataset(shop),
                                    .encoder = files.encoder(kind),
                                    .images = files.raw(shop) / "pictures",
                                    .out = files.features(shop, kind),
                                    .kind = kind};
    if (embed_with_progress(compute, request, log).status == train::run_status::interrupted) leave_if_interrupted();
  }
}

/// The translation of one modality: a translator that trains in seconds, for the items of all shops.
translation_request demo_translation(demo_files const& files, language::modality kind) {
  translation_request request{
      .embeddings = {},
      .indices = {},
      .run = {.out = files.translator(kind),
              .kind = kind,
              .model = {.hidden = {256, 128},
                        .latent_width = 16,
                        .codes = {codes_of_level, codes_of_level, codes_of_level, codes_of_level}},
              .options = {.training = {.batch_size = 256}, .epochs = 150}}};
  for (auto const& shop : shops) {
    request.embeddings.push_back(files.features(shop, kind));
    request.indices.push_back(pipeline::index_path(catalog::dataset_paths(files.dataset(shop)), kind));
  }
  return request;
}

std::string example_text(shown_example const& example) {
  auto const last = example.history.size() - std::min<std::size_t>(3, example.history.size());
  std::string text = "\nUser " + example.user + " interacted with";
  for (std::size_t i = last; i < example.history.size(); ++i)
    text += (i == last ? " " : ", then ") + example.history[i].title;
  text += "\n";
  auto const& best = example.ensemble().best;
  for (std::size_t i = 0; i < best.size(); ++i) {
    auto const& [item, score, hit] = best[i];
    text += "  " + std::to_string(i + 1) + ". " + item.title + (hit ? "   <- the next interaction" : "") + "\n";
  }
  if (example.place == 0 || static_cast<std::size_t>(example.place) > best.size())
    text += "     next interaction: " + example.target.title +
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

/// Trains with progress; ends the program when a signal arrives.
pipeline::run_result train_or_leave(compute const& compute, pipeline::run_options const& run,
                                    pipeline::training_data data, progress_log& log) {
  rank_of_command alone;
  auto result = train_with_progress(compute, run, std::move(data), log, alone);
  if (result.status == train::run_status::interrupted) leave_if_interrupted();
  return result;
}

int demo(demo_options& options) {
  auto const compute = open_compute(options.common);
  check_json(options.common);
  progress_log log({.quiet = options.common.quiet});
  warn_of_precision(*compute, log);
  demo_files const files{options.out};
  remove_earlier_demo(files);
  for (auto const& shop : shops) prepare_shop(files, shop, log);
  write_encoders(files);
  for (auto const& shop : shops) embed_shop(*compute, files, shop, log);
  std::vector<shown_translation> translations;
  for (auto const kind : modalities) {
    auto const request = demo_translation(files, kind);
    auto const translated = run_translation(*compute, request, log);
    if (translated.trained.status == train::run_status::interrupted) leave_if_interrupted();
    translations.push_back(shown_of(request, translated));
  }

  std::vector<index_t> const codes(4, codes_of_level);
  language::vocabulary const vocab(
      {.modalities = {{"a", codes}, {"A", codes}}});  // shops of 400 items need no 256 codes a level
  std::vector<tasks::dataset> sources;
  for (std::size_t i = 0; i < target_shop; ++i)
    sources.push_back(pipeline::read_dataset(files.dataset(shops[i]), vocab));
  auto const data = pipeline::read_dataset(files.dataset(shops[target_shop]), vocab);
  auto pretraining = demo_run(options.out / "pretrained", 1);
  pretraining.tasks = "next";
  for (auto const& source : sources) log.stage(summary(source));
  train_or_leave(*compute, pretraining, {.datasets = std::move(sources), .vocab = vocab}, log);
  auto run = demo_run(options.out / "model", 3);
  run.init = pretraining.out;
  log.stage(summary(data));
  auto const trained = train_or_leave(*compute, run, {.datasets = {data}, .vocab = vocab}, log);

  pipeline::evaluation_options const defaults;
  auto const metadata = pipeline::read_model_metadata(run.out);
  evaluation_inputs const inputs{.model = run.out, .metadata = metadata, .data = data, .options = defaults};
  auto const found = evaluate_with_progress(*compute, inputs, log);
  log.clear();
  auto const popular = evaluate_popularity(data, defaults).value();  // the built-in shop's users all have a target
  auto rows = rows_of(found.result);
  rows.push_back({"popularity", popular});
  auto const report_path = options.out / "report.html";
  auto pictures = pictures_in(files.raw(shops[target_shop]) / "pictures", files.dataset(shops[target_shop]));
  auto page = evaluation_report_of(inputs, found, rows, std::move(pictures));
  page.facts.emplace(page.facts.begin() + 2, "Encoders",
                     "small, with random weights: items that share words or colors get similar features");
  page.translations = std::move(translations);
  write_report(report_path, page);

  auto text = headline(found.result) + metric_table(rows) + verdict(found.result.ensemble.sequence.value(), popular);
  for (std::size_t i = 0; i < std::min<std::size_t>(3, page.examples.size()); ++i)
    text += example_text(page.examples[i]);
  put_result(options.common, as_json(found, popular, trained.progress, report_path), text);
  return done;
}

#else

int demo(demo_options&) {
  raise(
      "demo needs zlib, simdjson, gumbo, libjpeg, libpng, libwebp and utf8proc, which this program was built without");
}

#endif

}  // namespace

void add_demo(CLI::App& program, int& status) {
  auto const options = std::make_shared<demo_options>();
  auto& command = *program.add_subcommand(
      "demo", "everything on the built-in catalog, from raw files to a report; a minute at most");
  command.add_option("--out", options->out, "directory for the dataset, the model and report.html")
      ->capture_default_str();
  add_common_options(command, options->common);
  command.callback([options, &status] { status = demo(*options); });
}

}  // namespace mql4grec::program
