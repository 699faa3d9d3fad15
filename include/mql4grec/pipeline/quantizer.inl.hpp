#pragma once
// Definitions of what pipeline/quantizer.hpp declares and isn't a template.
#include <algorithm>
#include <cmath>

#include "mql4grec/core/checksum.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/pipeline/quantizer.hpp"

namespace mql4grec::pipeline {

MQL4GREC_DEFINITION quantizer_description read_quantizer_description(std::filesystem::path const& directory) {
  auto const path = directory / "translator.json";
  auto const content = read_json(path);
  auto const quantizer = member<std::string>(content, "quantizer", path);
  expects_file(quantizer == "rq-vae" || quantizer == "residual-kmeans", path, "key 'quantizer': found '", quantizer,
               "', expected rq-vae or residual-kmeans");
  auto const modality = member<std::string>(content, "modality", path);
  quantizer_description out{
      .quantizer = quantizer == "rq-vae" ? quantizer_kind::rq_vae : quantizer_kind::residual_kmeans,
      .kind = language::modality::text,
      .input_width = member<index_t>(content, "input_width", path),
      .codes = member<std::vector<index_t>>(content, "codes", path)};
  constexpr index_t modalities = 26, most_codes = 1 << 20;
  index_t m = 0;
  while (m < modalities && language::name_of(language::modality(m)) != modality) ++m;
  expects_file(m < modalities, path, "key 'modality': found '", modality, "', expected text or image");
  out.kind = language::modality(m);
  expects_file(out.input_width > 0, path, "key 'input_width': found ", out.input_width, ", expected more than 0");
  auto const in_range = [](index_t k) { return k >= 1 && k <= most_codes; };
  expects_file(!out.codes.empty() && out.codes.size() <= 26 && std::ranges::all_of(out.codes, in_range), path,
               "key 'codes': expected 1 to 26 levels of 1 to ", most_codes, " codes");
  return out;
}

namespace detail {

MQL4GREC_DEFINITION embed::feature_scaling scaling_for(quantizer_run const& run,
                                                       embed::feature_statistics const& seen) {
  if (run.normalize == normalization_of_features::none) return {std::vector<float>(seen.mean.size(), 0.f), 1.f};
  embed::feature_scaling how{{}, static_cast<float>(1 / std::sqrt(seen.variance))};
  for (double const m : seen.mean) how.mean.push_back(static_cast<float>(m));
  return how;
}

/// The condition of a run that is about the values of the features.
inline constexpr char const* values_condition = "values_of_features";

MQL4GREC_DEFINITION std::map<std::string, std::string> quantizer_resume_reasons() {
  return {{values_condition, "checksums of all rows of the features"}};
}

MQL4GREC_DEFINITION train::run_description describe(quantizer_run const& run, rows_of_run const& rows,
                                                    train::backend_settings const& backend, index_t workers) {
  json conditions = quantize::run_conditions(run.options, run.model, rows.count);
  conditions["scale"] = rows.scaling.scale;
  conditions[values_condition] = rows.seen.checksum;
  json settings = backend;
  index_t const ranks = run.ranks.world_size();
  if (run.options.training.gradient_shards == 0) {  // what decides the order of the sums
    settings["gradient_shards"] = ranks == 1 ? 1 : ranks * workers;
    if (ranks == 1) settings["threads"] = workers;
  }
  return {std::make_shared<json const>(std::move(conditions)), std::make_shared<json const>(std::move(settings))};
}

MQL4GREC_DEFINITION void check_ranks(train::run_ranks const& ranks, quantizer_run const& run,
                                     train::run_description const& about, embed::feature_statistics const& seen) {
  if (!ranks.all_reduce) return;
  auto const text = about.conditions->dump() + about.settings->dump() + std::to_string(run.options.epochs) +
                    language::name_of(run.kind);
  ranks.expect_equal("the set of features", seen.checksum);
  ranks.expect_equal("the set of options", checksum(std::as_bytes(std::span(text))));
}

MQL4GREC_DEFINITION std::uint64_t checksum_of(quantize::residual_kmeans_options const& options,
                                              language::modality kind) {
  json const all = {{"codes", options.codes},
                    {"iterations", options.clustering.iterations},
                    {"tolerance", options.clustering.tolerance},
                    {"seed", options.clustering.seed},
                    {"sample_rows", options.sample_rows},
                    {"rotation_rounds", options.rotation_rounds},
                    {"modality", language::name_of(kind)}};
  auto const text = all.dump();
  return checksum(std::as_bytes(std::span(text)));
}

MQL4GREC_DEFINITION void write_description(quantizer_run const& run, embed::feature_scaling const& scaling,
                                           quantize::rq_vae_progress const& p) {
  auto const& epoch = p.history.back();
  write_json(run.out / "translator.json",
             {{"quantizer", "rq-vae"},
              {"modality", language::name_of(run.kind)},
              {"input_width", run.model.input_width},
              {"codes", run.model.codes},
              {"epoch", p.epoch},
              {"reconstruction_error",
               epoch.evaluation->reconstruction_error / std::pow(static_cast<double>(scaling.scale), 2)},
              {"collision_rate", epoch.evaluation->collision_rate},
              {"usage", epoch.evaluation->usage}});
}

MQL4GREC_DEFINITION void write_description(quantizer_run const& run, residual_kmeans_shape const& model,
                                           quantize::quantizer_evaluation const& seen) {
  write_json(run.out / "translator.json", {{"quantizer", "residual-kmeans"},
                                           {"modality", language::name_of(run.kind)},
                                           {"input_width", model.input_width},
                                           {"codes", model.codes},
                                           {"rotated", model.rotated},
                                           {"reconstruction_error", seen.reconstruction_error},
                                           {"collision_rate", seen.collision_rate},
                                           {"usage", seen.usage}});
}

}  // namespace detail
}  // namespace mql4grec::pipeline
