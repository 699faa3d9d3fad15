#pragma once
// Value types of a SASRec training: its options and its progress.
#include <cmath>
#include <cstdint>
#include <optional>
#include <vector>

#include "mql4grec/core/error.hpp"
#include "mql4grec/optim/muon.hpp"
#include "mql4grec/optim/schedule.hpp"

namespace mql4grec::sasrec {

/// Options of a SASRec training. The defaults were tuned on validation targets; see docs/results.md.
struct training_options {
  index_t epochs = 10;          ///< upper bound; early stopping may end sooner
  index_t batch_size = 256;     ///< histories per update
  double learning_rate = 2e-3;  ///< peak of the schedule
  double warmup = 0.02;         ///< share of all steps with a linear warm-up; then half a cosine to zero
  optim::adamw optimizer = {};  ///< AdamW's coefficients and clipping
  /// Muon for the matrices of attention and feed-forward layers, with the same learning rate and weight decay. Without
  /// a value, AdamW updates them too; it needs a lower rate, 1e-3 or less, and more epochs.
  std::optional<optim::muon> hidden_optimizer = optim::muon{};
  double dropout = 0.2;       ///< rate, in [0, 1): of embeddings, attention weights, sublayers and hidden units
  index_t patience = 5;       ///< epochs without a better validation NDCG@10 before the run ends; 0: no early stopping
  std::uint64_t seed = 42;    ///< of initialization, order and dropout
  index_t block_items = 256;  ///< items that a worker computes at once; affects cache use and rounding only

  bool operator==(training_options const&) const = default;
};

/// Throws error if an option is out of range.
inline void validate(training_options const& o) {
  expects(o.epochs >= 1, "sasrec: ", o.epochs, " epochs, expected at least 1");
  expects(o.batch_size >= 1, "sasrec: a batch size of ", o.batch_size, ", expected at least 1");
  expects(o.learning_rate > 0 && std::isfinite(o.learning_rate), "sasrec: a learning rate of ", o.learning_rate,
          ", expected more than 0");
  expects(o.warmup >= 0 && o.warmup <= 1, "sasrec: a warm-up of ", o.warmup, ", expected 0 to 1");
  expects(o.dropout >= 0 && o.dropout < 1, "sasrec: a dropout rate of ", o.dropout, ", expected 0 ≤ rate < 1");
  if (o.hidden_optimizer) optim::validate(*o.hidden_optimizer);
  expects(o.patience >= 0, "sasrec: a patience of ", o.patience, ", expected at least 0");
  expects(o.block_items >= 1, "sasrec: blocks of ", o.block_items, " items, expected at least 1");
}

/// One finished epoch.
struct epoch_record {
  double train_loss = 0;     ///< mean cross-entropy per target of the epoch's batches, in nats
  double valid_ndcg = 0;     ///< NDCG@10 of the validation targets, over the whole catalog; 0 without such users
  double learning_rate = 0;  ///< of the last update
  double seconds = 0;        ///< since the start of training, over all resumptions

  bool operator==(epoch_record const&) const = default;
};

/// The progress of a SASRec training. Meets train::Progress.
struct training_progress {
  std::int64_t epoch = 0;             ///< epochs finished
  std::int64_t epoch_step = 0;        ///< updates made in the current epoch
  std::int64_t step = 0;              ///< updates made in total
  double epoch_loss = 0;              ///< Σ over the current epoch's updates of loss · targets
  std::int64_t epoch_targets = 0;     ///< targets of the current epoch's updates
  double best_ndcg = -1;              ///< highest validation NDCG@10; −1 before the first
  std::int64_t best_epoch = 0;        ///< the epoch of the best model, counted from 1; 0: none yet
  double seconds = 0;                 ///< of training, over all resumptions
  bool finished = false;              ///< no epoch is left, or early stopping ended the training
  std::vector<epoch_record> history;  ///< one record per finished epoch

  bool operator==(training_progress const&) const = default;
};

}  // namespace mql4grec::sasrec
