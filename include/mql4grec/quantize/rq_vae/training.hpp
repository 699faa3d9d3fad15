#pragma once
// Value types of a translator's training: what was asked, and how far it has come.
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "mql4grec/quantize/codebook/usage.hpp"
#include "mql4grec/quantize/rq_vae/trainer.hpp"

namespace mql4grec {

struct translator_options {
  rq_vae_training training = {};
  index_t epochs = 500;
  index_t autoencoder_epochs =
      10;                        ///< of them, the first ones leave the quantizer out; the codebooks start behind them
  index_t evaluate_every = 10;   ///< epochs from one look at the whole catalog to the next; the last epoch has one too
  index_t kmeans_rows = 65'536;  ///< of the sample that the codebooks start from; 0: they start random
  index_t kmeans_iterations = 20;
  double least_entropy =
      0.25;  ///< a level has collapsed whose log(perplexity) is a smaller share of log(codes), the most it could be …
  index_t collapse_patience =
      3;  ///< … when so many looks in a row have seen it, or it is to be kept at the end; 0: never given up
  index_t device_bytes = index_t{4} << 30;  ///< features of at most so many bytes are kept in a device's memory; larger
                                            ///< ones are read as they are needed
  std::uint64_t seed = 42;

  bool operator==(translator_options const&) const = default;
};

inline void validate(translator_options const& o) {
  expects(o.epochs >= 1, "translator: ", o.epochs, " epochs, expected at least 1");
  expects(o.autoencoder_epochs >= 0, "translator: ", o.autoencoder_epochs,
          " epochs without the quantizer, expected at least 0");
  expects(o.evaluate_every >= 1, "translator: a look every ", o.evaluate_every, " epochs, expected at least 1");
  expects(o.training.learning_rate > 0 && std::isfinite(o.training.learning_rate), "translator: a learning rate of ",
          o.training.learning_rate, ", expected more than 0");
  expects(o.kmeans_rows >= 0 && o.kmeans_iterations >= 1, "translator: k-means on ", o.kmeans_rows, " rows, ",
          o.kmeans_iterations, " iterations, expected at least 0 and 1");
  expects(o.device_bytes >= 0, "translator: ", o.device_bytes,
          " bytes of features in a device's memory, expected at least 0");
}

/// How many epochs leave the quantizer out: the last one never does, since somebody has to learn codes.
inline index_t autoencoder_epochs(translator_options const& o) { return std::min(o.autoencoder_epochs, o.epochs - 1); }

/// A look at the whole catalog with the nearest codes.
struct translator_evaluation {
  double reconstruction_error = 0;  ///< mean (x̂ − x)² an entry, of features as they are trained on
  double quantization_error = 0;    ///< mean (ẑ − z)² an entry
  double collision_rate = 0;        ///< items beyond the distinct sequences, over all items
  std::vector<level_usage> usage;   ///< a level each

  bool operator==(translator_evaluation const&) const = default;
};

/// One finished epoch.
struct translator_epoch {
  double reconstruction = 0, quantization = 0, total = 0;  ///< mean losses of its batches
  index_t revived = 0;                                     ///< codes given a new place in it
  double seconds = 0;                                      ///< since the start, over all resumptions
  std::optional<translator_evaluation> evaluation;

  void add(rq_vae_losses const& batch, double share) {
    reconstruction += share * batch.reconstruction;
    quantization += share * batch.quantization;
    total += share * batch.total;
    revived += batch.revived;
  }
  bool operator==(translator_epoch const&) const = default;
};

struct translator_progress {
  std::int64_t epoch = 0;       ///< epochs finished
  std::int64_t epoch_step = 0;  ///< updates made in the one under way
  std::int64_t step = 0;        ///< updates made in all
  std::int64_t items = 0;       ///< rows seen
  double seconds = 0;
  std::int64_t best_epoch =
      0;  ///< counted from 1: lowest collision rate, of equals the lowest reconstruction error; 0: none yet
  double best_collision_rate = std::numeric_limits<double>::infinity();
  double best_error = std::numeric_limits<double>::infinity();
  index_t collapsed_looks = 0;  ///< in a row
  bool finished = false;
  translator_epoch current;  ///< sums of the epoch under way, a batch weighed by its share of the rows
  std::vector<translator_epoch> history;

  bool operator==(translator_progress const&) const = default;
};

}  // namespace mql4grec
