#pragma once
// The result of an evaluation as a plain value.
#include <optional>
#include <string>

#include "mql4grec/core/scalar.hpp"

namespace mql4grec {

/// Means over users, each in [0, 1]. NDCG@1 equals hit@1, because each user has one target.
struct metric_values {
  double hit1 = 0, hit5 = 0, hit10 = 0;  ///< HR@1, HR@5, HR@10: share of users whose target is among the first k
  double ndcg5 = 0, ndcg10 = 0;          ///< NDCG@5, NDCG@10
  bool operator==(metric_values const&) const = default;
};

/// The result of evaluating one model on one dataset. The first three metrics follow the paper: a sequence is right or
/// wrong. The item_* metrics are about the item itself, in expectation where several items share a sequence. A metric
/// is empty when no user was evaluated, or when the dataset or the model lacks the modality.
struct report {
  std::string dataset = {};    ///< name of the dataset
  std::string split = "test";  ///< "valid" or "test"
  index_t users = 0;           ///< evaluated users
  index_t beams = 20;          ///< beams per user
  /// On token sequences, per modality and after fusion.
  std::optional<metric_values> text = {}, image = {}, ensemble = {};
  /// On items.
  std::optional<metric_values> item_text = {}, item_image = {}, item_ensemble = {};
  double seconds = 0;           ///< duration of the evaluation
  double users_per_second = 0;  ///< users / seconds; 0 if the duration is 0
  bool operator==(report const&) const = default;
};

}  // namespace mql4grec
