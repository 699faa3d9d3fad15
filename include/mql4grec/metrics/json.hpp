#pragma once
#include <optional>

#include "mql4grec/core/json_fwd.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/metrics/report.hpp"

namespace mql4grec {

void to_json(json& out, metric_values const& m);

/// null where there is nothing.
json as_json(std::optional<metric_values> const& m);

/// What `evaluate --json` writes: `write_json(path, json(report))`.
void to_json(json& out, report const& r);

}  // namespace mql4grec

#if !MQL4GREC_COMPILED
#include "mql4grec/metrics/json.inl.hpp"
#endif
