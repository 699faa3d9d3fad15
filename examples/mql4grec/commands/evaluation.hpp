#pragma once
// What the commands evaluate and demo share.
#include <filesystem>
#include <functional>
#include <optional>

#include "compute/compute.hpp"
#include "progress.hpp"
#include "report/report.hpp"

namespace mql4grec::program {

/// Evaluates a model, with progress. Throws file_error when its vocabulary is smaller than its metadata requires.
pipeline::evaluation evaluate_with_progress(compute const& compute, evaluation_inputs const& inputs, progress_log& log);

/// The list of a user, best first.
using user_ranker = std::function<rank::ranking(user_id)>;

/// The metrics of a ranker over the users of an evaluation, by items. No value when there are no users.
std::optional<metrics::metric_values> evaluate_ranker(tasks::dataset const& data,
                                                      pipeline::evaluation_options const& options,
                                                      user_ranker const& rank_for);

/// Popularity, over the users of an evaluation.
std::optional<metrics::metric_values> evaluate_popularity(tasks::dataset const& data,
                                                          pipeline::evaluation_options const& options);

/// The first-order Markov chain, likewise.
std::optional<metrics::metric_values> evaluate_markov(tasks::dataset const& data,
                                                      pipeline::evaluation_options const& options);

/// What a SASRec reaches.
struct sasrec_metrics {
  std::optional<metrics::metric_values> evaluated;  ///< as evaluate_ranker
  double valid_ndcg = 0;                            ///< NDCG@10 of the kept model on the validation items
};

/// SASRec, trained with progress in the directory run.out unless it is finished there. Ends the program when a signal
/// arrives; the training can then be resumed.
sasrec_metrics evaluate_sasrec(compute const& compute, evaluation_inputs const& inputs, sasrec::run_options run,
                               progress_log& log);

/// The picture of each item of a dataset directory.
std::vector<std::filesystem::path> pictures_in(std::filesystem::path const& images,
                                               std::filesystem::path const& dataset);

/// The report, with the loss curves when the model's directory contains the run that trained it. `pictures`: of each
/// item, or none.
report_page evaluation_report_of(evaluation_inputs const& inputs, pipeline::evaluation const& found,
                                 std::vector<metric_row> rows, std::vector<std::filesystem::path> pictures = {});

}  // namespace mql4grec::program
