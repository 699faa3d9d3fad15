#pragma once
// The definitions of rank/fusion.hpp.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/rank/fusion.hpp"

namespace mql4grec::rank {

namespace detail {

/// Items with their scores in all lists.
struct score_table {
  using row = std::span<std::optional<double> const>;

  std::size_t lists = 0;
  std::vector<item_id> items;                 // in the order of first appearance
  std::vector<std::optional<double>> scores;  // (items, lists): the best score in each list, if any

  /// The scores (lists) of items[i].
  row of(std::size_t i) const { return row(scores).subspan(i * lists, lists); }
};

MQL4GREC_DEFINITION score_table scores_by_item(std::span<ranking const> lists) {
  score_table found{.lists = lists.size(), .items = {}, .scores = {}};
  std::unordered_map<item_id, std::size_t> row_of;
  for (std::size_t l = 0; l < lists.size(); ++l)
    for (std::size_t i = 0; i < lists[l].items.size(); ++i) {
      auto const item = lists[l].items[i];
      auto const [at, fresh] = row_of.emplace(item, found.items.size());
      if (fresh) {
        found.items.push_back(item);
        found.scores.resize(found.scores.size() + lists.size());
      }
      auto& best = found.scores[at->second * lists.size() + l];
      best = std::max(best, std::optional(lists[l].scores[i]));  // an empty optional is less than any number
    }
  return found;
}

/// The items by descending `score(scores of the item)`, stable.
template <class Score>
ranking ranked_by(score_table const& table, Score score) {
  std::vector<double> fused;
  for (std::size_t i = 0; i < table.items.size(); ++i) fused.push_back(score(table.of(i)));
  std::vector<std::size_t> order(table.items.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::ranges::greater{}, [&](std::size_t i) { return fused[i]; });
  ranking out;
  for (auto const i : order) out.add(table.items[i], fused[i]);
  return out;
}

/// log Σ exp(sharpness · s) over a list.
MQL4GREC_DEFINITION double log_sum_exp(score_table const& table, std::size_t list, double sharpness) {
  double highest = -std::numeric_limits<double>::infinity();
  for (std::size_t i = list; i < table.scores.size(); i += table.lists)
    if (auto const& s = table.scores[i]) highest = std::max(highest, sharpness * *s);
  double sum = 0;
  for (std::size_t i = list; i < table.scores.size(); i += table.lists)
    if (auto const& s = table.scores[i]) sum += std::exp(sharpness * *s - highest);
  return highest + std::log(sum);
}

MQL4GREC_DEFINITION std::string number_text(double number) {
  char text[64];
  return {text, std::to_chars(text, text + sizeof text, number).ptr};
}

}  // namespace detail

MQL4GREC_DEFINITION ranking average_plus_one::fuse(std::span<ranking const> lists) const {
  return detail::ranked_by(detail::scores_by_item(lists), [](detail::score_table::row scores) {
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
  auto const table = detail::scores_by_item(lists);
  std::vector<double> normalisers;  // (lists): log Σ exp(sharpness · s)
  for (std::size_t l = 0; l < lists.size(); ++l) normalisers.push_back(detail::log_sum_exp(table, l, sharpness));
  return detail::ranked_by(table, [&](detail::score_table::row scores) {
    double p = 0;
    for (std::size_t l = 0; l < scores.size(); ++l)
      if (scores[l]) p += (weights.empty() ? 1.0 : weights[l]) * std::exp(sharpness * *scores[l] - normalisers[l]);
    return std::log(p / total);
  });
}

}  // namespace mql4grec::rank
