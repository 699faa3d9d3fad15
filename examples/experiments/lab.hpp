#pragma once
// What experiments share: the datasets at hand, trainings and evaluations on disk, and the loop that fills a table. All
// of it continues where it was stopped.
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "commands/options.hpp"
#include "commands/progress.hpp"
#include "compute/compute.hpp"
#include "table.hpp"

namespace mql4grec::experiments {

using program::common_options;
using program::compute;
using program::progress_log;

/// What the command line determines.
struct lab_options {
  std::filesystem::path dataset;               ///< the target; empty: the built-in catalog
  std::vector<std::filesystem::path> sources;  ///< for pre-training
  std::filesystem::path out;                   ///< tables, models and the built-in catalog
  index_t users = 0;                           ///< only the first so many users of each dataset; 0: all
  index_t examples = 0;                        ///< training examples of one model; 0: as many as suit the data
  std::string model_size = "whole";            ///< seq2seq::model_sizes
  index_t seeds = 1;                           ///< models per configuration
  bool plan_only = false;                      ///< nothing will be computed
  std::string command;                         ///< the command line, for the tables
  common_options common;
};

/// A model that the lab has trained.
struct finished_model {
  std::filesystem::path directory;
  double train_loss = 0, valid_loss = 0;  ///< of the model that was kept: the best epoch
  double examples = 0;                    ///< seen in the training
  double seconds = 0;                     ///< of the training
  index_t parameters = 0;
};

/// What a row has measured.
struct row_result {
  measurements values;
  std::vector<double> by_user = {};  ///< NDCG@10 by user, for comparisons with the first row
};

/// A row to compute.
struct planned_row {
  std::vector<std::string> key;
  double examples = 0;  ///< training examples that it costs, for the estimate of the time
  double searches = 0;  ///< beam searches that it costs
  std::function<row_result()> measure;
  std::vector<std::string> base = {};  ///< key of the row that it is compared with; empty: the table's first row
};

/// How often a training is validated at least; the best of these models is kept.
inline constexpr index_t validations = 5;

/// Thrown when a signal has arrived. The state of the training has been written.
struct interruption {};

/// The columns of row_result for a recommender, see lab::judge, with those of the comparison with a base row.
std::vector<std::string> recommender_columns();

class lab {
 public:
  /// Reads the datasets, or writes the built-in ones. Throws error for a directory whose results were computed with
  /// other options, another recipe or other data, or whose settings.json is missing.
  lab(lab_options options, compute const& on, progress_log& log);

  lab_options const& options() const { return options_; }
  compute const& on() const { return compute_; }
  progress_log& log() const { return log_; }
  /// Whether the data are the built-in catalog, which small models learn in seconds.
  bool built_in() const { return options_.dataset.empty(); }
  /// The directories of the target and of the sources.
  std::filesystem::path const& target_path() const { return target_; }
  std::vector<std::filesystem::path> const& source_paths() const { return sources_; }
  /// A vocabulary for all of them.
  language::vocabulary const& vocab() const { return vocab_; }

  /// A dataset with the lab's number of users.
  tasks::dataset read(std::filesystem::path const& dataset) const;
  /// The target.
  tasks::dataset target() const { return read(target_); }

  /// Options of a training that suit the data: a model and a schedule that converge in minutes. The number of epochs is
  /// set by train(), unless it is set before.
  pipeline::run_options run(std::string const& tasks, index_t seed = 1) const {
    return run(tasks, seed, seq2seq::model_size_named(options_.model_size));
  }
  /// The same for a model of another size than the lab's.
  pipeline::run_options run(std::string const& tasks, index_t seed, seq2seq::model_size const& size) const;
  /// Training examples of one model.
  index_t budget() const;
  /// Sets the epochs of a run and their updates so that it sees this many examples, whatever the data, and is validated
  /// at least `validations` times. Replayed examples don't count.
  void set_length(pipeline::run_options& run, pipeline::training_data const& data, double examples) const;
  /// Examples of one pass over the data, without replayed ones.
  double examples_of(pipeline::run_options const& run, pipeline::training_data data) const;
  /// The seeds 1 … options().seeds as key values.
  std::vector<std::string> seeds() const;

  /// Trains a model under a name, or returns it if it exists. run.training.epochs = 0: budget() examples. Throws
  /// interruption.
  finished_model train(std::string const& name, pipeline::run_options run, pipeline::training_data data) const;
  /// The same on some datasets, with the lab's vocabulary.
  finished_model train(std::string const& name, pipeline::run_options run, std::vector<tasks::dataset> datasets) const {
    return train(name, std::move(run), pipeline::training_data{std::move(datasets), vocab_});
  }
  /// A model that is trained on a dataset from random parameters: what most tables compare with. Tables share it.
  finished_model from_scratch(std::filesystem::path const& dataset, std::string const& tasks, index_t seed) const;
  /// Whether the model of a name exists.
  bool is_trained(std::string const& name) const;
  /// The directory of a name.
  std::filesystem::path run_path(std::string const& name) const;

  /// Evaluates a model on the test items of a dataset.
  pipeline::evaluation evaluate(finished_model const& model, tasks::dataset const& data,
                                pipeline::evaluation_options const& options = {}) const;
  /// The same as a row. NDCG and HR are those of items; `sequence_…` is the paper's criterion.
  row_result judge(finished_model const& model, tasks::dataset const& data,
                   pipeline::evaluation_options const& options = {}) const;

  /// Computes the rows that the table lacks, in order, and describes it. Throws interruption.
  void fill(table& into, std::vector<planned_row> const& plan);
  /// Prints what fill would compute, and how long it would take.
  void print_plan(table const& of, std::vector<planned_row> const& plan);

 private:
  void write_built_in();
  double measure_rate() const;
  double seconds_of(planned_row const& row);
  json facts_of(std::vector<planned_row> const& plan, double seconds) const;

  lab_options options_;
  compute const& compute_;
  progress_log& log_;
  std::filesystem::path target_;
  std::vector<std::filesystem::path> sources_;
  language::vocabulary vocab_;
  std::optional<double> examples_per_second_;  // of a training that has the machine to itself
};

/// A table and its rows.
struct experiment {
  table_description about;
  std::function<std::vector<planned_row>(lab&)> plan;
};

/// Key values as one file name.
std::string file_name(std::string const& table, std::vector<std::string> const& key);

/// The files of the target's text indices, the dataset's own one first.
std::vector<std::filesystem::path> text_indices(lab const& l);

/// Throws error, which names the table, if the target lacks the token index of a modality.
void expect_both_modalities(lab const& l, std::string const& table);

/// Throws error, which names the table, if the lab's models are of another size than the paper's.
void expect_whole_models(lab const& l, std::string const& table);

/// A dataset in which no item has a sequence of the modality.
tasks::dataset without(tasks::dataset data, language::modality kind);

}  // namespace mql4grec::experiments
