#pragma once
// The definitions of metrics/json.hpp.
#include "mql4grec/core/json.hpp"
#include "mql4grec/metrics/json.hpp"

namespace mql4grec {

MQL4GREC_DEFINITION void to_json(json& out, metric_values const& m) {
  out = json{{"hit@1", m.hit1}, {"hit@5", m.hit5}, {"hit@10", m.hit10}, {"ndcg@5", m.ndcg5}, {"ndcg@10", m.ndcg10}};
}

MQL4GREC_DEFINITION json as_json(std::optional<metric_values> const& m) { return m ? json(*m) : json(nullptr); }

MQL4GREC_DEFINITION void to_json(json& out, report const& r) {
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
