#pragma once
// The stages of the program that run on a backend, as one interface for every backend. Commands call it and never ask
// which backend computes.
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "compute/serving.hpp"
#include "mql4grec/embed/npy_features.hpp"
#include "mql4grec/pipeline/embed.hpp"
#include "mql4grec/pipeline/evaluate.hpp"
#include "mql4grec/pipeline/model_metadata.hpp"
#include "mql4grec/pipeline/quantizer.hpp"
#include "mql4grec/pipeline/train.hpp"
#include "mql4grec/pipeline/translate.hpp"
#include "mql4grec/rank/ranking.hpp"
#include "mql4grec/sasrec/run.hpp"
#include "mql4grec/search/constraint.hpp"
#include "mql4grec/train/host_communicator.hpp"

namespace mql4grec::program {

struct common_options;

/// What an evaluation reads. Its progress is reported to options.progress.
struct evaluation_inputs {
  std::filesystem::path const& model;        ///< a model directory
  pipeline::model_metadata const& metadata;  ///< of that model
  tasks::dataset const& data;
  pipeline::evaluation_options const& options;
};

/// What a recommendation for one history reads.
struct recommendation_inputs {
  std::filesystem::path const& model;                       ///< a model directory
  pipeline::model_metadata const& metadata;                 ///< of that model
  std::string const& dataset;                               ///< name of the dataset
  std::vector<language::token_table> const& tokens;         ///< one table per modality
  std::vector<item_id> const& history;                      ///< oldest first
  recommend_options const& request;                         ///< how many, and which
  search::beam_options search = {};                         ///< how they are searched
  search::named_sets sets = {};                             ///< those that the request names, at least
  std::optional<rank::score_calibration> calibration = {};  ///< of the model
  search::item_list new_items = {};                         ///< items that nobody has interacted with
  index_t new_k = 0;                                        ///< of these, at most so many are recommended apart
  bool fill_in = false;  ///< write the history with generated tokens where items lack a modality
  bool explain = false;  ///< also say why
  std::shared_ptr<search::packed_catalog const> packed = nullptr;  ///< that the tokens are from, if they are
};

/// The items most likely to come next, best first.
struct recommended_items {
  recommendation best;
  recommendation best_new = {};           ///< of recommendation_inputs::new_items alone
  std::vector<explanation> reasons = {};  ///< of each item of `best`, with recommendation_inputs::explain
};

/// What the baseline SASRec reads.
struct sasrec_inputs {
  sasrec::run_options const& run;  ///< a finished run is not trained again
  catalog::interactions const& interactions;
  sasrec::history_list const& histories;  ///< to be ranked for
  index_t k = 20;                         ///< items of each list
};

/// The lists of the best epoch, one for each history; none when the training has stopped before its end.
struct sasrec_result {
  sasrec::run_result trained;
  std::vector<rank::ranking> lists = {};
};

/// What a text encoder reads.
struct text_embedding_inputs {
  std::filesystem::path const& encoder;  ///< a directory with config.json, weights and tokenizer, or a GGUF file
  pipeline::item_texts const& texts;
  pipeline::text_embedding_options const& options;
  pipeline::embedding_run const& run;
};

/// What an image encoder reads.
struct image_embedding_inputs {
  std::filesystem::path const& encoder;  ///< a directory with config.json, weights and preprocessor_config.json
  std::vector<std::filesystem::path> const& images;
  pipeline::image_embedding_options const& options;
  pipeline::embedding_run const& run;
};

/// The features of all files, without the rows that are zeros.
using present_features = embed::selected_features<embed::joined_features<embed::npy_features>>;

/// Computes the codes of one file.
using file_quantizer =
    std::function<pipeline::translated_catalog(embed::npy_features const&, pipeline::translation_options)>;

/// Every function opens a backend and closes it when it returns, so that no stage keeps memory of an earlier one. Each
/// throws what the library's function of the same name throws, and error when the backend cannot be opened.
class compute {
 public:
  compute() = default;
  compute(compute const&) = delete;
  compute& operator=(compute const&) = delete;
  virtual ~compute() = default;

  /// One line on why the requested precision brings no speed on this machine; empty when it does.
  virtual std::string precision_warning() const = 0;

  /// Computes the features of texts with a frozen encoder.
  virtual pipeline::embedding_result embed_texts(text_embedding_inputs const& inputs) const = 0;

  /// Computes the features of images with a frozen encoder.
  virtual pipeline::embedding_result embed_images(image_embedding_inputs const& inputs) const = 0;

  /// Trains T5 in the directory run.out, with the ranks of the communicator.
  virtual pipeline::run_result train_model(pipeline::run_options const& run, pipeline::training_data data,
                                           pipeline::run_observer const& observer,
                                           train::host_communicator const& ranks = {}) const = 0;

  /// Evaluates a model. `progress` is called with the number of users done and of all users; first with 0 done.
  virtual pipeline::evaluation evaluate(evaluation_inputs const& inputs) const = 0;

  /// Trains an RQ-VAE in the directory run.out.
  virtual pipeline::quantizer_run_result train_quantizer(pipeline::quantizer_run const& run,
                                                         present_features const& features,
                                                         embed::feature_statistics const& seen,
                                                         pipeline::quantizer_run_observer const& observer) const = 0;

  /// Fits residual k-means and writes it to the directory run.out. Always in fp32.
  virtual pipeline::quantizer_run_result learn_residual_kmeans(pipeline::quantizer_run const& run,
                                                               quantize::residual_kmeans_options const& options,
                                                               present_features const& features,
                                                               std::function<bool()> const& interrupted) const = 0;

  /// Reads a trained translator from a file. What is returned owns its backend and may outlive this object. It computes
  /// in fp32 whatever the requested precision is: the codes of an item must not depend on it.
  virtual file_quantizer load_quantizer(pipeline::quantizer_kind kind, std::filesystem::path const& model) const = 0;

  /// The items most likely to come next.
  virtual recommended_items recommend(recommendation_inputs const& inputs) const = 0;

  /// Loads a model for a service. What is returned owns its backend and may outlive this object.
  virtual std::unique_ptr<serving_model> open_serving(serving_inputs const& inputs,
                                                      serving_options const& options) const = 0;

  /// Trains a SASRec in the directory run.out, and ranks the catalog.
  virtual sasrec_result rank_by_sasrec(sasrec_inputs const& inputs, sasrec::run_observer const& observer) const = 0;
};

/// The interface for options.backend, with its precision and threads. Throws error when this build or this machine does
/// not have that backend, or the backend does not have that precision.
std::unique_ptr<compute> open_compute(common_options const& options);

/// How a backend is opened, as resolved from the command line.
struct compute_options {
  precision products = precision::fp32;
  index_t threads = 0;       ///< of a CPU; 0: as many as the machine has hardware threads
  index_t device = 0;        ///< the number of a GPU
  index_t rank_on_host = 0;  ///< this process uses the GPU so many after `device`, modulo the number of GPUs
};

// One for each backend; open_compute chooses between them.
std::unique_ptr<compute> open_cpu_compute(compute_options const& options);
std::unique_ptr<compute> open_gpu_compute(compute_options const& options);

}  // namespace mql4grec::program
