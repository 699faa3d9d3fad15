#pragma once
// A run of the model on disk; see optim/training_file.hpp.
#include "mql4grec/optim/training_file.hpp"
#include "mql4grec/seq2seq/config_json.hpp"
#include "mql4grec/seq2seq/trainer.hpp"

namespace mql4grec {

inline void to_json(json& out, epoch_record const& r) {
  out = json{{"train_loss", r.train_loss}, {"valid_loss", r.valid_loss}, {"learning_rate", r.learning_rate}, {"seconds", r.seconds}};
}
inline void from_json(json const& in, epoch_record& r) {
  in.at("train_loss").get_to(r.train_loss);
  auto const& valid = in.at("valid_loss");  // JSON has null where there is no number
  r.valid_loss = valid.is_null() ? std::numeric_limits<double>::quiet_NaN() : valid.get<double>();
  in.at("learning_rate").get_to(r.learning_rate);
  in.at("seconds").get_to(r.seconds);
}

inline void to_json(json& out, training_progress const& p) {
  out = json{{"epoch", p.epoch}, {"epoch_step", p.epoch_step}, {"step", p.step}, {"examples", p.examples},
             {"epoch_loss", p.epoch_loss}, {"epoch_tokens", p.epoch_tokens},
             {"best_loss", std::isfinite(p.best_loss) ? json(p.best_loss) : json(nullptr)},  // JSON has no infinity
             {"best_epoch", p.best_epoch}, {"seconds", p.seconds}, {"finished", p.finished}, {"history", p.history}};
}
inline void from_json(json const& in, training_progress& p) {
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

/// What must be the same for a run to go on as if it had never stopped; the file keeps it, resuming compares.
/// The number of lanes isn't in it: another one continues the run, with sums rounded in another order. Nor is the number of epochs, unless the
/// learning rates follow from it.
inline json run_conditions(training_options const& o, t5_config const& c, index_t examples) {
  json conditions{{"examples", examples}, {"parameters", t5_layout(c).size()}, {"batch_size", o.batch_size},
          {"learning_rate", o.learning_rate}, {"curve", o.curve == learning_curve::cosine ? "cosine" : "constant"},
          {"warmup", o.warmup}, {"beta1", o.optimizer.beta1}, {"beta2", o.optimizer.beta2}, {"epsilon", o.optimizer.epsilon},
          {"weight_decay", o.optimizer.weight_decay}, {"clip_norm", o.optimizer.clip_norm},
          {"dropout", o.dropout}, {"patience", o.patience}, {"seed", o.seed}};
  if (o.curve == learning_curve::cosine) conditions["epochs"] = o.epochs;
  return conditions;
}

/// What a run may go on with another value of: its bits are no longer those of a run that never stopped, and that is all.
template <Backend B>
json run_settings(B const& backend, training_options const& o) {
  json settings = optim::backend_settings(backend);
  settings["block_tokens"] = o.block_tokens;
  return settings;
}

template <class B>
void write_training_state(std::filesystem::path const& path, trainer<B, float> const& trainer, training_progress const& progress, json const& conditions,
                          json const& settings = {}) {
  optim::write_training_file<B>(path, trainer.model().parameters(), trainer.moments(),
                                {.progress = progress, .conditions = conditions, .settings = settings, .more = {{"config", to_config_json(trainer.model().config()).dump()}}});
}

/// The shape of the model in a training state. Throws file_error.
inline t5_config read_state_config(std::filesystem::path const& path) {
  return from_config_json(optim::training_file(path).parsed("config"), path);
}

/// Brings the model and the moments back and returns the progress. Throws file_error when the file isn't a training state,
/// or another run's: the message names the first condition that differs.
template <class B>
training_progress read_training_state(std::filesystem::path const& path, trainer<B, float>& trainer, json const& conditions) {
  optim::training_file const file(path);
  file.check_conditions(conditions, {{"epochs", "the cosine of its learning rates ends with the last one"}});
  auto progress = file.progress<training_progress>();
  expects_file(progress.epoch >= 0 && progress.epoch_step >= 0 && progress.step >= 0, path, "metadata 'progress': epoch ", progress.epoch,
               ", its step ", progress.epoch_step, " and step ", progress.step, ", expected at least 0");
  file.read<B>(trainer.model().parameters(), trainer.moments());
  return progress;
}

}  // namespace mql4grec
