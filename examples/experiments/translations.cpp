// Quantizers of the tables.
#include "translations.hpp"

#include <algorithm>
#include <chrono>

#include "commands/translation.hpp"
#include "mql4grec/core/files.hpp"

namespace mql4grec::experiments {

namespace {

/// The quantizer's directory, options and features.
program::translation_request request_of(lab const& l, translation const& from) {
  program::translation_request request{.embeddings = {from.features}, .indices = {}, .run = {}, .collisions = "none"};
  auto& run = request.run;
  run.out = l.run_path(from.name);
  run.kind = language::modality::text;
  run.model.codes = from.codes;
  run.model.hidden = l.built_in() ? std::vector<index_t>{128, 64} : std::vector<index_t>{512, 256, 128};
  if (l.built_in()) run.model.latent_width = 16;
  auto const seed = static_cast<std::uint64_t>(from.seed);
  run.options = {.training = {.batch_size = l.built_in() ? 128 : 1024}, .epochs = 150, .seed = seed};
  run.resume = true;
  if (from.quantizer == "residual k-means")
    request.kmeans = quantize::residual_kmeans_options{.codes = from.codes, .clustering = {.seed = seed}};
  return request;
}

void learn(lab const& l, translation const& from) {
  auto const finished = l.run_path(from.name) / "finished";
  if (std::filesystem::exists(finished)) return;
  auto request = request_of(l, from);
  if (request.kmeans) std::filesystem::remove_all(request.run.out);  // it is fitted in one call
  make_directory(request.run.out);
  request.indices = {request.run.out / "index.json"};
  auto const done = run_translation(l.on(), request, l.log());
  if (done.trained.status != train::run_status::finished) throw interruption();
  write_file(finished, "");
}

}  // namespace

std::optional<std::filesystem::path> find_features(lab const& l) {
  catalog::dataset_paths const files(l.target_path());
  if (l.built_in()) return files.embeddings(language::name_of(language::modality::text));
  std::vector<std::filesystem::path> found;
  for (auto const& file : std::filesystem::directory_iterator(l.target_path())) {
    auto const name = file.path().filename().string();
    if (name.starts_with(files.name() + ".emb-") && file.path().extension() == ".npy") found.push_back(file.path());
  }
  return found.empty() ? std::nullopt : std::optional(std::ranges::min(found));
}

std::filesystem::path features_of(lab const& l) {
  auto const found = find_features(l);
  expects(found.has_value(), catalog::dataset_paths(l.target_path()).embeddings("<encoder>").string(),
          ": there is no such file, expected the features of items");
  return *found;
}

translated_target translate(lab const& l, translation const& from) {
  learn(l, from);
  auto request = request_of(l, from);
  request.model = request.run.out;
  request.collisions = from.collisions;
  request.indices = {request.run.out / ("index-" + from.collisions + ".json")};
  std::filesystem::remove(request.indices.front());  // its items would keep their codes
  auto const started = std::chrono::steady_clock::now();
  auto done = run_addition(l.on(), request, l.log());
  return {.catalog = std::move(done.catalogs.front()),
          .variance = done.variance,
          .seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count()};
}

pipeline::training_data with_codes(lab const& l, quantize::code_table const& codes) {
  auto const vocab = pipeline::vocabulary_for(language::modality::text, codes.sizes());
  auto data = l.target();
  expects(codes.items() >= data.interactions.item_count, "features of ", codes.items(),
          " items, expected those of all ", data.interactions.item_count);
  data.interactions.item_count = codes.items();
  data.tokens = {language::to_tokens(codes.all(), vocab, language::modality::text),
                 language::token_table(language::modality::image, codes.items(), 1)};
  return {.datasets = {std::move(data)}, .vocab = vocab};
}

index_t codes_of_level(lab const& l) { return l.built_in() ? 16 : 256; }

std::string text_of(std::vector<index_t> const& codes) {
  if (std::ranges::count(codes, codes.front()) == std::ssize(codes))
    return std::to_string(codes.size()) + " × " + std::to_string(codes.front());
  std::string text;
  for (auto const k : codes) text += (text.empty() ? "" : ", ") + std::to_string(k);
  return text;
}

std::vector<std::string> translation_columns() {
  return {"collision_rate_nearest", "collision_rate", "moved", "error", "codes_used"};
}

void add_measurements(row_result& row, translated_target const& from) {
  auto const& c = from.catalog;
  double used = 0, all = 0;
  for (auto const& level : c.usage) {
    used += static_cast<double>(level.used);
    all += static_cast<double>(level.codes);
  }
  row.values["collision_rate_nearest"] = c.collisions_before;
  row.values["collision_rate"] = c.collisions;
  row.values["moved"] = static_cast<double>(c.outcome.moved) / static_cast<double>(c.uniqueness.items);
  row.values["error"] = c.reconstruction_error / from.variance;
  row.values["codes_used"] = used / all;
}

}  // namespace mql4grec::experiments
