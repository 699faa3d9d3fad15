#pragma once
// Value types of a training run: what was asked, and how far it has come. Together with the parameters and moments the
// progress is everything a resumed run needs; order, dropout and coin tosses are functions of (seed, epoch, step).
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "mql4grec/optim/adamw.hpp"
#include "mql4grec/optim/schedule.hpp"

namespace mql4grec {

enum class learning_curve {
  cosine,   ///< warm-up over a share of all steps, then half a cosine to zero: fine-tuning
  constant  ///< warm-up over a number of epochs, then level: pre-training
};

/// Defaults: fine-tuning as in MQL4GRec.
struct training_options {
  index_t epochs = 200;
  index_t batch_size = 1024;    ///< examples in an update
  double learning_rate = 5e-4;  ///< at the height of the schedule
  learning_curve curve = learning_curve::cosine;
  double warmup = 0.01;  ///< cosine: share of all steps; constant: epochs
  optim::adamw optimizer = {};
  double dropout = 0.1;
  index_t patience = 10;  ///< epochs without a better validation loss before stopping; 0: never stop
  std::uint64_t seed = 42;
  index_t block_tokens = 512;         ///< tokens a worker computes at once; a matter of caches, not of results
  index_t device_examples = 1 << 22;  ///< examples that a backend with memory of its own holds at a time, about 30
                                      ///< tokens of 4 bytes each, in whole batches; the next are written ahead

  bool operator==(training_options const&) const = default;
};

inline void validate(training_options const& o) {
  expects(o.epochs >= 1, "training: ", o.epochs, " epochs, expected at least 1");
  expects(o.batch_size >= 1, "training: a batch size of ", o.batch_size, ", expected at least 1");
  expects(o.learning_rate > 0 && std::isfinite(o.learning_rate), "training: a learning rate of ", o.learning_rate,
          ", expected more than 0");
  expects(o.warmup >= 0 && std::isfinite(o.warmup), "training: a warm-up of ", o.warmup, ", expected at least 0");
  expects(o.dropout >= 0 && o.dropout < 1, "training: a dropout rate of ", o.dropout, ", expected 0 ≤ rate < 1");
  expects(o.patience >= 0, "training: a patience of ", o.patience, ", expected at least 0");
  expects(o.device_examples >= 1, "training: ", o.device_examples,
          " examples in a device's memory, expected at least 1");
  expects(o.block_tokens >= 1, "training: blocks of ", o.block_tokens, " tokens, expected at least 1");
}

inline optim::schedule schedule_of(training_options const& o, std::int64_t steps_per_epoch) {
  if (o.curve == learning_curve::constant)
    return optim::constant_schedule{
        static_cast<std::int64_t>(std::llround(o.warmup * static_cast<double>(steps_per_epoch)))};
  std::int64_t const total = o.epochs * steps_per_epoch;
  return optim::cosine_schedule{static_cast<std::int64_t>(std::ceil(o.warmup * static_cast<double>(total))), total};
}

/// One finished epoch.
struct epoch_record {
  double train_loss = 0,
         valid_loss =
             0;  ///< mean cross-entropy a token, in nats; validation's isn't a number where there is nobody to validate
  double learning_rate = 0;  ///< at its last step
  double seconds = 0;        ///< since the start of training, over all resumptions

  bool operator==(epoch_record const&) const = default;
};

struct training_progress {
  std::int64_t epoch = 0;       ///< epochs finished
  std::int64_t epoch_step = 0;  ///< updates made in the one under way
  std::int64_t step = 0;        ///< updates made in all
  std::int64_t examples = 0;    ///< examples seen in all
  double epoch_loss = 0;        ///< Σ over this epoch's updates of loss · tokens
  std::int64_t epoch_tokens = 0;
  double best_loss = std::numeric_limits<double>::infinity();  ///< of validation; infinite while there is none
  std::int64_t best_epoch = 0;  ///< counted from 1; 0: none yet; the last one where there is nobody to validate
  double seconds = 0;           ///< of training, over all resumptions
  bool finished = false;
  std::vector<epoch_record> history;

  double mean_epoch_loss() const { return epoch_tokens > 0 ? epoch_loss / static_cast<double>(epoch_tokens) : 0; }
  bool operator==(training_progress const&) const = default;
};

/// Whether no epoch is left, or too many were in vain.
inline bool is_finished(training_progress const& p, training_options const& o) {
  return p.epoch >= o.epochs || (o.patience > 0 && p.epoch - p.best_epoch >= o.patience);
}

}  // namespace mql4grec
