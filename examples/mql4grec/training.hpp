#pragma once
// What pretrain, finetune and demo have in common: options in, a run in a directory out, followed on standard error.
#include <filesystem>
#include <optional>
#include <vector>

#include "common.hpp"
#include "mql4grec/pipeline/dataset.hpp"
#include "mql4grec/pipeline/train.hpp"
#include "progress.hpp"

namespace mql4grec::program {

struct training_request {
  std::vector<std::filesystem::path> datasets;
  run_options run;
  std::filesystem::path report;  ///< an HTML file, or nothing
};

/// The options that both training commands have; what stands in `request` is the default.
void add_training_options(CLI::App& command, training_request& request);

/// Says once what of a dataset won't be used as one might expect.
void warn_of(dataset const& data, progress_log& log);

/// Counts and names the items that no index gives tokens.
void warn_of_items_without_tokens(dataset const& data, progress_log& log);

/// How far the run in a directory has come; nothing when there is none.
std::optional<training_progress> saved_progress(std::filesystem::path const& run);

/// "Games: 42,259 users, 13,839 items, 373,514 interactions"
std::string summary(dataset const& data);

/// Trains on the domains, with progress.
run_result train_with_progress(run_options const& run, common_options const& common, std::vector<dataset> datasets,
                               vocabulary const& vocab, progress_log& log);

/// A whole training command.
int run_training(training_request const& request, common_options const& common);

}  // namespace mql4grec::program
