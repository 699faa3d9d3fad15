#pragma once
// Everything a resumed run needs, in one file that is replaced as a whole: parameters, moments and progress can't drift
// apart, at whatever moment the process is killed.
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "mql4grec/backend/contract/copy.hpp"
#include "mql4grec/backend/contract/precision.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/json_fwd.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/core/safetensors.hpp"
#include "mql4grec/optim/adamw.hpp"

namespace mql4grec::optim {

/// What stands beside parameters and moments: all of it readable by people, the first three as JSON.
struct training_notes {
  std::string progress;
  std::string conditions;  ///< what must be the same for a run to go on as if it had never stopped
  std::string
      settings;  ///< what may be another when it goes on: results are then equal up to rounding, no longer to the bit
  std::map<std::string, std::string> more = {};
  std::vector<named_tensor> tensors = {};  ///< of the kind's own
};

/// Conditions and settings of a run, made once; a pointer, as JSON itself isn't known here.
struct run_description {
  std::shared_ptr<json const> conditions, settings;
};

/// What of a backend decides no more than how sums are rounded.
struct backend_settings {
  std::string precision;
  std::string backend;  ///< its name, if it has one
};
template <Backend B>
backend_settings settings_of(B const& backend) {
  backend_settings settings{.precision = std::string(name_of(products_of(backend))), .backend = {}};
  if constexpr (requires { B::name; }) settings.backend = B::name;
  return settings;
}
void to_json(json& out, backend_settings const& s);

/// As a training file keeps it.
std::string text_of(json const& value);

/// null
json const& no_settings();

/// Throws file_error.
template <Backend B>
void write_training_file(std::filesystem::path const& path, in_vector<B, float> parameters,
                         adamw_state<B, float> const& moments, training_notes const& notes) {
  host_copy<float, typename B::memory_space> const values(parameters), first(moments.first.view_all()),
      second(moments.second.view_all());
  auto const flat = [](host_vector_view<float const> v) { return std::vector<index_t>{v.size()}; };
  auto tensors = notes.tensors;
  tensors.push_back({"parameters", flat(values.view_all()), values.view_all()});
  tensors.push_back({"first_moment", flat(first.view_all()), first.view_all()});
  tensors.push_back({"second_moment", flat(second.view_all()), second.view_all()});
  auto metadata = notes.more;
  metadata.insert({{"format", "mql4grec training state"},
                   {"progress", notes.progress},
                   {"conditions", notes.conditions},
                   {"settings", notes.settings},
                   {"optimizer_step", std::to_string(moments.step)}});
  write_safetensors(path, tensors, metadata);
}

/// A training file that was opened. Every member throws file_error when something isn't as a training state has it.
class training_file {
 public:
  explicit training_file(std::filesystem::path const& path) : file_(path) {}

  safetensors const& tensors() const { return file_; }
  std::string text(char const* key) const;
  json parsed(char const* key) const;

  /// Refuses another run's file: the message names the first condition that differs and, where `reasons` has one, why
  /// it must not.
  void check_conditions(json const& wanted, std::map<std::string, std::string> const& reasons = {}) const;
  /// "precision was \"bf16\" and is \"fp32\"", for each setting that is another now; empty where none is.
  std::string changes(json const& settings) const;
  template <class Progress>
  Progress progress() const {
    Progress found{};
    read_progress([&](json const& saved) { from_json(saved, found); });
    return found;
  }
  template <Backend B>
  void read(out_vector<B, float> parameters, adamw_state<B, float>& moments) const {
    try {
      moments.step = std::stoll(text("optimizer_step"));
    } catch (std::logic_error const&) {
      detail::raise<file_error>(file_.path().string(), ": metadata 'optimizer_step': expected a number");
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

}  // namespace mql4grec::optim

#if !MQL4GREC_COMPILED
#include "mql4grec/optim/training_file.inl.hpp"
#endif
