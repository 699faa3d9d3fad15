#pragma once
#include <optional>
#include <string>

#include "mql4grec/core/scalar.hpp"

namespace mql4grec {

/// Means over users, each in [0, 1]. With one right item a user, NDCG@1 is hit@1.
struct metric_values {
  double hit1 = 0, hit5 = 0, hit10 = 0;
  double ndcg5 = 0, ndcg10 = 0;
  bool operator==(metric_values const&) const = default;
};

/// What `mql4grec evaluate` says about one model on one data set. The first three follow the paper (a sequence is
/// right or wrong); item_* ask for the item itself, in expectation where several items share a sequence. There is
/// nothing where no user was judged, or of a modality that the dataset or the model lacks.
struct report {
  std::string dataset = {};
  std::string split = "test";
  index_t users = 0;
  index_t beams = 20;
  std::optional<metric_values> text = {}, image = {}, ensemble = {};
  std::optional<metric_values> item_text = {}, item_image = {}, item_ensemble = {};
  double seconds = 0;
  double users_per_second = 0;
  bool operator==(report const&) const = default;
};

}  // namespace mql4grec
