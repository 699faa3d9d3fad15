#pragma once
// What a T5 training writes to its state file; see train/state_file.hpp.
#include <filesystem>
#include <map>
#include <string>

#include "mql4grec/core/json_fwd.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/seq2seq/config_json.hpp"
#include "mql4grec/seq2seq/trainer.hpp"
#include "mql4grec/train/state_file.hpp"

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
json run_settings(train::backend_settings const& backend, training_options const& o);

/// The shape of the model in a training state. Throws file_error.
t5_config read_state_config(std::filesystem::path const& path);

/// For messages: why a condition must not change.
std::map<std::string, std::string> resume_reasons();

/// The model's configuration, so that a resumed run needs no other file; see train::Trainer.
template <class B, class Comm>
train::extra_state extra_state_of(trainer<B, float, Comm> const& trainer) {
  return {.metadata = {{"config", text_of(trainer.model().config())}}};
}
template <class B, class Comm>
void restore_extra_state(trainer<B, float, Comm>&, train::state_file const&) {}

}  // namespace mql4grec

#if !MQL4GREC_COMPILED
#include "mql4grec/seq2seq/training_state.inl.hpp"
#endif
