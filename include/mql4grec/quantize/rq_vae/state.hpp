#pragma once
// A translator's run on disk; see optim/training_file.hpp.
#include "mql4grec/core/json_fwd.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/optim/training_file.hpp"
#include "mql4grec/quantize/rq_vae/training.hpp"

namespace mql4grec {

void to_json(json& out, level_usage const& u);
void from_json(json const& in, level_usage& u);

void to_json(json& out, translator_evaluation const& e);
void from_json(json const& in, translator_evaluation& e);

void to_json(json& out, translator_epoch const& e);
void from_json(json const& in, translator_epoch& e);

void to_json(json& out, translator_progress const& p);
void from_json(json const& in, translator_progress& p);
std::string text_of(translator_progress const& p);

/// What must be the same for a run to go on as if it had never stopped. Not the number of workers: another one
/// continues the run, with sums rounded in another order.
json run_conditions(translator_options const& o, rq_vae_config const& c, index_t rows);

template <Backend B>
void write_translator_state(std::filesystem::path const& path, rq_vae_trainer<B, float> const& trainer,
                            translator_progress const& progress, json const& conditions,
                            json const& settings = optim::no_settings()) {
  std::vector<std::int32_t> idle;
  for (auto const& level : trainer.idle()) idle.insert(idle.end(), level.begin(), level.end());
  optim::write_training_file<B>(
      path, trainer.model().parameters(), trainer.moments(),
      {.progress = text_of(progress),
       .conditions = optim::text_of(conditions),
       .settings = optim::text_of(settings),
       .tensors = {{"idle", {std::ssize(idle)}, view_of(std::span<std::int32_t const>(idle))}}});
}

/// Brings the model, the moments and the idle codes back and returns the progress. Throws file_error when the file
/// isn't a translator's training state, or another run's: the message names the first condition that differs.
template <Backend B>
translator_progress read_translator_state(std::filesystem::path const& path, rq_vae_trainer<B, float>& trainer,
                                          json const& conditions) {
  optim::training_file const file(path);
  file.check_conditions(conditions);
  auto progress = file.progress<translator_progress>();
  expects_file(progress.epoch >= 0 && progress.epoch_step >= 0 && progress.step >= 0 &&
                   std::ssize(progress.history) == progress.epoch,
               path, "metadata 'progress': epoch ", progress.epoch, ", its step ", progress.epoch_step, ", step ",
               progress.step, " and ", progress.history.size(), " records, expected at least 0 and a record an epoch");
  file.read<B>(trainer.model().parameters(), trainer.moments());
  index_t codes = 0;
  for (auto const& level : trainer.idle()) codes += std::ssize(level);
  std::vector<std::int32_t> idle(static_cast<std::size_t>(codes));
  file.tensors().read("idle", {codes}, view_of(std::span(idle)));
  auto next = idle.begin();
  for (auto& level : trainer.idle())
    for (auto& batches : level) batches = *next++;
  return progress;
}

}  // namespace mql4grec

#if !MQL4GREC_COMPILED
#include "mql4grec/quantize/rq_vae/state.inl.hpp"
#endif
