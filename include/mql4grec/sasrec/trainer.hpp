#pragma once
// Trains a SASRec: the workers divide a batch of histories, and their gradients are added in their order, so the same
// seed and number of workers give the same bits. The learner is what train::run_epochs requires.
#include <cmath>
#include <memory>
#include <numeric>
#include <span>
#include <vector>

#include "mql4grec/backend/contract/precision.hpp"
#include "mql4grec/backend/contract/row_blocks.hpp"
#include "mql4grec/catalog/interactions.hpp"
#include "mql4grec/core/random.hpp"
#include "mql4grec/optim/gradient.hpp"
#include "mql4grec/sasrec/pass.hpp"
#include "mql4grec/sasrec/rank_items.hpp"
#include "mql4grec/sasrec/training.hpp"
#include "mql4grec/train/loop.hpp"

namespace mql4grec::sasrec {

/// Makes updates of a SASRec with AdamW, and Muon for hidden matrices. Not thread-safe: it uses the backend's workers
/// itself.
template <Backend B, class T>
class trainer {
  using space = typename B::memory_space;

 public:
  /// The backend.
  using backend_type = B;

  /// Backend and model must outlive the trainer. Allocates a gradient per worker and the moments. Throws error for
  /// invalid options.
  trainer(B& backend, sasrec_model<B, T>& model, training_options const& options)
      : backend_(backend),
        model_(model),
        options_((validate(options), options)),
        moments_(backend, model.layout().size()) {
    expects(products_of(backend) != precision::int8,
            "training: int8 products are for frozen weights; expected another precision");
    for (index_t i = 0; i < backend.workers(); ++i) {
      workers_.push_back(std::make_unique<worker_state>(backend.worker(i), model));
      gradients_.push_back(workers_.back()->gradient.view_all());
    }
  }

  /// The backend.
  B& backend() { return backend_; }
  /// The options.
  training_options const& options() const { return options_; }
  /// The model.
  sasrec_model<B, T>& model() { return model_; }
  /// The model.
  sasrec_model<B, T> const& model() const { return model_; }
  /// AdamW's moments and the number of updates.
  optim::adamw_state<B, T>& moments() { return moments_; }
  /// AdamW's moments and the number of updates.
  optim::adamw_state<B, T> const& moments() const { return moments_; }

  /// One update by a batch with targets. Returns the mean loss per target in nats. Throws training_error if the loss or
  /// the gradient isn't finite; parameters and moments are then unchanged.
  double step(sequences const& all, double learning_rate) {
    std::int64_t const number = moments_.step + 1;
    double const targets = static_cast<double>(all.targets.size());
    expects(targets > 0, "sasrec: a batch without targets");
    cut(all, options_.block_items, backend_.workers(), parts_);
    losses_.assign(parts_.size(), 0);
    nn::dropout_plan const plan{
        .rate = options_.dropout, .seed = options_.seed, .step = static_cast<std::uint32_t>(number)};
    for_each_worker(backend_, [&](B& worker, index_t which) {
      auto& mine = *workers_[to_size(which)];
      fill<T>(worker, mine.gradient.view_all(), T{});
      auto const range = worker_share{which, backend_.workers()}.of(std::ssize(parts_));
      for (auto p = to_size(range.first); p < to_size(range.first + range.count); ++p)
        losses_[p] = static_cast<double>(
            mine.pass.loss_and_gradient(all, parts_[p], plan, {.sum = mine.windows, .scale = 1 / targets}));
    });
    double const loss = std::accumulate(losses_.begin(), losses_.end(), 0.0) / targets;
    double const norm = optim::reduce_gradients<T>(backend_, std::span<out_vector<B, T> const>(gradients_));
    step_report const report{loss, norm, clipping_factor(options_.optimizer.clip_norm, norm)};
    optim::expect_finite(number, report);
    update({learning_rate, targets, number}, report);
    return loss;
  }

 private:
  struct worker_state {
    buffer<T, space> gradient;
    sasrec_weights<T, space> windows;
    sasrec_pass<B, T> pass;

    worker_state(B& worker, sasrec_model<B, T> const& model)
        : gradient(worker.template allocate<T>(model.layout().size())),
          windows(sasrec_windows(model.config(), model.layout(), gradient.view_all())),
          pass(worker, model) {}
  };

  /// The update by the gradient of the mean loss.
  void update(step_inputs const& inputs, step_report const& report) {
    optim::update_operands<B, T> const on{std::as_const(workers_.front()->gradient).view_all(), model_.parameters(),
                                          moments_};
    optim::update_all<T>(backend_, {options_.optimizer, options_.hidden_optimizer}, {inputs, report}, model_.layout(),
                         on);
  }

  B& backend_;
  sasrec_model<B, T>& model_;
  training_options options_;
  optim::adamw_state<B, T> moments_;
  std::vector<std::unique_ptr<worker_state>> workers_;
  std::vector<out_vector<B, T>> gradients_;  // the workers'
  std::vector<sequence_range> parts_;
  std::vector<double> losses_;
};

/// A trainer with the histories of a dataset: a train::Learner. An example is the training part of a user with at least
/// two items there; every item but the first is a target. The best epoch is that of the highest NDCG@10 of the
/// validation targets.
template <Backend B, class T>
class learner {
 public:
  /// The progress of a run.
  using progress_type = training_progress;
  /// The result of a step: the batch's mean loss per target.
  using losses_type = double;

  /// Both arguments must outlive the learner. Throws error if no user has two training items, or if the model has fewer
  /// items than the dataset.
  learner(trainer<B, T>& trainer, catalog::interactions const& data) : trainer_(trainer) {
    auto const& c = trainer.model().config();
    expects(data.item_count <= c.items, "sasrec: the model has ", c.items, " items, the dataset ", data.item_count);
    for (index_t u = 0; u < data.users(); ++u) {
      auto const user = static_cast<user_id>(u);
      if (auto const items = catalog::training_items(data, user); items.size() >= 2) train_.push_back(items);
      if (!catalog::is_training_user(data, user) || !catalog::has_target(data, user, catalog::split::valid)) continue;
      auto const at = catalog::target_position(data, user, catalog::split::valid);
      valid_.push_back(catalog::window_before(data.of(user), at, c.positions));
      targets_.push_back(data.of(user)[to_size(at)]);
    }
    expects(!train_.empty(), "sasrec: no user has two training items");
    std::int64_t const total = trainer.options().epochs * steps_per_epoch();
    schedule_ = {std::llround(std::ceil(trainer.options().warmup * static_cast<double>(total))), total};
  }

  /// The number of training examples.
  index_t examples() const { return std::ssize(train_); }
  /// Updates per epoch; the last batch may be smaller.
  std::int64_t steps_per_epoch() const {
    return (examples() + trainer_.options().batch_size - 1) / trainer_.options().batch_size;
  }
  /// Whether the last epoch is done, or `patience` epochs have passed without a better validation NDCG@10.
  bool is_finished(training_progress const& p) const {
    auto const& o = trainer_.options();
    return p.epoch >= o.epochs || (o.patience > 0 && p.epoch - p.best_epoch >= o.patience);
  }

  /// Shuffles the examples of epoch p.epoch. Also called when a run is resumed within the epoch.
  void begin_epoch(training_progress const& p) {
    order_ = epoch_order(examples(), trainer_.options().seed, static_cast<std::uint64_t>(p.epoch));
  }
  /// Update number p.epoch_step of the epoch. Returns the batch's mean loss per target in nats.
  double step(training_progress& p) {
    index_t const first = p.epoch_step * trainer_.options().batch_size;
    index_t const last = std::min(examples(), first + trainer_.options().batch_size);
    batch_.clear();
    for (index_t i = first; i < last; ++i)
      batch_.add_with_targets(train_[to_size(order_[to_size(i)])], trainer_.model().config().positions);
    double const loss = trainer_.step(batch_, learning_rate_at(p.step));
    p.epoch_loss += loss * static_cast<double>(batch_.targets.size());
    p.epoch_targets += std::ssize(batch_.targets);
    return loss;
  }
  /// Computes the validation NDCG@10 and returns whether it is the highest so far; without validation targets, always
  /// true.
  bool end_epoch(training_progress& p) {
    valid_ndcg_ = mean_ndcg(trainer_.backend(), trainer_.model(), valid_, targets_);
    bool const better = valid_.empty() || valid_ndcg_ > p.best_ndcg;
    if (better) {
      p.best_ndcg = valid_ndcg_;
      p.best_epoch = p.epoch;
    }
    return better;
  }
  /// Appends the epoch that ended to p.history.
  void record_epoch(training_progress& p) {
    p.history.push_back({.train_loss = p.epoch_loss / static_cast<double>(p.epoch_targets),
                         .valid_ndcg = valid_ndcg_,
                         .learning_rate = learning_rate_at(p.step - 1),
                         .seconds = p.seconds});
    p.epoch_loss = 0;
    p.epoch_targets = 0;
  }
  /// Does nothing: step throws.
  void check(training_progress const&) const {}

 private:
  double learning_rate_at(std::int64_t step) const { return trainer_.options().learning_rate * schedule_(step); }

  trainer<B, T>& trainer_;
  history_list train_, valid_;
  std::vector<item_id> targets_;  // of valid_
  optim::cosine_schedule schedule_;
  std::vector<index_t> order_;
  sequences batch_;
  double valid_ndcg_ = 0;  // of the epoch that ended
};

}  // namespace mql4grec::sasrec
