#pragma once
// The JSON and the state file of a T5 training; see train/state_file.hpp. A resumed run compares run_conditions() with
// the file and refuses to continue if they differ.
#include <filesystem>
#include <map>
#include <string>

#include "mql4grec/core/json_fwd.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/seq2seq/config_json.hpp"
#include "mql4grec/seq2seq/trainer.hpp"
#include "mql4grec/train/state_file.hpp"

namespace mql4grec::seq2seq {

/// For nlohmann/json. A validation loss that isn't a number becomes null.
void to_json(json& out, epoch_record const& r);
/// For nlohmann/json. Throws nlohmann's exceptions for missing members.
void from_json(json const& in, epoch_record& r);

/// For nlohmann/json. An infinite best loss becomes null.
void to_json(json& out, training_progress const& p);
/// For nlohmann/json. Throws nlohmann's exceptions for missing members.
void from_json(json const& in, training_progress& p);
/// The progress as JSON text.
[[nodiscard]] std::string text_of(training_progress const& p);
/// The configuration as the text of config.json.
[[nodiscard]] std::string text_of(t5_config const& c);

/// The settings that must be equal for a resumed run to give the bits of an uninterrupted one. The number of workers
/// isn't among them, see run_settings(). The number of epochs is among them only if the learning rates depend on it.
json run_conditions(training_options const& o, t5_config const& c, index_t examples);

/// The settings that may differ in a resumed run; its results are then equal up to rounding. `threads`: the workers of
/// all ranks; without gradient_shards another number of them adds in another order.
json run_settings(train::backend_settings const& backend, training_options const& o, index_t threads);

/// The model's configuration in a training state. Throws file_error.
[[nodiscard]] t5_config read_state_config(std::filesystem::path const& path);

/// The reasons why conditions must be equal, by the condition's name, for error messages.
std::map<std::string, std::string> resume_reasons();

/// Adds the model's configuration to the state, so that a resumed run needs no other file; see train::Trainer.
template <class B, class Comm>
train::extra_state extra_state_of(trainer<B, float, Comm> const& trainer) {
  return {.metadata = {{"config", text_of(trainer.model().config())}}};
}
/// Does nothing: the configuration is read by read_state_config() before the trainer exists.
template <class B, class Comm>
void restore_extra_state(trainer<B, float, Comm>&, train::state_file const&) {}

}  // namespace mql4grec::seq2seq

#if !MQL4GREC_COMPILED
#include "mql4grec/seq2seq/training_state.inl.hpp"
#endif
