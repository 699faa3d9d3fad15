#pragma once
// What evaluate and demo have in common.
#include <filesystem>
#include <optional>
#include <string>

#include "common.hpp"
#include "mql4grec/pipeline/evaluate.hpp"
#include "progress.hpp"

namespace mql4grec::program {

/// Reads the model in a directory and evaluates it, with progress.
evaluation evaluate_with_progress(std::filesystem::path const& model, dataset const& data,
                                  model_metadata const& metadata, evaluation_options const& options,
                                  common_options const& common, progress_log& log);

/// Popularity, judged like a modality's list: by token sequences, and over the same users; nothing where there are
/// none.
std::optional<metric_values> evaluate_popularity(dataset const& data, evaluation_options const& options);

/// Rows of HR@1, HR@5, HR@10, NDCG@5, NDCG@10; dashes where there is nothing.
struct metric_row {
  std::string name;
  std::optional<metric_values> values;
};
std::vector<metric_row> rows_of(report const& result);
std::string metric_table(std::vector<metric_row> const& rows);

/// "Games test: 42,259 users, 20 beams, 75.1 s, 563 users/s"
std::string headline(report const& result);

}  // namespace mql4grec::program
