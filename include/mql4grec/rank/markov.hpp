#pragma once
// The first-order Markov baseline: the next item follows from the last one alone.
#include <algorithm>
#include <unordered_map>
#include <utility>
#include <vector>

#include "mql4grec/catalog/interactions.hpp"
#include "mql4grec/rank/popularity.hpp"
#include "mql4grec/rank/ranking.hpp"

namespace mql4grec::rank {

/// Recommends the items that most often follow the last item of a history. With n(i, j) the number of times that a user
/// interacted with j directly after i, and p(j) the share of j among all interactions, the probability of j after i is
///
///     (n(i, j) + p(j)) / (Σ n(i, ·) + 1),
///
/// smoothed by one observation of the popularity. So items are ordered by n(i, j), those with equal numbers by
/// popularity, and those with equal popularity by id; after an item without successors the list is that of popularity.
/// Only training parts are counted.
class markov_chain {
 public:
  /// Counts the transitions in the training parts; lists will have `k` items.
  markov_chain(catalog::interactions const& data, index_t k) : k_(k), popular_(popularity(data, k)) {
    std::vector<std::pair<item_id, item_id>> transitions;
    std::unordered_map<item_id, double> share;
    double total = 0;
    for (index_t u = 0; u < data.users(); ++u) {
      auto const items = catalog::training_items(data, user_id(u));
      total += static_cast<double>(items.size());
      for (std::size_t i = 0; i < items.size(); ++i) {
        ++share[items[i]];
        if (i > 0) transitions.emplace_back(items[i - 1], items[i]);
      }
    }
    for (auto& [item, count] : share) count /= total;
    for (auto& score : popular_.scores) score /= std::max(1.0, total);
    std::ranges::sort(transitions);
    for (std::size_t i = 0, next; i < transitions.size(); i = next) {
      for (next = i; next < transitions.size() && transitions[next] == transitions[i];) ++next;
      auto const& [from, to] = transitions[i];
      auto const times = static_cast<double>(next - i);
      after_[from].push_back({-(times + share.at(to)), to});
      observed_[from] += times;
    }
    for (auto& [from, next] : after_) std::ranges::sort(next);
  }

  /// The list for a user whose last item is `last`, with the probabilities as scores. It has fewer than k items only
  /// when fewer exist.
  [[nodiscard]] ranking rank_after(item_id last) const {
    auto const found = after_.find(last);
    if (found == after_.end()) return popular_;
    double const all = observed_.at(last) + 1;
    ranking best;
    for (auto const& [score, item] : found->second) {
      if (best.size() == k_) return best;
      best.add(item, -score / all);
    }
    auto listed = best.items;
    std::ranges::sort(listed);
    for (index_t i = 0; i < popular_.size() && best.size() < k_; ++i)
      if (auto const item = popular_.items[to_size(i)]; !std::ranges::binary_search(listed, item))
        best.add(item, popular_.scores[to_size(i)] / all);
    return best;
  }

 private:
  index_t k_;
  ranking popular_;                                                             // k items, by their shares
  std::unordered_map<item_id, std::vector<std::pair<double, item_id>>> after_;  // (−(n + p), item), best first
  std::unordered_map<item_id, double> observed_;                                // Σ n(i, ·)
};

}  // namespace mql4grec::rank
