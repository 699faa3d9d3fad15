#pragma once
// Definitions of what pipeline/quantizer.hpp declares and isn't a template.
#include <cmath>

#include "mql4grec/core/json.hpp"
#include "mql4grec/pipeline/quantizer.hpp"

namespace mql4grec::pipeline::detail {

MQL4GREC_DEFINITION embed::feature_scaling scaling_for(quantizer_run const& run,
                                                       embed::feature_statistics const& seen) {
  if (run.normalize == normalization_of_features::none) return {std::vector<float>(seen.mean.size(), 0.f), 1.f};
  embed::feature_scaling how{{}, static_cast<float>(1 / std::sqrt(seen.variance))};
  for (double const m : seen.mean) how.mean.push_back(static_cast<float>(m));
  return how;
}

MQL4GREC_DEFINITION train::run_description describe(quantizer_run const& run, index_t items,
                                                    embed::feature_scaling const& scaling,
                                                    train::backend_settings const& backend) {
  json conditions = quantize::run_conditions(run.options, run.model, items);
  conditions["scale"] = scaling.scale;
  return {std::make_shared<json const>(std::move(conditions)), std::make_shared<json const>(backend)};
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

}  // namespace mql4grec::pipeline::detail
