#pragma once
// Everything a resumed run needs, in one file that is replaced as a whole: parameters, moments and progress can't drift apart, at
// whatever moment the process is killed.
#include <map>
#include <string>
#include <vector>

#include "mql4grec/backend/copy.hpp"
#include "mql4grec/backend/precision.hpp"
#include "mql4grec/core/safetensors.hpp"
#include "mql4grec/optim/adamw.hpp"

namespace mql4grec::optim {

/// What stands beside parameters and moments: all of it readable by people.
struct training_notes {
  json progress;
  json conditions;     ///< what must be the same for a run to go on as if it had never stopped
  json settings = {};  ///< what may be another when it goes on: results are then equal up to rounding, no longer to the bit
  std::map<std::string, std::string> more = {};
  std::vector<named_tensor> tensors = {};  ///< of the kind's own
};

/// What of a backend decides no more than how sums are rounded.
template <Backend B>
json backend_settings(B const& backend) {
  json settings{{"precision", name_of(products_of(backend))}};
  if constexpr (requires { B::name; }) settings["backend"] = B::name;
  return settings;
}

/// Throws file_error.
template <Backend B>
void write_training_file(std::filesystem::path const& path, in_vector<B, float> parameters, adamw_state<B, float> const& moments,
                         training_notes const& notes) {
  host_copy<float, typename B::memory_space> const values(parameters), first(moments.first.view_all()), second(moments.second.view_all());
  auto const flat = [](host_vector_view<float const> v) { return std::vector<index_t>{v.size()}; };
  auto tensors = notes.tensors;
  tensors.push_back({"parameters", flat(values.view_all()), values.view_all()});
  tensors.push_back({"first_moment", flat(first.view_all()), first.view_all()});
  tensors.push_back({"second_moment", flat(second.view_all()), second.view_all()});
  auto metadata = notes.more;
  metadata.insert({{"format", "mql4grec training state"}, {"progress", notes.progress.dump()}, {"conditions", notes.conditions.dump()}, {"settings", notes.settings.dump()},
                   {"optimizer_step", std::to_string(moments.step)}});
  write_safetensors(path, tensors, metadata);
}

/// A training file that was opened. Every member throws file_error when something isn't as a training state has it.
class training_file {
 public:
  explicit training_file(std::filesystem::path const& path) : file_(path) {}

  safetensors const& tensors() const { return file_; }
  std::string text(char const* key) const {
    auto const found = file_.metadata().find(key);
    expects_file(found != file_.metadata().end(), file_.path(), "metadata '", key, "' is missing, expected a training state");
    return found->second;
  }
  json parsed(char const* key) const { return parse_json(text(key), file_.path()); }

  /// Refuses another run's file: the message names the first condition that differs and, where `reasons` has one, why it must not.
  void check_conditions(json const& wanted, std::map<std::string, std::string> const& reasons = {}) const {
    json const saved = parsed("conditions");
    for (auto const& [key, value] : wanted.items()) {
      auto const reason = reasons.find(key);
      expects_file(saved.contains(key) && saved.at(key) == value, file_.path(), "belongs to a run with ", key, " = ",
                   saved.contains(key) ? saved.at(key).dump() : "nothing", ", but this one has ", value.dump(),
                   reason == reasons.end() ? "" : ": " + reason->second);
    }
  }
  /// "precision was \"bf16\" and is \"fp32\"", for each setting that is another now; empty where none is.
  std::string changes(json const& settings) const {
    std::string all;
    if (!file_.metadata().contains("settings")) return all;  // a file of before they were kept
    json const saved = parsed("settings");
    for (auto const& [key, value] : settings.items())
      if (saved.contains(key) && saved.at(key) != value) all += (all.empty() ? "" : ", ") + key + " was " + saved.at(key).dump() + " and is " + value.dump();
    return all;
  }
  template <class Progress>
  Progress progress() const {
    try {
      return parsed("progress").template get<Progress>();
    } catch (nlohmann::json::exception const& e) {
      detail::raise<file_error>(file_.path().string(), ": metadata 'progress': ", e.what());
    }
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
  safetensors file_;
};

}  // namespace mql4grec::optim
