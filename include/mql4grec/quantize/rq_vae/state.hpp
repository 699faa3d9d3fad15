#pragma once
// What an RQ-VAE training writes to its state file; see train/state_file.hpp.
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "mql4grec/core/json_fwd.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/quantize/rq_vae/training.hpp"
#include "mql4grec/train/state_file.hpp"

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

/// How long each code has been idle; see train::Trainer.
template <Backend B>
train::extra_state extra_state_of(rq_vae_trainer<B, float> const& trainer) {
  auto const idle = std::make_shared<std::vector<std::int32_t>>();
  for (auto const& level : trainer.idle()) idle->insert(idle->end(), level.begin(), level.end());
  return {.tensors = {{"idle", {std::ssize(*idle)}, view_of(std::span<std::int32_t const>(*idle))}}, .owner = idle};
}
template <Backend B>
void restore_extra_state(rq_vae_trainer<B, float>& trainer, train::state_file const& file) {
  index_t codes = 0;
  for (auto const& level : trainer.idle()) codes += std::ssize(level);
  std::vector<std::int32_t> idle(static_cast<std::size_t>(codes));
  file.tensors().read("idle", {codes}, view_of(std::span(idle)));
  auto next = idle.begin();
  for (auto& level : trainer.idle())
    for (auto& batches : level) batches = *next++;
}

}  // namespace mql4grec

#if !MQL4GREC_COMPILED
#include "mql4grec/quantize/rq_vae/state.inl.hpp"
#endif
