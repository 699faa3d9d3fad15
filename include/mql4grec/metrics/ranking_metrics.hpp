#pragma once
// Hit rate and NDCG at 1, 5, 10 of one right answer a user. The place of the answer is given with its doubt: `group`
// entries, of which it is one, fill the places after the `before` entries ahead of them in random order. Without doubt
// the group is 1 and the values are the usual ones, hit@k = [place < k] and NDCG@k = [place < k] / log2(place + 2);
// with it, they are the expectation over the order, every place of the group having the probability 1 / group:
//
//   E hit@k  = min(max(k − before, 0), group) / group
//   E NDCG@k = 1 / group · Σ 1 / log2(place + 2) over the places before ≤ place < min(before + group, k)
//
// So items that share a sequence are judged as what they are, indistinguishable (ItemHit, ItemNDCG of CollisionGenRec).
#include <algorithm>
#include <cmath>
#include <span>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/ids.hpp"
#include "mql4grec/metrics/report.hpp"
#include "mql4grec/rank/ranking.hpp"

namespace mql4grec {

/// Where the right answer stands; group 0 when it is nowhere.
struct placement {
  index_t before = 0;
  index_t group = 0;
  bool operator==(placement const&) const = default;
};

inline double expected_hit(placement at, index_t k) {
  if (at.group == 0) return 0;
  auto const inside = std::clamp<index_t>(k - at.before, 0, at.group);
  return static_cast<double>(inside) / static_cast<double>(at.group);
}

inline double expected_ndcg(placement at, index_t k) {
  double gain = 0;
  for (index_t place = at.before; place < std::min(at.before + at.group, k); ++place)
    gain += 1 / std::log2(static_cast<double>(place + 2));
  return at.group == 0 ? 0 : gain / static_cast<double>(at.group);
}

/// The paper's judgement: the first of the sequences, best first, that equals the target's.
/// sequences (n, L) back to back · target (L); every sequence stands for one place.
inline placement place_of(std::span<token_t const> sequences, std::span<token_t const> target) {
  auto const levels = target.size();
  expects(levels > 0 && sequences.size() % levels == 0, sequences.size(), " tokens are not sequences of ", levels);
  for (std::size_t i = 0; i < sequences.size() / levels; ++i)
    if (std::ranges::equal(sequences.subspan(i * levels, levels), target)) return {static_cast<index_t>(i), 1};
  return {};
}

/// The item's place in a ranking as it stands: the first time it occurs, ties not doubted.
inline placement place_of(ranking const& list, item_id target) {
  auto const found = std::ranges::find(list.items, target);
  if (found == list.items.end()) return {};
  return {found - list.items.begin(), 1};
}

/// The item's place when entries of equal score are in random order, as items that share a sequence are. The list must
/// hold such groups whole: cutting it inside one would hide how many share it.
inline placement expected_place_of(ranking const& list, item_id target) {
  auto const found = std::ranges::find(list.items, target);
  if (found == list.items.end()) return {};
  auto const score = list.scores[static_cast<std::size_t>(found - list.items.begin())];
  return {std::ranges::count_if(list.scores, [&](double s) { return s > score; }),
          std::ranges::count(list.scores, score)};
}

/// Means over users.
class metric_accumulator {
 public:
  void add(placement at) {
    ++users_;
    sum_.hit1 += expected_hit(at, 1);
    sum_.hit5 += expected_hit(at, 5);
    sum_.hit10 += expected_hit(at, 10);
    sum_.ndcg5 += expected_ndcg(at, 5);
    sum_.ndcg10 += expected_ndcg(at, 10);
  }
  index_t users() const { return users_; }

  /// All zero when nobody was added.
  metric_values mean() const {
    auto const n = static_cast<double>(std::max<index_t>(users_, 1));
    return {sum_.hit1 / n, sum_.hit5 / n, sum_.hit10 / n, sum_.ndcg5 / n, sum_.ndcg10 / n};
  }

 private:
  index_t users_ = 0;
  metric_values sum_;
};

}  // namespace mql4grec
