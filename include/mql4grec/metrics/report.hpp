#pragma once
// The result of an evaluation as a plain value.
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/scalar.hpp"
#include "mql4grec/language/vocabulary.hpp"

namespace mql4grec::metrics {

/// The metrics at one cut-off, means over users, each in [0, 1].
struct cutoff_metrics {
  index_t k = 1;    ///< only the first k entries of a list count
  double hit = 0;   ///< HR@k: the share of users whose target is among the first k
  double ndcg = 0;  ///< NDCG@k; NDCG@1 equals HR@1, because each user has one target
  bool operator==(cutoff_metrics const&) const = default;
};

/// The metrics of a list per user, at several cut-offs.
struct metric_values {
  std::vector<cutoff_metrics> at;  ///< by cut-off

  /// HR@k. Throws error if k isn't one of the cut-offs.
  [[nodiscard]] double hit(index_t k) const { return of(k).hit; }
  /// NDCG@k. Throws error if k isn't one of the cut-offs.
  [[nodiscard]] double ndcg(index_t k) const { return of(k).ndcg; }

  bool operator==(metric_values const&) const = default;

 private:
  cutoff_metrics const& of(index_t k) const {
    auto const found = std::ranges::find(at, k, &cutoff_metrics::k);
    expects(found != at.end(), "metrics at ", k, ", which is none of the ", at.size(), " cut-offs of the evaluation");
    return *found;
  }
};

/// The metrics of a list per user by both criteria. Empty when no user was evaluated, or when the dataset or the model
/// lacks the modality.
struct list_metrics {
  std::optional<metric_values> sequence = {};  ///< the paper's: a list contains the target's token sequence or not
  /// Of the item itself, in expectation where several items share a sequence.
  std::optional<metric_values> item = {};
  bool operator==(list_metrics const&) const = default;
};

/// The metrics over some of the evaluated users.
struct user_group {
  std::string name = {};                       ///< "warm", "cold" or "drafted"
  index_t users = 0;                           ///< users of the group
  std::vector<list_metrics> by_modality = {};  ///< of the lists of each modality
  list_metrics ensemble = {};                  ///< of the fused lists
  bool operator==(user_group const&) const = default;
};

/// The result of evaluating one model on one dataset.
struct report {
  std::string dataset = {};                    ///< name of the dataset
  std::string split = "test";                  ///< "valid", "test", or "time" for the test of a split by time
  index_t users = 0;                           ///< evaluated users
  index_t beams = 20;                          ///< beams per user
  std::vector<list_metrics> by_modality = {};  ///< of the lists of each modality
  list_metrics ensemble = {};                  ///< of the fused lists
  std::optional<double> until = {};            ///< the time of a split by time
  /// With a split by time: "warm", the users whose target somebody has interacted with before that time, and "cold",
  /// the others; together these are all users. If lists of new items were drafted, then "drafted": the cold users
  /// again, with these lists.
  std::vector<user_group> groups = {};
  double seconds = 0;           ///< duration of the evaluation
  double users_per_second = 0;  ///< users / seconds; 0 if the duration is 0

  /// The metrics of a modality; without values if the evaluation has no such modality.
  [[nodiscard]] list_metrics of(language::modality kind) const {
    auto const m = index(kind);
    return m >= 0 && m < std::ssize(by_modality) ? by_modality[to_size(m)] : list_metrics();
  }

  bool operator==(report const&) const = default;
};

}  // namespace mql4grec::metrics
