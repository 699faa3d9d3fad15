#pragma once
// One ranking from several, one for each modality. The rules are stated per item: one that occurs twice in a list, or
// out of order, changes no score (in the released ensemble.py it does). List order decides between equal scores alone.
#include <algorithm>
#include <cmath>
#include <concepts>
#include <limits>
#include <numeric>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "mql4grec/core/ids.hpp"
#include "mql4grec/rank/ranking.hpp"

namespace mql4grec {

/// Gives every item that occurs in some list one score and ranks by it, highest first. Equal scores stand in the order
/// of first appearance, the lists one after the other: text before image, then by place.
template <class P>
concept FusionPolicy = std::regular<P> && requires(P const& policy, std::span<ranking const> lists) {
  { policy.fuse(lists) } -> std::same_as<ranking>;
};

namespace detail {

/// Each item once, with its scores in the lists that hold it.
struct item_scores {
  item_id item;
  std::vector<std::optional<double>> scores;  // (lists): the best in each; nothing where the list has no such item
};

inline std::vector<item_scores> scores_by_item(std::span<ranking const> lists) {
  std::vector<item_scores> found;
  std::unordered_map<item_id, std::size_t> row_of;
  for (std::size_t l = 0; l < lists.size(); ++l)
    for (std::size_t i = 0; i < lists[l].items.size(); ++i) {
      auto const item = lists[l].items[i];
      auto const [at, fresh] = row_of.emplace(item, found.size());
      if (fresh) found.push_back({item, std::vector<std::optional<double>>(lists.size())});
      auto& best = found[at->second].scores[l];
      best = std::max(best, std::optional(lists[l].scores[i]));  // nothing is less than any number
    }
  return found;
}

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

}  // namespace detail

/// The paper's rule (Section 3.3): an item in both lists scores (s₁ + s₂) / 2 + 1, any other its own score; an item's
/// score in a list is its best there. With more lists: the mean over those that hold it, plus 1 for each beyond the
/// first.
struct average_plus_one {
  ranking fuse(std::span<ranking const> lists) const {
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
  bool operator==(average_plus_one const&) const = default;
};

/// Probabilities instead of bonuses: in each list p(item) = exp(sharpness · s) renormalised over the list's items, and
/// an item scores log of its mean p over all lists, absence counting as p = 0. A list that is sure of itself so weighs
/// more than one that spreads. With scores divided by the length of the sequence, a sharpness of that length restores
/// log p.
struct calibrated {
  double sharpness = 1;

  ranking fuse(std::span<ranking const> lists) const {
    auto const items = detail::scores_by_item(lists);
    std::vector<double> normalisers;  // (lists): log Σ exp(sharpness · s)
    for (std::size_t l = 0; l < lists.size(); ++l) normalisers.push_back(log_sum_exp(items, l));
    return detail::ranked_by(items, [&](std::vector<std::optional<double>> const& scores) {
      double p = 0;
      for (std::size_t l = 0; l < scores.size(); ++l)
        if (scores[l]) p += std::exp(sharpness * *scores[l] - normalisers[l]);
      return std::log(p / static_cast<double>(scores.size()));
    });
  }
  bool operator==(calibrated const&) const = default;

 private:
  double log_sum_exp(std::vector<detail::item_scores> const& items, std::size_t list) const {
    double highest = -std::numeric_limits<double>::infinity();
    for (auto const& entry : items)
      if (entry.scores[list]) highest = std::max(highest, sharpness * *entry.scores[list]);
    double sum = 0;
    for (auto const& entry : items)
      if (entry.scores[list]) sum += std::exp(sharpness * *entry.scores[list] - highest);
    return highest + std::log(sum);
  }
};

static_assert(FusionPolicy<average_plus_one> && FusionPolicy<calibrated>);

}  // namespace mql4grec
