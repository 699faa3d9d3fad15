#pragma once
// The state of a training in one safetensors file: parameters, AdamW's moments, progress, and what the trainer adds.
// The file is replaced atomically, so its parts always belong together, whenever the process is killed.
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "mql4grec/backend/contract/precision.hpp"
#include "mql4grec/backend/contract/transfer.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/json_fwd.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/core/safetensors.hpp"
#include "mql4grec/optim/adamw.hpp"
#include "mql4grec/optim/muon.hpp"
#include "mql4grec/train/loop.hpp"

namespace mql4grec::train {

/// The name of the state file in a run's directory.
inline constexpr char const* state_file_name = "training.safetensors";

/// Describes a run, so that only the same run is resumed. The members are pointers, so that this header doesn't include
/// the JSON library.
struct run_description {
  std::shared_ptr<json const> conditions;  ///< must be equal for a resumed run to give the bits of an uninterrupted one
  std::shared_ptr<json const> settings = {};  ///< may differ; results are then equal up to rounding; null: none
};

/// The properties of a backend that affect rounding only.
struct backend_settings {
  std::string precision;  ///< of matrix products: "fp32" or "bf16"
  std::string backend;    ///< the backend's name; empty if it has none
};
/// The settings of a backend.
template <Backend B>
[[nodiscard]] backend_settings settings_of(B const& backend) {
  backend_settings settings{.precision = std::string(name_of(products_of(backend))), .backend = {}};
  if constexpr (requires { B::name; }) settings.backend = B::name;
  return settings;
}
/// For nlohmann/json. An empty name of a backend is left out.
void to_json(json& out, backend_settings const& s);

/// Adds the options of a model's optimizers to the conditions of its run; those of Muon, if it has a value, as "muon".
void add_conditions(json& conditions, optim::adamw const& all, std::optional<optim::muon> const& hidden = {});

/// What a trainer adds to its parameters and moments in the state file.
struct extra_state {
  std::map<std::string, std::string> metadata = {};  ///< entries of the file's metadata
  std::vector<named_tensor> tensors = {};            ///< further tensors
  std::shared_ptr<void const> owner = {};            ///< keeps the tensors' memory alive
};

/// An open state file. Every member throws file_error if the file isn't a training state.
class state_file {
 public:
  /// Opens the file. Throws file_error if it is missing or damaged.
  explicit state_file(std::filesystem::path const& path) : file_(path) {}

  /// The tensors of the file.
  safetensors const& tensors() const { return file_; }
  /// The metadata entry `key`.
  std::string text(char const* key) const;
  /// The metadata entry `key`, parsed as JSON.
  json parsed(char const* key) const;

  /// Throws file_error if the file belongs to another run. The message contains the first condition that differs and,
  /// if `reasons` has an entry for it, the reason why it must not.
  void check_conditions(json const& wanted, std::map<std::string, std::string> const& reasons = {}) const;
  /// Text such as `precision was "bf16" and is "fp32"` for each setting that differs from the file's; empty if none
  /// does.
  std::string changes(json const& settings) const;
  /// The progress; P requires from_json(json, P&).
  template <Progress P>
  P progress() const {
    P found{};
    read_progress([&](json const& saved) { from_json(saved, found); });
    expects_file(
        found.epoch >= 0 && found.epoch_step >= 0 && found.step >= 0 && std::ssize(found.history) == found.epoch,
        file_.path(), "metadata 'progress': epoch ", found.epoch, ", its step ", found.epoch_step, ", step ",
        found.step, " and ", found.history.size(), " records, expected at least 0 and a record an epoch");
    expects_file(found.best_epoch >= 0 && found.best_epoch <= found.epoch, file_.path(),
                 "metadata 'progress': the best epoch is ", found.best_epoch, ", expected 0 to ", found.epoch);
    return found;
  }
  /// Reads the parameters and the moments. Throws file_error if a tensor is missing or has another size; that tensor is
  /// then unchanged.
  template <Backend B>
  void read(out_vector<B, float> parameters, optim::adamw_state<B, float>& moments) const {
    try {
      moments.step = std::stoll(text("optimizer_step"));
    } catch (std::logic_error const&) {
      raise<file_error>(file_.path().string(), ": metadata 'optimizer_step': expected a number");
    }
    auto const one = [&](char const* name, out_vector<B, float> to) {
      buffer<float, host_space> values(to.size());  // whole, before anything is changed
      file_.read(name, {to.size()}, values.view_all());
      copy(std::as_const(values).view_all(), to);
    };
    one("parameters", parameters);
    one("first_moment", moments.first.view_all());
    one("second_moment", moments.second.view_all());
  }

 private:
  void read_progress(std::function<void(json const& saved)> const& read) const;

  safetensors file_;
};

/// The requirements of a state file on a trainer. The two functions are found by argument-dependent lookup.
template <class T>
concept Trainer = requires(T& trainer, T const& unchanged, state_file const& file) {
  typename T::backend_type;
  trainer.model().parameters();
  trainer.moments();
  { extra_state_of(unchanged) } -> std::same_as<extra_state>;
  restore_extra_state(trainer, file);  // throws file_error
};

/// The JSON text of a value, as stored in the metadata.
[[nodiscard]] std::string text_of(json const& value);

/// Writes the state of a trainer and its progress; P requires text_of(P), its JSON text. Throws file_error.
template <Trainer T, Progress P>
void write_state(std::filesystem::path const& path, T const& trainer, P const& progress, run_description const& about) {
  using space = typename T::backend_type::memory_space;
  auto const& moments = trainer.moments();
  host_copy<float, space> const values(trainer.model().parameters()), first(moments.first.view_all()),
      second(moments.second.view_all());
  auto extra = extra_state_of(trainer);
  auto const add = [&](char const* name, host_vector_view<float const> v) {
    extra.tensors.push_back({name, {v.size()}, v});
  };
  add("parameters", values.view_all());
  add("first_moment", first.view_all());
  add("second_moment", second.view_all());
  extra.metadata.insert({{"format", "mql4grec training state"},
                         {"progress", text_of(progress)},
                         {"conditions", text_of(*about.conditions)},
                         {"settings", about.settings ? text_of(*about.settings) : "null"},
                         {"optimizer_step", std::to_string(moments.step)}});
  write_safetensors(path, extra.tensors, extra.metadata);
}

/// Reads parameters, moments and the trainer's additions, and returns the progress. Throws file_error if the file isn't
/// a training state or belongs to another run; the message contains the first condition that differs.
template <Progress P, Trainer T>
P read_state(std::filesystem::path const& path, T& trainer, json const& conditions,
             std::map<std::string, std::string> const& reasons = {}) {
  state_file const file(path);
  file.check_conditions(conditions, reasons);
  P const progress = file.progress<P>();
  file.read<typename T::backend_type>(trainer.model().parameters(), trainer.moments());
  restore_extra_state(trainer, file);
  return progress;
}

}  // namespace mql4grec::train

#if !MQL4GREC_COMPILED
#include "mql4grec/train/state_file.inl.hpp"
#endif
