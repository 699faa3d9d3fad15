#pragma once
// What the commands pretrain, finetune and demo share: options, a run in a directory, progress on standard error.
#include <filesystem>
#include <optional>
#include <vector>

#include "compute/compute.hpp"
#include "options.hpp"
#include "progress.hpp"
#include "ranks.hpp"

namespace mql4grec::program {

struct training_request {
  std::vector<std::filesystem::path> datasets;
  std::vector<std::filesystem::path> replayed = {};  ///< datasets whose examples are replayed
  pipeline::run_options run;
  std::string model_size;                      ///< one of seq2seq::model_sizes; empty: that of the model, or "whole"
  std::filesystem::path report;                ///< an HTML file, or empty
  std::optional<double> until = {};            ///< only interactions before this time
  double rank_timeout = default_rank_timeout;  ///< seconds; see on_ranks
  index_t domain_prefixes = 0;                 ///< tokens for the names of datasets in the vocabulary of a new model
};

/// Accepts the names and lists of mixture_named.
CLI::Validator known_tasks();

/// Accepts the names of seq2seq::model_sizes.
CLI::Validator known_model_sizes();

/// Adds the options of both training commands; the values in `request` are the defaults.
void add_training_options(CLI::App& command, training_request& request);

/// The progress of the run in a directory; no value when there is no run. Throws file_error when its state is damaged.
std::optional<seq2seq::training_progress> saved_progress(std::filesystem::path const& run);

/// Trains on the datasets, with progress; sets the rank's step.
pipeline::run_result train_with_progress(compute const& compute, pipeline::run_options const& run,
                                         pipeline::training_data data, progress_log& log, rank_of_command& rank);

/// A whole training command, on every rank that a launcher has started; returns its exit code.
int run_training(training_request const& request, common_options const& common);

}  // namespace mql4grec::program
