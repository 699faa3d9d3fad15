#pragma once
// Value types of an RQ-VAE training: its options and its progress.
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "mql4grec/quantize/codebook/usage.hpp"
#include "mql4grec/quantize/rq_vae/trainer.hpp"

namespace mql4grec::quantize {

/// Options of an RQ-VAE training.
struct rq_vae_training_options {
  rq_vae_trainer_options training = {};  ///< options of an update
  index_t epochs = 500;                  ///< including autoencoder_epochs
  /// The number of first epochs without the quantizer; the codebooks are initialized after them.
  index_t autoencoder_epochs = 10;
  index_t evaluate_every =
      10;  ///< epochs between two evaluations on the whole catalog; the last epoch is always evaluated
  index_t kmeans_rows = 65'536;    ///< rows of the sample from which the codebooks are initialized; 0: random codebooks
  index_t kmeans_iterations = 20;  ///< of that k-means
  /// A level has collapsed if its log(perplexity) is less than this share of log(min(codes, rows)), the maximum.
  double least_entropy = 0.25;
  /// The number of consecutive evaluations with a collapsed level after which the training throws training_error; it
  /// also throws if the model to be kept at the end has a collapsed level. 0: never.
  index_t collapse_patience = 3;
  /// Features of at most so many bytes are kept in a device's memory; larger ones are read as they are needed.
  index_t device_bytes = index_t{4} << 30;
  std::uint64_t seed = 42;  ///< of the initialization and of the order of the rows

  bool operator==(rq_vae_training_options const&) const = default;
};

/// Throws error if an option is out of range.
inline void validate(rq_vae_training_options const& o) {
  expects(o.epochs >= 1, "RQ-VAE: ", o.epochs, " epochs, expected at least 1");
  expects(o.autoencoder_epochs >= 0, "RQ-VAE: ", o.autoencoder_epochs,
          " epochs without the quantizer, expected at least 0");
  expects(o.evaluate_every >= 1, "RQ-VAE: an evaluation every ", o.evaluate_every, " epochs, expected at least 1");
  expects(o.training.learning_rate > 0 && std::isfinite(o.training.learning_rate), "RQ-VAE: a learning rate of ",
          o.training.learning_rate, ", expected more than 0");
  expects(o.kmeans_rows >= 0 && o.kmeans_iterations >= 1, "RQ-VAE: k-means on ", o.kmeans_rows, " rows, ",
          o.kmeans_iterations, " iterations, expected at least 0 and 1");
  expects(o.training.gradient_shards >= 0 && o.training.gradient_shards <= 1 << 16,
          "RQ-VAE: ", o.training.gradient_shards, " gradient_shards, expected 0 to ", 1 << 16);
  expects(o.device_bytes >= 0, "RQ-VAE: ", o.device_bytes,
          " bytes of features in a device's memory, expected at least 0");
}

/// The number of epochs without the quantizer. The last epoch always has it, so that codes are learned.
inline index_t autoencoder_epochs(rq_vae_training_options const& o) {
  return std::min(o.autoencoder_epochs, o.epochs - 1);
}

/// An evaluation on the whole catalog with the nearest codes.
struct quantizer_evaluation {
  double reconstruction_error = 0;  ///< mean (x̂ − x)² per entry, of features as they are trained on
  double quantization_error = 0;    ///< mean (ẑ − z)² per entry
  double collision_rate = 0;        ///< (items − distinct sequences) / items
  std::vector<level_usage> usage;   ///< by level

  bool operator==(quantizer_evaluation const&) const = default;
};

/// One finished epoch.
struct rq_vae_epoch {
  double reconstruction = 0, quantization = 0, total = 0;  ///< mean losses of its batches
  index_t revived = 0;                                     ///< codes that were moved because they were idle
  double seconds = 0;                                      ///< since the start, over all resumptions
  std::optional<quantizer_evaluation> evaluation;          ///< empty if the epoch wasn't evaluated

  /// Adds a batch's losses, weighted by its share of the rows.
  void add(rq_vae_losses const& batch, double share) {
    reconstruction += share * batch.reconstruction;
    quantization += share * batch.quantization;
    total += share * batch.total;
    revived += batch.revived;
  }
  bool operator==(rq_vae_epoch const&) const = default;
};

/// The progress of an RQ-VAE training. Meets train::Progress.
struct rq_vae_progress {
  std::int64_t epoch = 0;       ///< epochs finished
  std::int64_t epoch_step = 0;  ///< updates made in the current epoch
  std::int64_t step = 0;        ///< updates made in total
  std::int64_t items = 0;       ///< rows seen in total
  double seconds = 0;           ///< of training, over all resumptions
  /// The epoch of the best model, counted from 1: lowest collision rate, then lowest reconstruction error; 0: none yet.
  std::int64_t best_epoch = 0;
  double best_collision_rate =
      std::numeric_limits<double>::infinity();                  ///< of the best model; infinite before the first
  double best_error = std::numeric_limits<double>::infinity();  ///< its reconstruction error
  index_t collapsed_evaluations = 0;                            ///< consecutive evaluations with a collapsed level
  bool finished = false;                                        ///< the last epoch is done
  rq_vae_epoch current;               ///< sums of the current epoch, each batch weighted by its share of the rows
  std::vector<rq_vae_epoch> history;  ///< one record per finished epoch

  bool operator==(rq_vae_progress const&) const = default;
};

}  // namespace mql4grec::quantize
