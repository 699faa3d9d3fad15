#pragma once
// Definitions of what seq2seq/training_state.hpp declares and isn't a template.
#include <cmath>
#include <limits>

#include "mql4grec/core/json.hpp"
#include "mql4grec/seq2seq/training_state.hpp"

namespace mql4grec::seq2seq {

MQL4GREC_DEFINITION void to_json(json& out, epoch_record const& r) {
  out = json{{"train_loss", r.train_loss},
             {"valid_loss", r.valid_loss},
             {"learning_rate", r.learning_rate},
             {"seconds", r.seconds}};
}

MQL4GREC_DEFINITION void from_json(json const& in, epoch_record& r) {
  in.at("train_loss").get_to(r.train_loss);
  auto const& valid = in.at("valid_loss");  // JSON has null where there is no number
  r.valid_loss = valid.is_null() ? std::numeric_limits<double>::quiet_NaN() : valid.get<double>();
  in.at("learning_rate").get_to(r.learning_rate);
  in.at("seconds").get_to(r.seconds);
}

MQL4GREC_DEFINITION void to_json(json& out, training_progress const& p) {
  out = json{{"epoch", p.epoch},
             {"epoch_step", p.epoch_step},
             {"step", p.step},
             {"examples", p.examples},
             {"epoch_loss", p.epoch_loss},
             {"epoch_tokens", p.epoch_tokens},
             {"best_loss", std::isfinite(p.best_loss) ? json(p.best_loss) : json(nullptr)},  // JSON has no infinity
             {"best_epoch", p.best_epoch},
             {"seconds", p.seconds},
             {"finished", p.finished},
             {"history", p.history}};
}

MQL4GREC_DEFINITION void from_json(json const& in, training_progress& p) {
  in.at("epoch").get_to(p.epoch);
  in.at("epoch_step").get_to(p.epoch_step);
  in.at("step").get_to(p.step);
  in.at("examples").get_to(p.examples);
  in.at("epoch_loss").get_to(p.epoch_loss);
  in.at("epoch_tokens").get_to(p.epoch_tokens);
  if (!in.at("best_loss").is_null()) in.at("best_loss").get_to(p.best_loss);
  in.at("best_epoch").get_to(p.best_epoch);
  in.at("seconds").get_to(p.seconds);
  in.at("finished").get_to(p.finished);
  in.at("history").get_to(p.history);
}

MQL4GREC_DEFINITION std::string text_of(training_progress const& p) { return json(p).dump(); }

MQL4GREC_DEFINITION std::string text_of(t5_config const& c) { return to_config_json(c).dump(); }

MQL4GREC_DEFINITION json run_conditions(training_options const& o, t5_config const& c, index_t examples) {
  json conditions{{"examples", examples},
                  {"parameters", t5_layout(c).size()},
                  {"batch_size", o.batch_size},
                  {"learning_rate", o.learning_rate},
                  {"curve", o.curve == learning_curve::cosine ? "cosine" : "constant"},
                  {"warmup", o.warmup},
                  {"dropout", o.dropout},
                  {"patience", o.patience},
                  {"seed", o.seed}};
  train::add_conditions(conditions, o.optimizer, o.hidden_optimizer);
  if (o.epoch_updates > 0) conditions["epoch_updates"] = o.epoch_updates;
  if (o.gradient_shards > 0) conditions["gradient_shards"] = o.gradient_shards;
  if (o.layer_decay != 1) conditions["layer_decay"] = o.layer_decay;
  if (o.surgery != gradient_groups::none)
    conditions["surgery"] = o.surgery == gradient_groups::tasks ? "tasks" : "datasets";
  if (o.curve == learning_curve::cosine) conditions["epochs"] = o.epochs;
  return conditions;
}

MQL4GREC_DEFINITION json run_settings(train::backend_settings const& backend, training_options const& o,
                                      index_t threads) {
  json settings = backend;
  settings["block_tokens"] = o.block_tokens;
  if (o.gradient_shards == 0) settings["threads"] = threads;
  return settings;
}

MQL4GREC_DEFINITION std::map<std::string, std::string> resume_reasons() {
  return {{"epochs", "the cosine of its learning rates ends with the last one"}};
}

MQL4GREC_DEFINITION t5_config read_state_config(std::filesystem::path const& path) {
  return from_config_json(train::state_file(path).parsed("config"), path);
}

}  // namespace mql4grec::seq2seq
