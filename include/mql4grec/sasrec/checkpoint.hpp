#pragma once
// A SASRec as config.json and model.safetensors, and the JSON of a run's state; see train/state_file.hpp.
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "mql4grec/core/files.hpp"
#include "mql4grec/core/json_fwd.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/core/safetensors.hpp"
#include "mql4grec/sasrec/trainer.hpp"
#include "mql4grec/train/state_file.hpp"

namespace mql4grec::sasrec {

/// For nlohmann/json.
void to_json(json& out, training_progress const& p);
/// For nlohmann/json. Throws nlohmann's exceptions for missing members.
void from_json(json const& in, training_progress& p);
/// The progress as JSON text.
[[nodiscard]] std::string text_of(training_progress const& p);

/// What identifies a run: only a run of the same options, model and dataset is resumed. The precision may differ,
/// and the number of threads, the backend's workers; results are then equal up to rounding.
[[nodiscard]] train::run_description describe(training_options const& o, sasrec_config const& c,
                                              catalog::interactions const& data, train::backend_settings const& backend,
                                              index_t threads);

/// The reasons why conditions must be equal, by the condition's name, for error messages.
[[nodiscard]] std::map<std::string, std::string> resume_reasons();

/// Writes the configuration to a file. Throws file_error.
void write_config(std::filesystem::path const& path, sasrec_config const& c);
/// Reads a configuration. Throws file_error if the file is missing or damaged, or isn't a SASRec's.
[[nodiscard]] sasrec_config read_config(std::filesystem::path const& path);

/// Writes config.json and model.safetensors. Throws file_error.
template <Backend B>
void write_model(std::filesystem::path const& directory, sasrec_model<B, float> const& model) {
  host_copy const values(model.parameters());
  std::vector<named_tensor> tensors;
  for (auto const& p : model.layout().entries())
    tensors.push_back({p.name, p.shape(), values.view_all().part(p.offset, p.size())});
  make_directory(directory);
  write_config(directory / "config.json", model.config());
  write_safetensors(directory / "model.safetensors", tensors, {{"format", "pt"}});  // last: what has it is complete
}

/// Reads a model directory. Parameters are rounded to T. Throws file_error if a file is missing or damaged, or if a
/// tensor is missing, not finite or of another shape than config.json requires.
template <Real T, Backend B>
[[nodiscard]] sasrec_model<B, T> read_model(B& backend, std::filesystem::path const& directory) {
  auto const config = read_config(directory / "config.json");
  safetensors const file(directory / "model.safetensors");
  auto const layout = sasrec_layout(config);
  for (auto const& p : layout.entries())  // before memory of a size from a file is allocated
    expects_file(file.info(p.name).shape == p.shape(), file.path(), "tensor '", p.name, "': another shape than ",
                 "config.json requires");
  sasrec_model<B, T> model(backend, config);
  fill(model.parameters(), [&](host_vector_view<T> values) {
    for (auto const& p : layout.entries()) {
      auto const to = values.part(p.offset, p.size());
      file.read(p.name, p.shape(), to);
      for (index_t i = 0; i < to.size(); ++i)
        expects_file(std::isfinite(to(i)), file.path(), "tensor '", p.name, "': entry ", i, " isn't a finite number");
    }
  });
  return model;
}

/// Nothing besides parameters and moments; see train::Trainer.
template <class B>
train::extra_state extra_state_of(trainer<B, float> const&) {
  return {};
}
/// Does nothing.
template <class B>
void restore_extra_state(trainer<B, float>&, train::state_file const&) {}

}  // namespace mql4grec::sasrec

#if !MQL4GREC_COMPILED
#include "mql4grec/sasrec/checkpoint.inl.hpp"
#endif
