#pragma once
#include "mql4grec/core/json.hpp"
#include "mql4grec/metrics/report.hpp"

namespace mql4grec {

inline void to_json(json& out, metric_values const& m) {
  out = json{{"hit@1", m.hit1}, {"hit@5", m.hit5}, {"hit@10", m.hit10}, {"ndcg@5", m.ndcg5}, {"ndcg@10", m.ndcg10}};
}

/// null where there is nothing.
inline json as_json(std::optional<metric_values> const& m) { return m ? json(*m) : json(nullptr); }

/// What `evaluate --json` writes: `write_json(path, json(report))`.
inline void to_json(json& out, report const& r) {
  out = json{{"dataset", r.dataset},
             {"split", r.split},
             {"users", r.users},
             {"beams", r.beams},
             {"text", as_json(r.text)},
             {"image", as_json(r.image)},
             {"ensemble", as_json(r.ensemble)},
             {"item_text", as_json(r.item_text)},
             {"item_image", as_json(r.item_image)},
             {"item_ensemble", as_json(r.item_ensemble)},
             {"seconds", r.seconds},
             {"users_per_second", r.users_per_second}};
}

}  // namespace mql4grec
