#pragma once
// A step: the batch is cut into stretches, the stretches are dealt to the lanes in turn, each lane adds up the gradient of
// its own, and the lanes' gradients are added in their order. Which lane computes what depends on nothing but the batch and
// the number of lanes: the same seed and number of lanes give the same bits. Another number of lanes adds in another order.
// Several processes deal the stretches to the lanes of all of them, and a communicator adds the gradients up.
#include <chrono>
#include <functional>
#include <memory>
#include <numeric>

#include "mql4grec/core/random.hpp"
#include "mql4grec/optim/communicator.hpp"
#include "mql4grec/optim/gradient.hpp"
#include "mql4grec/seq2seq/pass.hpp"
#include "mql4grec/seq2seq/training.hpp"

namespace mql4grec {

/// Numbered examples that can be written down again and again: what example i says in an epoch depends on (seed, epoch, i).
template <class S>
concept ExampleSource = requires(S const& source, index_t i, std::uint64_t seed, batch& out) {
  { source.size() } -> std::convertible_to<index_t>;
  source.write(i, seed, seed, out);  // (example, seed, epoch, where to)
};

template <Backend B, class T, optim::Communicator<B, T> Others = optim::alone>
class trainer {
  using space = typename B::memory_space;

 public:
  trainer(B& backend, t5<B, T>& model, training_options const& options, Others others = {})
      : backend_(backend), model_(model), options_((validate(options), options)), others_(std::move(others)), moments_(backend, model.layout().size()) {
    for (index_t i = 0; i < backend.lanes(); ++i) {
      lanes_.push_back(std::make_unique<lane_state>(backend.lane(i), model));
      gradients_.push_back(lanes_.back()->gradient.view_all());
    }
  }

  training_options const& options() const { return options_; }
  t5<B, T>& model() { return model_; }
  t5<B, T> const& model() const { return model_; }
  optim::adamw_state<B, T>& moments() { return moments_; }
  optim::adamw_state<B, T> const& moments() const { return moments_; }

  /// One update; returns the batch's mean loss a token. Throws training_error, before anything is changed, when that or
  /// the gradient isn't finite.
  double step(batch const& all, double learning_rate) {
    std::int64_t const number = moments_.step + 1;
    double const tokens = static_cast<double>(all.targets.size());
    cut(all);
    nn::dropout_plan const plan{.rate = options_.dropout, .seed = options_.seed, .step = static_cast<std::uint32_t>(number)};
    for_each_lane(backend_, [&](B& lane, index_t which) {
      auto& mine = *lanes_[static_cast<std::size_t>(which)];
      fill<T>(lane, mine.gradient.view_all(), T{});
      for (std::size_t s = first_stretch(which); s < stretches_.size(); s += players())
        losses_[s] = static_cast<double>(mine.pass.loss_and_gradient(lane, model_, all, stretches_[s], plan, 1 / tokens, mine.windows));
    });
    double const loss = sum_of_losses() / tokens;
    double norm = optim::reduce_gradients<T>(backend_, std::span<out_vector<B, T> const>(gradients_));
    if (others_.size() > 1) {
      others_.add_up(backend_, gradients_.front());
      norm = std::sqrt(sum_of_squares<T>(backend_, gradient()));
    }
    if (!std::isfinite(loss) || !std::isfinite(norm))
      detail::raise<training_error>("step ", number, ": the loss is ", loss, " and the gradient's norm ", norm,
                                    ", expected finite numbers; try a smaller learning rate");
    optim::update<T>(backend_, options_.optimizer, learning_rate, norm, model_.layout(), gradient(), model_.parameters(), moments_);
    return loss;
  }

  /// Mean loss a token without dropout, over everything the source holds.
  template <ExampleSource Source>
  double mean_loss(Source const& source) {
    double sum = 0, tokens = 0;
    for (index_t first = 0; first < source.size(); first += evaluation_batch) {
      batch_.clear();
      for (index_t i = first; i < std::min<index_t>(source.size(), first + evaluation_batch); ++i) source.write(i, options_.seed, 0, batch_);
      cut(batch_);
      for_each_lane(backend_, [&](B& lane, index_t which) {
        for (std::size_t s = first_stretch(which); s < stretches_.size(); s += players())
          losses_[s] = static_cast<double>(lanes_[static_cast<std::size_t>(which)]->pass.loss(lane, model_, batch_, stretches_[s]));
      });
      sum += sum_of_losses();
      tokens += static_cast<double>(batch_.targets.size());
    }
    return tokens > 0 ? sum / tokens : 0;
  }

  /// The gradient of the last step, before clipping.
  in_vector<B, T> gradient() const { return std::as_const(lanes_.front()->gradient).view_all(); }

 private:
  static constexpr index_t evaluation_batch = 4096;

  struct lane_state {
    buffer<T, space> gradient;
    t5_weights<T, space> windows;
    t5_pass<B, T> pass;

    lane_state(B& lane, t5<B, T> const& model)
        : gradient(lane.template allocate<T>(model.layout().size())),
          windows(t5_windows(model.config(), model.layout(), gradient.view_all())) {}
  };

  /// Lanes of all processes together.
  std::size_t players() const { return lanes_.size() * static_cast<std::size_t>(others_.size()); }
  std::size_t first_stretch(index_t lane) const { return static_cast<std::size_t>(others_.rank()) * lanes_.size() + static_cast<std::size_t>(lane); }
  void cut(batch const& all) {
    cut_into_stretches(all, options_.block_tokens, stretches_);
    losses_.assign(stretches_.size(), 0);
  }
  double sum_of_losses() {
    double sum = std::accumulate(losses_.begin(), losses_.end(), 0.0);
    others_.add_up(backend_, std::span(&sum, 1));
    return sum;
  }

  B& backend_;
  t5<B, T>& model_;
  training_options options_;
  Others others_;
  optim::adamw_state<B, T> moments_;
  std::vector<std::unique_ptr<lane_state>> lanes_;
  std::vector<out_vector<B, T>> gradients_;  // the lanes'
  std::vector<stretch> stretches_;
  std::vector<double> losses_;
  batch batch_;
};

/// What the one who started a training sees of it, and how it can be stopped. All are called from the starting thread.
struct training_observer {
  /// Behind every update.
  std::function<void(training_progress const&, double loss, std::int64_t steps_per_epoch)> on_step = [](auto const&, double, std::int64_t) {};
  /// Behind every epoch, validated; `better`: the model is the best so far and should be kept.
  std::function<void(training_progress const&, bool better)> on_epoch = [](auto const&, bool) {};
  /// Asked in front of every update; true ends the training there.
  std::function<bool(training_progress const&)> should_stop = [](auto const&) { return false; };
};

/// Trains from where `progress` stands until the last epoch, early stopping or should_stop. `progress.finished` tells which.
/// Throws training_error when a loss, of training or of validation, isn't finite.
template <class B, class T, class Others, ExampleSource Train, ExampleSource Valid>
void fit(trainer<B, T, Others>& trainer, Train const& train, Valid const& valid, training_progress& progress, training_observer const& observer = {}) {
  auto const& options = trainer.options();
  expects(train.size() > 0, "training: there are no examples");
  std::int64_t const steps_per_epoch = (train.size() + options.batch_size - 1) / options.batch_size;
  auto const schedule = schedule_of(options, steps_per_epoch);
  using clock = std::chrono::steady_clock;
  auto const started = clock::now();
  double const seconds_before = progress.seconds;
  auto const elapsed = [&] { return seconds_before + std::chrono::duration<double>(clock::now() - started).count(); };
  batch all;

  while (!progress.finished) {
    auto const order = epoch_order(train.size(), options.seed, static_cast<std::uint64_t>(progress.epoch));
    for (; progress.epoch_step < steps_per_epoch; ++progress.epoch_step) {
      progress.seconds = elapsed();
      if (observer.should_stop(progress)) return;
      auto const first = progress.epoch_step * options.batch_size;
      auto const last = std::min<std::int64_t>(train.size(), first + options.batch_size);
      all.clear();
      for (auto i = first; i < last; ++i)
        train.write(order[static_cast<std::size_t>(i)], options.seed, static_cast<std::uint64_t>(progress.epoch), all);
      // transformers' schedulers multiply from 0: the very first update of a warm-up has rate 0 and changes nothing
      double const loss = trainer.step(all, options.learning_rate * optim::multiplier(schedule, progress.step));
      ++progress.step;
      progress.examples += last - first;
      progress.epoch_loss += loss * static_cast<double>(all.targets.size());
      progress.epoch_tokens += static_cast<std::int64_t>(all.targets.size());
      observer.on_step(progress, loss, steps_per_epoch);
    }
    double const valid_loss = trainer.mean_loss(valid);
    if (!std::isfinite(valid_loss))
      detail::raise<training_error>("epoch ", progress.epoch + 1, ": the validation loss is ", valid_loss,
                                    ", expected a finite number; try a smaller learning rate");
    progress.seconds = elapsed();
    progress.history.push_back({.train_loss = progress.mean_epoch_loss(),
                                .valid_loss = valid_loss,
                                .learning_rate = options.learning_rate * optim::multiplier(schedule, progress.step - 1),
                                .seconds = progress.seconds});
    ++progress.epoch;
    progress.epoch_step = 0;
    progress.epoch_loss = 0;
    progress.epoch_tokens = 0;
    bool const better = valid.size() == 0 || valid_loss < progress.best_loss;
    if (better) {
      progress.best_loss = valid_loss;
      progress.best_epoch = progress.epoch;
    }
    progress.finished = progress.epoch >= options.epochs || (options.patience > 0 && progress.epoch - progress.best_epoch >= options.patience);
    observer.on_epoch(progress, better);
  }
}

}  // namespace mql4grec
