#pragma once
// A model that answers the requests of a service, on a backend that only compute knows.
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "mql4grec/pipeline/model_metadata.hpp"
#include "mql4grec/recommender.hpp"
#include "mql4grec/serve/micro_batcher.hpp"

namespace mql4grec::program {

/// What a service loads.
struct serving_inputs {
  std::filesystem::path const& model;                       ///< a model directory
  pipeline::model_metadata const& metadata;                 ///< of that model
  std::string const& dataset;                               ///< name of the dataset
  std::vector<language::token_table> const& tokens;         ///< one table per modality
  std::optional<rank::score_calibration> calibration = {};  ///< of the model
  search::live_catalog_options catalog = {};                ///< of changes while it serves
  /// The catalog of the model that this one replaces; nullptr: a new one.
  std::shared_ptr<search::live_catalog> shared_catalog = nullptr;
};

/// How a service computes.
struct serving_options {
  search::beam_options search = {};
  serve::batching_options batching = {};
};

/// A request of a service. Its deadline counts from the call of serving_model::recommend.
struct serving_request {
  std::vector<item_id> history;  ///< oldest first
  recommend_options options = {};
  bool explain = false;  ///< also say why; takes about as long as 20 requests
  bool trace = false;    ///< also show the beams of the search
};

/// The answer to a request.
struct serving_answer {
  recommendation best;
  std::vector<explanation> why = {};  ///< of each item, if they were asked for and there was time
  search_trace trace = {};            ///< if it was asked for
};

/// What became of a request: its answer, or why it has none.
using serving_outcome = std::variant<serving_answer, std::exception_ptr>;

/// Answers requests; thread-safe. The destructor answers all that were accepted.
class serving_model {
 public:
  serving_model() = default;
  serving_model(serving_model const&) = delete;
  serving_model& operator=(serving_model const&) = delete;
  virtual ~serving_model() = default;

  /// Returns at once; `answer` is called later, on a thread of the model. Throws serve::overloaded if too many requests
  /// wait; `answer` isn't called then.
  virtual void recommend(std::shared_ptr<serving_request const> request,
                         std::function<void(serving_outcome)> answer) = 0;
  /// The catalog, whose items may change while it serves.
  virtual std::shared_ptr<search::live_catalog> catalog() const = 0;
  /// Requests that wait for a worker.
  virtual index_t waiting() const = 0;
};

}  // namespace mql4grec::program
