#pragma once
// Trains a T5 in a directory. It contains the best model so far (config.json, model.safetensors, mql4grec.json) and the
// state from which the run continues (training.safetensors). The model is the one with the lowest validation loss, not
// the latest.
#include <algorithm>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mql4grec/backend/contract/precision.hpp"
#include "mql4grec/catalog/training_users.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/core/json_fwd.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/pipeline/dataset.hpp"
#include "mql4grec/pipeline/model_metadata.hpp"
#include "mql4grec/seq2seq/checkpoint.hpp"
#include "mql4grec/seq2seq/initialize.hpp"
#include "mql4grec/seq2seq/learner.hpp"
#include "mql4grec/seq2seq/training_state.hpp"
#include "mql4grec/tasks/replay.hpp"
#include "mql4grec/tasks/training_set.hpp"
#include "mql4grec/train/run.hpp"

namespace mql4grec::pipeline {

/// Options of a training run.
struct run_options {
  std::filesystem::path out;  ///< directory of the run
  std::string tasks = "all";  ///< name of the mixture of tasks; see mixture_named
  /// Probability that an item of a history is written in another modality, so that the model can read items that lack
  /// a modality; see tasks::next_item.
  double modality_dropout = 0;
  seq2seq::training_options training = {};  ///< options of the training
  seq2seq::t5_config model = {};            ///< shape of a new model; vocabulary and dropout are set by train_model
  /// Model directory whose parameters the run starts from; default: random parameters. Not needed to resume the run.
  std::optional<std::filesystem::path> init = {};
  bool resume = false;            ///< continue the run in `out`, if there is one
  train::run_limits limits = {};  ///< time limit and interval of checkpoints
  /// The models after these epochs, counted from 1, are kept in out/epoch-N besides the best one: model directories of
  /// their own. Resuming may add epochs that aren't over.
  std::vector<index_t> keep_epochs = {};
  /// The users of each dataset that the model is trained and validated on, without a value all; see
  /// catalog::keep_training_users.
  std::optional<catalog::user_selection> training_users = {};
  /// Examples of training_data::replayed in an epoch, as a share of the examples of training_data::datasets, at least
  /// 0; see tasks::replayed_set.
  double replay_share = 0;
};

/// What a model is trained on.
struct training_data {
  std::vector<tasks::dataset> datasets;  ///< read with the tokens of `vocab`
  language::vocabulary vocab;            ///< the model's tokens
  /// Datasets whose training examples are replayed, read with the same tokens. They take no part in the validation, and
  /// run_options::training_users doesn't restrict them.
  std::vector<tasks::dataset> replayed = {};
  /// The domains of the model, see model_metadata::domains; if there are any, every dataset is one of them. The tokens
  /// that begin the datasets' inputs are set by train_model.
  std::vector<std::string> domains = {};
};

/// The result of train_model: progress and status.
using run_result = train::run_result<seq2seq::training_progress>;
/// Observes train_model; the loss of a step is the batch's mean per token.
using run_observer = train::run_observer<seq2seq::training_progress, double>;

namespace detail {

/// Sets the token that begins the inputs of each dataset. Throws error if there are domains and a dataset is none of
/// them.
void set_prefixes(training_data& data);

/// Writes one example of each task, so that a token that the vocabulary lacks is an error before the training and not
/// during an epoch.
void check_example_tokens(tasks::example_set const& examples, std::filesystem::path const& model,
                          std::string const& tasks);

/// The time of the split that all datasets have, replayed ones included; no value for leave-one-out. Throws error if
/// the datasets differ.
std::optional<double> time_of(tasks::replayed_set const& examples);

/// What is trained: the model's shape, the examples, and the domains of the datasets.
struct run_subject {
  seq2seq::t5_config const& model;
  tasks::replayed_set const& examples;
  std::vector<std::string> const& domains;
};

/// Throws error on every rank if they don't train with the same settings on the same data.
void check_ranks(train::run_ranks const& ranks, run_options const& options, train::run_description const& about);

/// `threads`: the workers of all ranks.
train::run_description describe(run_options const& options, run_subject const& subject,
                                train::backend_settings const& backend, index_t threads);

/// The reasons why conditions must be equal, by the condition's name, for error messages.
std::map<std::string, std::string> training_resume_reasons();

template <class B>
seq2seq::t5<B, float> starting_model(B& backend, run_options const& options, language::vocabulary const& vocab) {
  if (options.init) return seq2seq::read_model<float>(backend, *options.init);
  seq2seq::t5_config config = options.model;
  config.vocabulary = vocab.size();
  config.dropout = options.training.dropout;
  seq2seq::t5<B, float> model(backend, config);
  seq2seq::initialize(model, options.training.seed);
  return model;
}

/// The directory in which a run keeps the model after an epoch.
std::filesystem::path epoch_directory(std::filesystem::path const& run, std::int64_t epoch);

/// Throws error if options.keep_epochs contains an epoch that the run doesn't have or, in a new run, an epoch whose
/// directory contains a model.
void check_kept_epochs(run_options const& options, train::run_directory const& directory);

/// The files of a T5 run: vocabulary and tasks, the best model, and the models of kept epochs.
template <class Trainer>
class t5_files : public train::state_files<Trainer, seq2seq::training_progress> {
  using state_files = train::state_files<Trainer, seq2seq::training_progress>;

 public:
  t5_files(Trainer& trainer, train::run_description about, model_metadata metadata, std::vector<index_t> kept_epochs)
      : state_files(trainer, std::move(about), training_resume_reasons()),
        trainer_(trainer),
        metadata_(std::move(metadata)),
        kept_epochs_(std::move(kept_epochs)) {}

  /// Throws file_error also if an epoch is to be kept that is over and wasn't.
  seq2seq::training_progress read_state(std::filesystem::path const& path) {
    auto const p = state_files::read_state(path);
    for (auto const epoch : kept_epochs_) {
      auto const kept = epoch_directory(path.parent_path(), epoch);
      expects_file(epoch > p.epoch || std::filesystem::exists(kept / "model.safetensors"), kept, "epoch ", epoch,
                   " is over and its model wasn't kept; leave it out of the epochs to keep");
    }
    return p;
  }
  void begin(std::filesystem::path const& directory) const { write_model_metadata(directory, metadata_); }
  void write_model(std::filesystem::path const& directory, seq2seq::training_progress const&) const {
    mql4grec::seq2seq::write_model(directory, trainer_.model());
  }
  void end_epoch(std::filesystem::path const& directory, seq2seq::training_progress const& p) const {
    if (std::ranges::find(kept_epochs_, p.epoch) == kept_epochs_.end()) return;
    auto const kept = epoch_directory(directory, p.epoch);
    make_directory(kept);
    write_model_metadata(kept, metadata_);
    write_model(kept, p);
  }
  /// Writes the latest model if the run stopped within its first epoch, when no model has been validated.
  void end(std::filesystem::path const& directory, seq2seq::training_progress const& p) const {
    if (p.best_epoch == 0) write_model(directory, p);
  }
  bool saves_after_epoch(seq2seq::training_progress const&) const { return true; }

 private:
  Trainer const& trainer_;
  model_metadata metadata_;
  std::vector<index_t> kept_epochs_;
};

}  // namespace detail

/// Trains on the examples of all datasets, and on replayed ones if there are any, by the split of their interactions,
/// and keeps the model with the lowest validation loss in options.out. Throws error if `out` contains another run or a
/// model, file_error if a file can't be read or written, and training_error if the loss isn't finite; in every case the
/// files of the last good state remain.
///
/// With several ranks, each calls this with a backend of its own and the same data and options, otherwise all throw
/// error. All read `out` and options.init; rank 0 alone writes. The state knows no number of ranks: another number may
/// go on with the run, to the same bits if training_options::gradient_shards is set.
template <class B, class Comm = train::single_process>
run_result train_model(B& backend, run_options const& options, training_data data, run_observer const& observer = {},
                       Comm communicator = {}) {
  auto const ranks = train::ranks_of(backend, communicator);
  train::run_directory const directory(options.out, {.resume = options.resume, .ranks = ranks});
  detail::check_kept_epochs(options, directory);
  expects(options.modality_dropout >= 0 && options.modality_dropout <= 1, "modality_dropout is ",
          options.modality_dropout, ", expected 0 to 1");
  auto const mix = mixture_named(options.tasks, {.modality_dropout = options.modality_dropout});
  if (options.training_users)
    for (auto& one : data.datasets) catalog::keep_training_users(one.interactions, *options.training_users);
  detail::set_prefixes(data);
  auto const& vocab = data.vocab;
  tasks::training_set const train_set(mix, data.datasets, vocab);
  tasks::validation_set const valid_set(mix, std::move(data.datasets), vocab);
  tasks::training_set const source(mix, std::move(data.replayed), vocab);
  tasks::replayed_set const examples(train_set, source, options.replay_share);
  expects(train_set.size() > 0, options.out.string(), ": there are no examples to train on");
  for (auto const* set : {&train_set, &source})
    detail::check_example_tokens(*set, options.init.value_or(options.out), options.tasks);

  auto const state = directory.state_path();
  auto model = directory.resumed() ? seq2seq::t5<B, float>(backend, seq2seq::read_state_config(state))
                                   : detail::starting_model(backend, options, vocab);
  expects_file(model.config().vocabulary >= vocab.size(),
               directory.resumed() ? state : options.init.value_or(options.out), "the model knows ",
               model.config().vocabulary, " tokens, but the vocabulary has ", vocab.size());
  auto const about = detail::describe(options, {model.config(), examples, data.domains}, train::settings_of(backend),
                                      backend.workers() * communicator.world_size());
  detail::check_ranks(ranks, options, about);
  seq2seq::trainer<B, float, Comm> trainer(backend, model, options.training, communicator);
  seq2seq::t5_learner learner(trainer, examples, valid_set);
  detail::t5_files files(trainer, about,
                         {vocab, options.tasks, detail::time_of(examples), options.modality_dropout, data.domains},
                         options.keep_epochs);
  return train::run(learner, files, directory, {.limits = options.limits, .observer = observer});
}

}  // namespace mql4grec::pipeline

#if !MQL4GREC_COMPILED
#include "mql4grec/pipeline/train.inl.hpp"
#endif
