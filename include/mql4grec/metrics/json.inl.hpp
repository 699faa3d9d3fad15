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

namespace detail {

/// Adds the metrics of all lists: by sequences, then by items. A modality without metrics is null.
MQL4GREC_DEFINITION void add_lists(json& out, std::vector<list_metrics> const& by_modality,
                                   list_metrics const& ensemble) {
  auto const modalities = std::max(std::ssize(by_modality), language::paper_modalities);
  auto const of = [&](index_t m) { return m < std::ssize(by_modality) ? by_modality[to_size(m)] : list_metrics(); };
  for (index_t m = 0; m < modalities; ++m) out[language::name_of(language::modality(m))] = as_json(of(m).sequence);
  out["ensemble"] = as_json(ensemble.sequence);
  for (index_t m = 0; m < modalities; ++m)
    out["item_" + language::name_of(language::modality(m))] = as_json(of(m).item);
  out["item_ensemble"] = as_json(ensemble.item);
}

}  // namespace detail

MQL4GREC_DEFINITION void to_json(json& out, report const& r) {
  out = json{{"dataset", r.dataset}, {"split", r.split}, {"users", r.users}, {"beams", r.beams}};
  if (r.until) out["until"] = *r.until;
  detail::add_lists(out, r.by_modality, r.ensemble);
  for (auto const& group : r.groups) {
    auto& part = out[group.name] = json{{"users", group.users}};
    detail::add_lists(part, group.by_modality, group.ensemble);
  }
  out["seconds"] = r.seconds;
  out["users_per_second"] = r.users_per_second;
}

}  // namespace mql4grec::metrics
