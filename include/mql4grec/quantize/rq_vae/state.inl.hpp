#pragma once
// Definitions of what quantize/rq_vae/state.hpp declares and isn't a template.
#include "mql4grec/core/json.hpp"
#include "mql4grec/quantize/rq_vae/state.hpp"

namespace mql4grec::quantize {

MQL4GREC_DEFINITION void to_json(json& out, level_usage const& u) {
  out = json{{"codes", u.codes}, {"used", u.used}, {"perplexity", u.perplexity}};
}

MQL4GREC_DEFINITION void from_json(json const& in, level_usage& u) {
  in.at("codes").get_to(u.codes);
  in.at("used").get_to(u.used);
  in.at("perplexity").get_to(u.perplexity);
}

MQL4GREC_DEFINITION void to_json(json& out, quantizer_evaluation const& e) {
  out = json{{"reconstruction_error", e.reconstruction_error},
             {"quantization_error", e.quantization_error},
             {"collision_rate", e.collision_rate},
             {"usage", e.usage}};
}

MQL4GREC_DEFINITION void from_json(json const& in, quantizer_evaluation& e) {
  in.at("reconstruction_error").get_to(e.reconstruction_error);
  in.at("quantization_error").get_to(e.quantization_error);
  in.at("collision_rate").get_to(e.collision_rate);
  in.at("usage").get_to(e.usage);
}

MQL4GREC_DEFINITION void to_json(json& out, rq_vae_epoch const& e) {
  out = json{{"reconstruction", e.reconstruction},
             {"quantization", e.quantization},
             {"total", e.total},
             {"revived", e.revived},
             {"seconds", e.seconds}};
  if (e.evaluation) out["evaluation"] = *e.evaluation;
}

MQL4GREC_DEFINITION void from_json(json const& in, rq_vae_epoch& e) {
  in.at("reconstruction").get_to(e.reconstruction);
  in.at("quantization").get_to(e.quantization);
  in.at("total").get_to(e.total);
  in.at("revived").get_to(e.revived);
  in.at("seconds").get_to(e.seconds);
  if (in.contains("evaluation")) e.evaluation = in.at("evaluation").get<quantizer_evaluation>();
}

MQL4GREC_DEFINITION void to_json(json& out, rq_vae_progress const& p) {
  bool const found = p.best_epoch > 0;  // JSON has no infinity
  out = json{{"epoch", p.epoch},
             {"epoch_step", p.epoch_step},
             {"step", p.step},
             {"items", p.items},
             {"seconds", p.seconds},
             {"best_epoch", p.best_epoch},
             {"best_collision_rate", found ? json(p.best_collision_rate) : json(nullptr)},
             {"best_error", found ? json(p.best_error) : json(nullptr)},
             {"collapsed_looks", p.collapsed_evaluations},
             {"finished", p.finished},
             {"current", p.current},
             {"history", p.history}};
}

MQL4GREC_DEFINITION void from_json(json const& in, rq_vae_progress& p) {
  in.at("epoch").get_to(p.epoch);
  in.at("epoch_step").get_to(p.epoch_step);
  in.at("step").get_to(p.step);
  in.at("items").get_to(p.items);
  in.at("seconds").get_to(p.seconds);
  in.at("best_epoch").get_to(p.best_epoch);
  if (!in.at("best_collision_rate").is_null()) in.at("best_collision_rate").get_to(p.best_collision_rate);
  if (!in.at("best_error").is_null()) in.at("best_error").get_to(p.best_error);
  in.at("collapsed_looks").get_to(p.collapsed_evaluations);
  in.at("finished").get_to(p.finished);
  in.at("current").get_to(p.current);
  in.at("history").get_to(p.history);
}

MQL4GREC_DEFINITION std::string text_of(rq_vae_progress const& p) { return json(p).dump(); }

MQL4GREC_DEFINITION json run_conditions(rq_vae_training_options const& o, rq_vae_config const& c, index_t rows) {
  auto const& t = o.training;
  json conditions = {{"items", rows},
                     {"widths", c.widths()},
                     {"codes", c.codes},
                     {"quant_weight", c.quant_weight},
                     {"beta", c.beta},
                     {"commitment", c.commit == commitment::first_level ? "first level" : "all levels"},
                     {"autoencoder_epochs", autoencoder_epochs(o)},
                     {"batch_size", t.batch_size},
                     {"learning_rate", t.learning_rate},
                     {"sinkhorn_epsilons", t.epsilons},
                     {"sinkhorn_iterations", t.sinkhorn_iterations},
                     {"revive_after", t.revive_after},
                     {"evaluate_every", o.evaluate_every},
                     {"kmeans_rows", o.kmeans_rows},
                     {"kmeans_iterations", o.kmeans_iterations},
                     {"seed", o.seed}};
  train::add_conditions(conditions, t.optimizer);
  if (t.gradient_shards > 0) conditions["gradient_shards"] = t.gradient_shards;
  return conditions;
}

}  // namespace mql4grec::quantize
