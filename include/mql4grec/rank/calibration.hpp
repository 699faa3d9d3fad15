#pragma once
// From scores to probabilities. A score of a ranking orders items; it isn't a probability, and fused scores aren't even
// its logarithm. A score_calibration maps it to the probability that the item is the next one. It is fitted on
// validation users and holds for lists like those that it was fitted on: it states what made them.
#include <span>
#include <string>
#include <vector>

#include "mql4grec/catalog/interactions.hpp"
#include "mql4grec/core/ids.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/rank/fusion.hpp"
#include "mql4grec/search/beam_options.hpp"

namespace mql4grec::rank {

/// An item of a list, and whether it was the next one.
struct outcome {
  double score;  ///< of the item in the list, or a probability
  bool next;     ///< whether the user interacted with it next
  bool operator==(outcome const&) const = default;
};

/// What the scores of fused lists depend on, besides the model and the dataset. pipeline::evaluation has those of its
/// lists, list_conditions_of those of a recommender. The defaults are those of default options, for items with texts
/// and images.
struct list_conditions {
  search::beam_options search = {};                         ///< but for block_rows, which changes no score
  std::string fusion = average_plus_one().name();           ///< any_fusion::name()
  std::vector<std::string> modalities = {"text", "image"};  ///< whose lists are fused, in their order
  index_t max_history = catalog::default_max_history;       ///< the model reads at most so many items
  bool fill_in = false;  ///< whether histories are written with the tokens of pipeline::fill_in_language
  bool operator==(list_conditions const&) const = default;
};

/// The first difference between what a calibration was fitted with and what other lists are made with, for an error:
/// "fitted with beams 20, expected 50". Empty if there is none. Fusions without a name always differ.
[[nodiscard]] std::string difference(list_conditions const& fitted, list_conditions const& used);

/// The probability that an item is the next one, given its score: linear between knots, constant beyond the first and
/// the last, and never decreasing, so that it doesn't change the order of a list.
struct score_calibration {
  std::vector<double> scores;         ///< of the knots, ascending
  std::vector<double> probabilities;  ///< at the knots, ascending or equal, in [0, 1]
  list_conditions fitted_with = {};   ///< what made the lists; it is refused for others

  /// The probability for a score. Throws error without knots.
  [[nodiscard]] double probability(double score) const;
  bool operator==(score_calibration const&) const = default;
};

/// Options of fit_calibration.
struct calibration_options {
  /// Neighbouring outcomes by score are averaged in groups of at least so many before the regression, so that a
  /// single outcome can't make a probability of 0 or 1.
  index_t group = 100;
};

/// Isotonic regression (pool adjacent violators) of `next` on the score. Each pool is a knot: its mean score, and the
/// share of outcomes that were next. `conditions`: what made the lists that the outcomes are from. Throws error without
/// outcomes, for a score that isn't finite, and for a group of less than 1.
[[nodiscard]] score_calibration fit_calibration(std::span<outcome const> outcomes, list_conditions const& conditions,
                                                calibration_options const& options = {});

/// Predictions of about the same probability.
struct reliability_bin {
  index_t count;     ///< of the predictions
  double predicted;  ///< their mean probability
  double observed;   ///< the share of them that were next
  bool operator==(reliability_bin const&) const = default;
};

/// How well predicted probabilities agree with what happened.
struct reliability {
  std::vector<reliability_bin> bins = {};  ///< by probability, ascending
  double expected_error = 0;  ///< expected calibration error: the mean of |predicted − observed| over predictions
};

/// Sorts predictions, outcomes whose scores are probabilities, into at most `bins` bins of about equal counts; equal
/// probabilities are in one bin. Throws error if a score isn't in [0, 1], or without bins.
[[nodiscard]] reliability measure_reliability(std::span<outcome const> predictions, index_t bins = 10);

}  // namespace mql4grec::rank

#if !MQL4GREC_COMPILED
#include "mql4grec/rank/calibration.inl.hpp"
#endif
