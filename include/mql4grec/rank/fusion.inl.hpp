#pragma once
// The definitions of rank/fusion.hpp.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/rank/fusion.hpp"

namespace mql4grec::rank {

namespace detail {

/// An item with its scores in all lists.
struct item_scores {
  item_id item;
  std::vector<std::optional<double>> scores;  // (lists): the best score in each list, if any
};

/// The scores of each item, in the order of first appearance.
MQL4GREC_DEFINITION std::vector<item_scores> scores_by_item(std::span<ranking const> lists) {
  std::vector<item_scores> found;
  std::unordered_map<item_id, std::size_t> row_of;
  for (std::size_t l = 0; l < lists.size(); ++l)
    for (std::size_t i = 0; i < lists[l].items.size(); ++i) {
      auto const item = lists[l].items[i];
      auto const [at, fresh] = row_of.emplace(item, found.size());
      if (fresh) found.push_back({item, std::vector<std::optional<double>>(lists.size())});
      auto& best = found[at->second].scores[l];
      best = std::max(best, std::optional(lists[l].scores[i]));  // an empty optional is less than any number
    }
  return found;
}

/// The items by descending `score(scores of the item)`, stable.
template <class Score>
ranking ranked_by(std::vector<item_scores> const& items, Score score) {
  std::vector<double> fused;
  for (auto const& entry : items) fused.push_back(score(entry.scores));
  std::vector<std::size_t> order(items.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::ranges::greater{}, [&](std::size_t i) { return fused[i]; });
  ranking out;
  for (auto const i : order) out.add(items[i].item, fused[i]);
  return out;
}

/// log Σ exp(sharpness · s) over a list.
MQL4GREC_DEFINITION double log_sum_exp(std::vector<item_scores> const& items, std::size_t list, double sharpness) {
  double highest = -std::numeric_limits<double>::infinity();
  for (auto const& entry : items)
    if (entry.scores[list]) highest = std::max(highest, sharpness * *entry.scores[list]);
  double sum = 0;
  for (auto const& entry : items)
    if (entry.scores[list]) sum += std::exp(sharpness * *entry.scores[list] - highest);
  return highest + std::log(sum);
}

MQL4GREC_DEFINITION std::string number_text(double number) {
  char text[64];
  return {text, std::to_chars(text, text + sizeof text, number).ptr};
}

}  // namespace detail

MQL4GREC_DEFINITION ranking average_plus_one::fuse(std::span<ranking const> lists) const {
  return detail::ranked_by(detail::scores_by_item(lists), [](std::vector<std::optional<double>> const& scores) {
    double sum = 0;
    index_t count = 0;
    for (auto const& s : scores) {
      sum += s.value_or(0);
      count += s ? 1 : 0;
    }
    return sum / static_cast<double>(count) + static_cast<double>(count - 1);
  });
}

MQL4GREC_DEFINITION std::string calibrated::name() const {
  auto text = "calibrated, sharpness " + detail::number_text(sharpness);
  if (!weights.empty()) text += ", weights";
  for (auto const w : weights) text += " " + detail::number_text(w);
  return text;
}

MQL4GREC_DEFINITION ranking calibrated::fuse(std::span<ranking const> lists) const {
  expects(weights.empty() || weights.size() == lists.size(), "calibrated: ", weights.size(), " weights for ",
          lists.size(), " lists, expected one for each");
  for (auto const w : weights)
    expects(w >= 0 && std::isfinite(w), "calibrated: a weight of ", w, ", expected a finite number of at least 0");
  double const total =
      weights.empty() ? static_cast<double>(lists.size()) : std::accumulate(weights.begin(), weights.end(), 0.0);
  expects(total > 0 || lists.empty(), "calibrated: all weights are 0, expected one that is more");
  auto const items = detail::scores_by_item(lists);
  std::vector<double> normalisers;  // (lists): log Σ exp(sharpness · s)
  for (std::size_t l = 0; l < lists.size(); ++l) normalisers.push_back(detail::log_sum_exp(items, l, sharpness));
  return detail::ranked_by(items, [&](std::vector<std::optional<double>> const& scores) {
    double p = 0;
    for (std::size_t l = 0; l < scores.size(); ++l)
      if (scores[l]) p += (weights.empty() ? 1.0 : weights[l]) * std::exp(sharpness * *scores[l] - normalisers[l]);
    return std::log(p / total);
  });
}

}  // namespace mql4grec::rank
