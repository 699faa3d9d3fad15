#pragma once
// Trains a SASRec in a directory, which then contains the model of the best epoch (config.json, model.safetensors) and
// the state from which the run continues (training.safetensors).
#include <filesystem>
#include <utility>

#include "mql4grec/sasrec/checkpoint.hpp"
#include "mql4grec/train/run.hpp"

namespace mql4grec::sasrec {

/// Options of a training run.
struct run_options {
  std::filesystem::path out;       ///< directory of the run
  training_options training = {};  ///< options of the training
  sasrec_config model = {};        ///< shape of the model; if `items` is 0, it has those of the dataset
  bool resume = false;             ///< continue the run in `out`, if there is one
  train::run_limits limits = {};   ///< time limit and interval of checkpoints
};

/// The result of train_model: progress and status.
using run_result = train::run_result<training_progress>;
/// Observes train_model; the loss of a step is the batch's mean per target.
using run_observer = train::run_observer<training_progress, double>;

namespace detail {

/// The files of a run.
template <class Trainer>
class run_files : public train::state_files<Trainer, training_progress> {
 public:
  run_files(Trainer& trainer, train::run_description about)
      : train::state_files<Trainer, training_progress>(trainer, std::move(about), resume_reasons()),
        trainer_(trainer) {}

  void begin(std::filesystem::path const&) const {}
  void write_model(std::filesystem::path const& directory, training_progress const&) const {
    mql4grec::sasrec::write_model(directory, trainer_.model());
  }
  /// Writes the latest model if the run stopped within its first epoch.
  void end(std::filesystem::path const& directory, training_progress const& p) const {
    if (p.best_epoch == 0) write_model(directory, p);
  }
  bool saves_after_epoch(training_progress const&) const { return true; }

 private:
  Trainer const& trainer_;
};

}  // namespace detail

/// Trains on the training parts of a dataset and keeps the model with the highest validation NDCG@10 in options.out.
/// Throws error if `out` contains another run or a model, file_error if a file can't be read or written, and
/// training_error if the loss isn't finite; in every case the files of the last good state remain.
template <Backend B>
run_result train_model(B& backend, run_options const& options, catalog::interactions const& data,
                       run_observer const& observer = {}) {
  train::run_directory const directory(options.out, {.resume = options.resume});
  auto config = options.model;
  if (config.items == 0) config.items = data.item_count;
  sasrec_model<B, float> model(backend, config);
  initialize(model, options.training.seed);
  trainer<B, float> trainer(backend, model, options.training);
  learner<B, float> learner(trainer, data);
  detail::run_files files(trainer,
                          describe(options.training, config, data, train::settings_of(backend), backend.workers()));
  return train::run(learner, files, directory, {.limits = options.limits, .observer = observer});
}

}  // namespace mql4grec::sasrec
