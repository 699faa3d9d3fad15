#pragma once
// The definitions of rank/calibration.hpp.
#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "mql4grec/core/detail/words.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/rank/calibration.hpp"

namespace mql4grec::rank {

MQL4GREC_DEFINITION double score_calibration::probability(double score) const {
  expects(!scores.empty() && scores.size() == probabilities.size(), "score_calibration: ", scores.size(),
          " scores and ", probabilities.size(), " probabilities, expected as many and at least one");
  auto const above = std::ranges::upper_bound(scores, score);
  auto const i = to_size(above - scores.begin());
  if (i == 0) return probabilities.front();
  if (i == scores.size()) return probabilities.back();
  double const part = (score - scores[i - 1]) / (scores[i] - scores[i - 1]);
  return probabilities[i - 1] + part * (probabilities[i] - probabilities[i - 1]);
}

namespace detail {

/// Outcomes that are averaged.
struct outcome_pool {
  double score_sum = 0, next = 0, count = 0;

  double share() const { return next / count; }
  double score() const { return score_sum / count; }
  void add(outcome_pool const& other) {
    score_sum += other.score_sum;
    next += other.next;
    count += other.count;
  }
};

/// A member of list_conditions, by the key that it has in files.
struct condition {
  char const* key;
  std::string text;
};

MQL4GREC_DEFINITION std::vector<condition> conditions_of(list_conditions const& from) {
  auto const& search = from.search;
  std::string modalities;
  for (auto const& name : from.modalities) modalities += (modalities.empty() ? "" : " and ") + name;
  auto const answer = [](bool yes) { return yes ? "true" : "false"; };
  return {{"beams", std::to_string(search.beams)},
          {"length_penalty", number_text(search.length_penalty)},
          {"normalize", search.normalize == search::normalization::vocabulary ? "vocabulary" : "children"},
          {"score_eos", answer(search.score_eos)},
          {"fusion", from.fusion.empty() ? "(a rule without name())" : "'" + from.fusion + "'"},
          {"modalities", modalities},
          {"max_history", std::to_string(from.max_history)},
          {"fill_in", answer(from.fill_in)}};
}

}  // namespace detail

MQL4GREC_DEFINITION std::string difference(list_conditions const& fitted, list_conditions const& used) {
  auto const first = detail::conditions_of(fitted), second = detail::conditions_of(used);
  for (std::size_t i = 0; i < first.size(); ++i)
    if (first[i].text != second[i].text || (first[i].key == std::string("fusion") && fitted.fusion.empty()))
      return std::string("fitted with ") + first[i].key + " " + core::detail::printable(first[i].text) + ", expected " +
             core::detail::printable(second[i].text);
  return {};
}

MQL4GREC_DEFINITION score_calibration fit_calibration(std::span<outcome const> outcomes,
                                                      list_conditions const& conditions,
                                                      calibration_options const& options) {
  expects(!outcomes.empty(), "fit_calibration: no outcomes");
  expects(options.group >= 1, "fit_calibration: groups of ", options.group, ", expected at least 1");
  std::vector<outcome> sorted(outcomes.begin(), outcomes.end());
  for (auto const& one : sorted) expects(std::isfinite(one.score), "fit_calibration: a score of ", one.score);
  std::ranges::sort(sorted, {}, &outcome::score);
  std::vector<detail::outcome_pool> pools;
  auto const pool_violators = [&] {
    while (pools.size() > 1 && pools[pools.size() - 2].share() >= pools.back().share()) {
      pools[pools.size() - 2].add(pools.back());
      pools.pop_back();
    }
  };
  for (std::size_t i = 0; i < sorted.size();) {
    detail::outcome_pool group;
    auto const full = [&] { return group.count >= static_cast<double>(options.group); };
    for (; i < sorted.size() && (!full() || sorted[i].score == sorted[i - 1].score); ++i)
      group.add({sorted[i].score, sorted[i].next ? 1.0 : 0.0, 1});
    if (!full() && !pools.empty())
      pools.back().add(group);  // the last group is too small for one of its own
    else
      pools.push_back(group);
    pool_violators();
  }
  score_calibration fitted{.scores = {}, .probabilities = {}, .fitted_with = conditions};
  for (auto const& pool : pools) {
    fitted.scores.push_back(pool.score());
    fitted.probabilities.push_back(pool.share());
  }
  return fitted;
}

MQL4GREC_DEFINITION reliability measure_reliability(std::span<outcome const> predictions, index_t bins) {
  expects(bins >= 1, "measure_reliability: ", bins, " bins, expected at least 1");
  std::vector<outcome> sorted(predictions.begin(), predictions.end());
  for (auto const& one : sorted)
    expects(one.score >= 0 && one.score <= 1, "measure_reliability: a probability of ", one.score);
  std::ranges::sort(sorted, {}, &outcome::score);
  reliability measured;
  auto const n = sorted.size(), count = to_size(bins);
  for (std::size_t i = 0, bin = 1; i < n; ++bin) {
    detail::outcome_pool pool;
    for (; i < n && (i < bin * n / count || pool.count == 0 || sorted[i].score == sorted[i - 1].score); ++i)
      pool.add({sorted[i].score, sorted[i].next ? 1.0 : 0.0, 1});
    measured.bins.push_back(
        {.count = static_cast<index_t>(pool.count), .predicted = pool.score(), .observed = pool.share()});
    measured.expected_error += std::abs(pool.score_sum - pool.next) / static_cast<double>(n);
  }
  return measured;
}

}  // namespace mql4grec::rank
