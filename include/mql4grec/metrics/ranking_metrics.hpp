#pragma once
// Hit rate and NDCG at k for one target per user. The position of the target may be uncertain: after `before`
// entries follows a group of `group` entries in random order, and the target is one of them. When the group is 1, the
// values are the usual ones: hit@k = [position < k] and NDCG@k = [position < k] / log2(position + 2). For larger
// groups, the values are expectations over the order; every position of the group has the probability 1 / group:
//
//   E hit@k  = min(max(k − before, 0), group) / group
//   E NDCG@k = 1 / group · Σ 1 / log2(position + 2) over before ≤ position < min(before + group, k)
//
// So items that share a sequence are evaluated as indistinguishable (ItemHit and ItemNDCG of CollisionGenRec).
#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/ids.hpp"
#include "mql4grec/metrics/report.hpp"
#include "mql4grec/rank/ranking.hpp"

namespace mql4grec::metrics {

/// The position of the target in a list.
struct placement {
  index_t before = 0;  ///< entries before the target's group
  index_t group = 0;   ///< entries of the target's group; 0 when the list doesn't contain the target
  bool operator==(placement const&) const = default;
};

/// E hit@k; 0 when the list doesn't contain the target.
[[nodiscard]] inline double expected_hit(placement at, index_t k) {
  if (at.group == 0) return 0;
  auto const inside = std::clamp<index_t>(k - at.before, 0, at.group);
  return static_cast<double>(inside) / static_cast<double>(at.group);
}

/// E NDCG@k; 0 when the list doesn't contain the target.
[[nodiscard]] inline double expected_ndcg(placement at, index_t k) {
  double gain = 0;
  for (index_t place = at.before; place < std::min(at.before + at.group, k); ++place)
    gain += 1 / std::log2(static_cast<double>(place + 2));
  return at.group == 0 ? 0 : gain / static_cast<double>(at.group);
}

/// The paper's criterion: the position of the first sequence that equals the target's. `sequences` (n, L) are back to
/// back, best first; `target` is (L). Each sequence counts as one entry, however many items have it. Throws error when
/// the shapes don't match.
[[nodiscard]] inline placement place_of(std::span<token_t const> sequences, std::span<token_t const> target) {
  auto const levels = target.size();
  expects(levels > 0 && sequences.size() % levels == 0, sequences.size(), " tokens are not sequences of ", levels);
  for (std::size_t i = 0; i < sequences.size() / levels; ++i)
    if (std::ranges::equal(sequences.subspan(i * levels, levels), target)) return {static_cast<index_t>(i), 1};
  return {};
}

/// The position of the first occurrence of the item in the ranking. Ties are not considered.
[[nodiscard]] inline placement place_of(rank::ranking const& list, item_id target) {
  auto const found = std::ranges::find(list.items, target);
  if (found == list.items.end()) return {};
  return {found - list.items.begin(), 1};
}

/// The position of the item when entries of equal score are in random order, as items that share a sequence are. The
/// list must contain every such group completely; a list cut off inside a group would give too small a group.
[[nodiscard]] inline placement expected_place_of(rank::ranking const& list, item_id target) {
  auto const found = std::ranges::find(list.items, target);
  if (found == list.items.end()) return {};
  auto const score = list.scores[to_size(found - list.items.begin())];
  return {std::ranges::count_if(list.scores, [&](double s) { return s > score; }),
          std::ranges::count(list.scores, score)};
}

/// Means of the metrics over users.
class metric_accumulator {
 public:
  /// Metrics at the given cut-offs. Throws error if one of them is less than 1.
  explicit metric_accumulator(std::vector<index_t> const& at = {1, 5, 10}) {
    for (auto const k : at) {
      expects(k >= 1, "metrics at ", k, ", expected at least 1");
      sums_.push_back({.k = k});
    }
  }

  /// Adds one user.
  void add(placement at) {
    ++users_;
    for (auto& sum : sums_) {
      sum.hit += expected_hit(at, sum.k);
      sum.ndcg += expected_ndcg(at, sum.k);
    }
  }
  /// The number of users added.
  [[nodiscard]] index_t users() const { return users_; }

  /// The means over all users added; all zero when there are none.
  [[nodiscard]] metric_values mean() const {
    auto const n = static_cast<double>(std::max<index_t>(users_, 1));
    metric_values out;
    for (auto const& sum : sums_) out.at.push_back({.k = sum.k, .hit = sum.hit / n, .ndcg = sum.ndcg / n});
    return out;
  }

 private:
  index_t users_ = 0;
  std::vector<cutoff_metrics> sums_;
};

}  // namespace mql4grec::metrics
