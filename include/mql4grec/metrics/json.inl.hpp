#pragma once
// The definitions of metrics/json.hpp.
#include <algorithm>

#include "mql4grec/core/json.hpp"
#include "mql4grec/metrics/json.hpp"

namespace mql4grec::metrics {

MQL4GREC_DEFINITION void to_json(json& out, metric_values const& m) {
  out = json::object();
  for (auto const& [k, hit, ndcg] : m.at) out["hit@" + std::to_string(k)] = hit;
  for (auto const& [k, hit, ndcg] : m.at)
    if (k != 1) out["ndcg@" + std::to_string(k)] = ndcg;
}

MQL4GREC_DEFINITION json as_json(std::optional<metric_values> const& m) { return m ? json(*m) : json(nullptr); }

MQL4GREC_DEFINITION void to_json(json& out, report const& r) {
  auto const modalities = std::max(std::ssize(r.by_modality), language::paper_modalities);
  out = json{{"dataset", r.dataset}, {"split", r.split}, {"users", r.users}, {"beams", r.beams}};
  for (index_t m = 0; m < modalities; ++m)
    out[language::name_of(language::modality(m))] = as_json(r.of(language::modality(m)).sequence);
  out["ensemble"] = as_json(r.ensemble.sequence);
  for (index_t m = 0; m < modalities; ++m)
    out["item_" + language::name_of(language::modality(m))] = as_json(r.of(language::modality(m)).item);
  out["item_ensemble"] = as_json(r.ensemble.item);
  out["seconds"] = r.seconds;
  out["users_per_second"] = r.users_per_second;
}

}  // namespace mql4grec::metrics
