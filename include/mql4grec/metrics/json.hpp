#pragma once
// JSON output of evaluation reports.
#include <optional>

#include "mql4grec/core/json_fwd.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/metrics/report.hpp"

namespace mql4grec::metrics {

/// An object with "hit@k" for each cut-off k, then "ndcg@k" for each k but 1. By default: "hit@1", "hit@5", "hit@10",
/// "ndcg@5", "ndcg@10".
void to_json(json& out, metric_values const& m);

/// The object of to_json(), or null when there are no values.
[[nodiscard]] json as_json(std::optional<metric_values> const& m);

/// The output of `evaluate --json`. Write it with `write_json(path, json(report))`. The metrics of text and of images
/// are always included, as null if the evaluation has none.
void to_json(json& out, report const& r);

}  // namespace mql4grec::metrics

#if !MQL4GREC_COMPILED
#include "mql4grec/metrics/json.inl.hpp"
#endif
