#pragma once
// Value types of a T5 training: its options and its progress. The progress, the parameters and the moments are all that
// a resumed run needs; order, dropout and random choices of tasks are functions of (seed, epoch, step).
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "mql4grec/optim/muon.hpp"
#include "mql4grec/optim/schedule.hpp"

namespace mql4grec::seq2seq {

/// The learning rate over the course of a training.
enum class learning_curve {
  cosine,   ///< linear warm-up over a share of all steps, then half a cosine to zero: fine-tuning
  constant  ///< linear warm-up over a number of epochs, then constant: pre-training
};

/// The groups of examples whose gradients are kept apart; see optim/gradient_surgery.hpp.
enum class gradient_groups {
  none,     ///< one gradient of the whole batch
  tasks,    ///< a gradient for each task of the mixture
  datasets  ///< a gradient for each dataset
};

/// Options of a T5 training. The defaults are those of fine-tuning in MQL4GRec.
struct training_options {
  index_t epochs = 200;  ///< upper bound; early stopping may end sooner
  /// Updates of an epoch, at most; 0: an epoch is one pass over the examples. With fewer updates than a pass has, each
  /// epoch is a random part of the examples: validation is more frequent, and trainings on different data can have
  /// equally many updates.
  index_t epoch_updates = 0;
  index_t batch_size = 1024;                      ///< examples per update
  double learning_rate = 5e-4;                    ///< peak of the schedule
  learning_curve curve = learning_curve::cosine;  ///< shape of the schedule
  double warmup = 0.01;                           ///< cosine: share of all steps; constant: number of epochs
  optim::adamw optimizer = {};                    ///< AdamW's coefficients and clipping
  /// Muon for the matrices of attention and feed-forward layers, with the same learning rate and weight decay; without
  /// a value, AdamW updates them too.
  std::optional<optim::muon> hidden_optimizer = {};
  /// The learning rate of a layer, as a factor of that of the layer above it; 1: all layers have the same. More than 0,
  /// at most 1. See layer_rates. Backends that capture their steps have no other value than 1.
  double layer_decay = 1;
  /// Gradient surgery between these groups of examples: conflicting gradients lose their components along each other.
  /// Costs a flat gradient for each group. Backends that capture their steps have no other value than none.
  gradient_groups surgery = gradient_groups::none;
  double dropout = 0.1;     ///< rate, in [0, 1)
  index_t patience = 10;    ///< epochs without a better validation loss before the run ends; 0: no early stopping
  std::uint64_t seed = 42;  ///< of initialization, order, dropout and random choices of tasks
  /// The parts of a batch whose gradients are computed apart and added in a fixed order: the results have the same bits
  /// for any number of ranks and workers. Best a multiple of ranks · workers. A worker with several shards keeps up to
  /// log₂(shards) + 1 gradients. 0: as many as all ranks have workers, with bits that depend on them. Backends that
  /// capture their steps have no other value than 0.
  index_t gradient_shards = 0;
  /// Each rank keeps AdamW's moments of its part of the parameters only, and updates that part (ZeRO-1), to the same
  /// bits. The moments are whole on all ranks until the first update of a run, and on rank 0 while the state is
  /// written. Not with a hidden_optimizer, which needs whole matrices, and not on backends that capture their steps.
  bool sharded_moments = false;
  /// Entries of the gradient, at least, that several ranks sum at once, beside the backward pass as soon as they are
  /// final; 0, or with sharded_moments: all after it. Affects the time only, and backends in host memory only.
  index_t sum_entries = 1 << 18;
  index_t block_tokens = 512;         ///< tokens per micro-batch; affects cache use and rounding only
  index_t device_examples = 1 << 22;  ///< examples that a backend with its own memory holds at a time, about 120 bytes
                                      ///< each; the next part of the epoch is written meanwhile

  bool operator==(training_options const&) const = default;
};

/// The options of fine-tuning in MQL4GRec: the defaults.
inline training_options paper_recipe() { return {}; }

/// Options that need about a third of the examples for the same validation loss: Muon, smaller batches, a higher rate.
/// See docs/results.md for the comparison.
inline training_options fast_recipe() {
  return {.epochs = 20, .batch_size = 256, .learning_rate = 2e-3, .hidden_optimizer = optim::muon{}};
}

/// Options for small models, such as the `quarter` of model_sizes, and for few examples: Muon, many updates, a high
/// rate, no dropout. See docs/results.md for the comparison.
inline training_options small_recipe() {
  return {.epochs = 30, .batch_size = 64, .learning_rate = 4e-3, .hidden_optimizer = optim::muon{}, .dropout = 0};
}

/// Throws error if an option is out of range.
inline void validate(training_options const& o) {
  expects(o.epochs >= 1, "training: ", o.epochs, " epochs, expected at least 1");
  expects(o.epoch_updates >= 0, "training: ", o.epoch_updates, " updates per epoch, expected at least 0");
  expects(o.batch_size >= 1, "training: a batch size of ", o.batch_size, ", expected at least 1");
  expects(o.learning_rate > 0 && std::isfinite(o.learning_rate), "training: a learning rate of ", o.learning_rate,
          ", expected more than 0");
  expects(o.warmup >= 0 && std::isfinite(o.warmup), "training: a warm-up of ", o.warmup, ", expected at least 0");
  expects(o.layer_decay > 0 && o.layer_decay <= 1, "training: a layer_decay of ", o.layer_decay,
          ", expected more than 0 and at most 1");
  expects(o.dropout >= 0 && o.dropout < 1, "training: a dropout rate of ", o.dropout, ", expected 0 ≤ rate < 1");
  if (o.hidden_optimizer) optim::validate(*o.hidden_optimizer);
  expects(o.patience >= 0, "training: a patience of ", o.patience, ", expected at least 0");
  expects(o.device_examples >= 1, "training: ", o.device_examples,
          " examples in a device's memory, expected at least 1");
  expects(o.gradient_shards >= 0 && o.gradient_shards <= 1 << 16, "training: ", o.gradient_shards,
          " gradient_shards, expected 0 to ", 1 << 16);
  expects(!o.sharded_moments || !o.hidden_optimizer,
          "training: sharded_moments with Muon, which needs whole matrices; expected one of them");
  expects(o.sum_entries >= 0, "training: sums of ", o.sum_entries, " entries at once, expected at least 0");
  expects(o.block_tokens >= 1, "training: blocks of ", o.block_tokens, " tokens, expected at least 1");
}

/// Updates of an epoch on so many examples. The last update of a whole pass may have fewer examples.
inline std::int64_t updates_per_epoch(training_options const& o, index_t examples) {
  std::int64_t const pass = (examples + o.batch_size - 1) / o.batch_size;
  return o.epoch_updates > 0 ? std::min<std::int64_t>(pass, o.epoch_updates) : pass;
}

/// The schedule of these options for a training set of `steps_per_epoch` updates per epoch.
inline optim::schedule schedule_of(training_options const& o, std::int64_t steps_per_epoch) {
  if (o.curve == learning_curve::constant)
    return optim::constant_schedule{
        static_cast<std::int64_t>(std::llround(o.warmup * static_cast<double>(steps_per_epoch)))};
  std::int64_t const total = o.epochs * steps_per_epoch;
  return optim::cosine_schedule{static_cast<std::int64_t>(std::ceil(o.warmup * static_cast<double>(total))), total};
}

/// One finished epoch. Losses are mean cross-entropies per target token in nats.
struct epoch_record {
  /// Mean losses of the epoch's training batches and of the validation examples; the latter isn't a number if there are
  /// none.
  double train_loss = 0, valid_loss = 0;
  double learning_rate = 0;  ///< of the last update
  double seconds = 0;        ///< since the start of training, over all resumptions

  bool operator==(epoch_record const&) const = default;
};

/// The progress of a T5 training. Meets train::Progress.
struct training_progress {
  std::int64_t epoch = 0;         ///< epochs finished
  std::int64_t epoch_step = 0;    ///< updates made in the current epoch
  std::int64_t step = 0;          ///< updates made in total
  std::int64_t examples = 0;      ///< examples seen in total
  double epoch_loss = 0;          ///< Σ over the current epoch's updates of loss · tokens
  std::int64_t epoch_tokens = 0;  ///< target tokens of the current epoch's updates
  double best_loss = std::numeric_limits<double>::infinity();  ///< lowest validation loss; infinite before the first
  std::int64_t best_epoch =
      0;  ///< the epoch of the best model, counted from 1; 0: none yet; without validation examples, the last one
  double seconds = 0;                 ///< of training, over all resumptions
  bool finished = false;              ///< no epoch is left, or early stopping ended the training
  std::vector<epoch_record> history;  ///< one record per finished epoch

  /// The mean training loss per token of the current epoch; 0 before its first update.
  double mean_epoch_loss() const { return epoch_tokens > 0 ? epoch_loss / static_cast<double>(epoch_tokens) : 0; }
  bool operator==(training_progress const&) const = default;
};

/// Whether the last epoch is done, or `patience` epochs have passed without a better validation loss.
inline bool is_finished(training_progress const& p, training_options const& o) {
  return p.epoch >= o.epochs || (o.patience > 0 && p.epoch - p.best_epoch >= o.patience);
}

}  // namespace mql4grec::seq2seq
