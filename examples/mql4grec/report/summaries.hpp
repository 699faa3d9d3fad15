#pragma once
// One-line summaries and the table of metrics, for standard output and for reports.
#include <optional>
#include <string>
#include <vector>

#include "mql4grec/metrics/report.hpp"
#include "mql4grec/pipeline/dataset.hpp"

namespace mql4grec::program {

/// "Games: 42,259 users, 13,839 items, 373,514 interactions"
std::string summary(tasks::dataset const& data);

/// "Games test: 42,259 users, 20 beams, 75.1 s, 563 users/s"
std::string headline(metrics::report const& result);

/// The metrics of one ranking; no value: the dataset or the model lacks it.
struct metric_row {
  std::string name;
  std::optional<metrics::metric_values> values;
};
/// The rows of an evaluation. The metrics of items are left out when they equal those of sequences.
std::vector<metric_row> rows_of(metrics::report const& result);
/// HR@1, HR@5, HR@10, NDCG@5, NDCG@10 per row; a dash where there is no value.
std::string metric_table(std::vector<metric_row> const& rows);

}  // namespace mql4grec::program
