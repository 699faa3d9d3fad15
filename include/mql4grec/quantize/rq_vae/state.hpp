#pragma once
// The JSON and the state file of an RQ-VAE training; see train/state_file.hpp. A resumed run compares run_conditions()
// with the file and refuses to continue if they differ.
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "mql4grec/core/json_fwd.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/quantize/rq_vae/training.hpp"
#include "mql4grec/train/state_file.hpp"

namespace mql4grec::quantize {

/// For nlohmann/json: writes a level's usage.
void to_json(json& out, level_usage const& u);
/// For nlohmann/json: reads a level's usage. Throws nlohmann's exceptions for missing members.
void from_json(json const& in, level_usage& u);

/// For nlohmann/json: writes an evaluation.
void to_json(json& out, quantizer_evaluation const& e);
/// For nlohmann/json: reads an evaluation. Throws nlohmann's exceptions for missing members.
void from_json(json const& in, quantizer_evaluation& e);

/// For nlohmann/json: writes an epoch.
void to_json(json& out, rq_vae_epoch const& e);
/// For nlohmann/json: reads an epoch. Throws nlohmann's exceptions for missing members.
void from_json(json const& in, rq_vae_epoch& e);

/// For nlohmann/json: writes the progress.
void to_json(json& out, rq_vae_progress const& p);
/// For nlohmann/json: reads the progress. Throws nlohmann's exceptions for missing members.
void from_json(json const& in, rq_vae_progress& p);
/// The progress as JSON text.
[[nodiscard]] std::string text_of(rq_vae_progress const& p);

/// The settings that must be equal for a resumed run to give the bits of an uninterrupted one. The number of workers
/// isn't among them: another number continues the run with sums in another order.
json run_conditions(rq_vae_training_options const& o, rq_vae_config const& c, index_t rows);

/// Adds to the state how long each code has been idle; see train::Trainer.
template <Backend B>
train::extra_state extra_state_of(rq_vae_trainer<B, float> const& trainer) {
  auto const idle =
      std::make_shared<host_copy<std::int32_t, typename B::memory_space>>(trainer.backend(), trainer.idle());
  return {.tensors = {{"idle", {trainer.idle().size()}, idle->view_all()}}, .owner = idle};
}
/// Reads how long each code has been idle. Throws file_error.
template <Backend B>
void restore_extra_state(rq_vae_trainer<B, float>& trainer, train::state_file const& file) {
  buffer<std::int32_t, host_space> idle(trainer.idle().size());
  file.tensors().read("idle", {idle.size()}, idle.view_all());
  copy(std::as_const(idle).view_all(), trainer.idle());
}

}  // namespace mql4grec::quantize

#if !MQL4GREC_COMPILED
#include "mql4grec/quantize/rq_vae/state.inl.hpp"
#endif
