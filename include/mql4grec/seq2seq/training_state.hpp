#pragma once
// A run of the model on disk; see optim/training_file.hpp.
#include "mql4grec/core/json_fwd.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/optim/training_file.hpp"
#include "mql4grec/seq2seq/config_json.hpp"
#include "mql4grec/seq2seq/trainer.hpp"

namespace mql4grec {

void to_json(json& out, epoch_record const& r);
void from_json(json const& in, epoch_record& r);

void to_json(json& out, training_progress const& p);
void from_json(json const& in, training_progress& p);
std::string text_of(training_progress const& p);
std::string text_of(t5_config const& c);

/// What must be the same for a run to go on as if it had never stopped; the file keeps it, resuming compares.
/// The number of workers isn't in it: another one continues the run, with sums rounded in another order. Nor is the
/// number of epochs, unless the learning rates follow from it.
json run_conditions(training_options const& o, t5_config const& c, index_t examples);

/// What a run may go on with another value of: its bits are no longer those of a run that never stopped, and that is
/// all.
json run_settings(optim::backend_settings const& backend, training_options const& o);

template <class B>
void write_training_state(std::filesystem::path const& path, trainer<B, float> const& trainer,
                          training_progress const& progress, json const& conditions,
                          json const& settings = optim::no_settings()) {
  optim::write_training_file<B>(path, trainer.model().parameters(), trainer.moments(),
                                {.progress = text_of(progress),
                                 .conditions = optim::text_of(conditions),
                                 .settings = optim::text_of(settings),
                                 .more = {{"config", text_of(trainer.model().config())}}});
}

/// The shape of the model in a training state. Throws file_error.
t5_config read_state_config(std::filesystem::path const& path);

/// Brings the model and the moments back and returns the progress. Throws file_error when the file isn't a training
/// state, or another run's: the message names the first condition that differs.
template <class B>
training_progress read_training_state(std::filesystem::path const& path, trainer<B, float>& trainer,
                                      json const& conditions) {
  optim::training_file const file(path);
  file.check_conditions(conditions, {{"epochs", "the cosine of its learning rates ends with the last one"}});
  auto progress = file.progress<training_progress>();
  expects_file(progress.epoch >= 0 && progress.epoch_step >= 0 && progress.step >= 0, path,
               "metadata 'progress': epoch ", progress.epoch, ", its step ", progress.epoch_step, " and step ",
               progress.step, ", expected at least 0");
  file.read<B>(trainer.model().parameters(), trainer.moments());
  return progress;
}

}  // namespace mql4grec

#if !MQL4GREC_COMPILED
#include "mql4grec/seq2seq/training_state.inl.hpp"
#endif
