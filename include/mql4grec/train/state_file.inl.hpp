#pragma once
// Definitions of what train/state_file.hpp declares and isn't a template.
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/train/state_file.hpp"

namespace mql4grec::train {

MQL4GREC_DEFINITION void to_json(json& out, backend_settings const& s) {
  out = json{{"precision", s.precision}};
  if (!s.backend.empty()) out["backend"] = s.backend;
}

MQL4GREC_DEFINITION void add_conditions(json& conditions, optim::adamw const& all,
                                        std::optional<optim::muon> const& hidden) {
  conditions["beta1"] = all.beta1;
  conditions["beta2"] = all.beta2;
  conditions["epsilon"] = all.epsilon;
  conditions["weight_decay"] = all.weight_decay;
  conditions["clip_norm"] = all.clip_norm;
  if (hidden)
    conditions["muon"] = {{"momentum", hidden->momentum}, {"iterations", hidden->iterations}, {"scale", hidden->scale}};
}

MQL4GREC_DEFINITION std::string text_of(json const& value) { return value.dump(); }

MQL4GREC_DEFINITION std::string state_file::text(char const* key) const {
  auto const found = file_.metadata().find(key);
  expects_file(found != file_.metadata().end(), file_.path(), "metadata '", key,
               "' is missing, expected a training state");
  return found->second;
}

MQL4GREC_DEFINITION json state_file::parsed(char const* key) const { return parse_json(text(key), file_.path()); }

MQL4GREC_DEFINITION void state_file::check_conditions(json const& wanted,
                                                      std::map<std::string, std::string> const& reasons) const {
  json const saved = parsed("conditions");
  for (auto const& [key, value] : wanted.items()) {
    auto const reason = reasons.find(key);
    expects_file(saved.contains(key) && saved.at(key) == value, file_.path(), "belongs to a run with ", key, " = ",
                 saved.contains(key) ? saved.at(key).dump() : "nothing", ", but this one has ", value.dump(),
                 reason == reasons.end() ? "" : ": " + reason->second);
  }
  for (auto const& [key, value] : saved.items())
    expects_file(wanted.contains(key), file_.path(), "belongs to a run with ", key, " = ", value.dump(),
                 ", but this one has nothing");
}

MQL4GREC_DEFINITION std::string state_file::changes(json const& settings) const {
  std::string all;
  if (!file_.metadata().contains("settings")) return all;  // written by an earlier version
  json const saved = parsed("settings");
  for (auto const& [key, value] : settings.items())
    if (saved.contains(key) && saved.at(key) != value)
      all += (all.empty() ? "" : ", ") + key + " was " + saved.at(key).dump() + " and is " + value.dump();
  return all;
}

MQL4GREC_DEFINITION void state_file::read_progress(std::function<void(json const& saved)> const& read) const {
  try {
    read(parsed("progress"));
  } catch (json::exception const& e) {
    raise<file_error>(file_.path().string(), ": metadata 'progress': ", e.what());
  }
}

}  // namespace mql4grec::train
