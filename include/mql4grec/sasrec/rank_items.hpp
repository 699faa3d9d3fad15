#pragma once
// Ranks the whole catalog for histories. Items of equal score are ordered by id.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <vector>

#include "mql4grec/backend/contract/row_blocks.hpp"
#include "mql4grec/rank/ranking.hpp"
#include "mql4grec/sasrec/pass.hpp"

namespace mql4grec::sasrec {

/// The histories of some users, oldest item first. The items must outlive it.
using history_list = std::vector<std::span<item_id const>>;

namespace detail {

/// Calls visit(history, scores of all items) for every history, from several threads.
template <Backend B, class T, class Visit>
void for_each_scores(B& backend, sasrec_model<B, T> const& model, history_list const& histories, Visit const& visit) {
  constexpr index_t together = std::same_as<typename B::memory_space, host_space> ? 64 : 2048;
  auto const& c = model.config();
  contract::detail::for_each_row_block(
      backend, std::ssize(histories), together, [&](B& worker, index_t, index_t first, index_t count) {
        sequences all;
        for (index_t i = first; i < first + count; ++i) {
          for (auto const item : histories[to_size(i)])
            expects(index(item) >= 0 && index(item) < c.items, "sasrec: item ", index(item), " of a history, but the ",
                    "model has ", c.items);
          all.add(histories[to_size(i)], c.positions);
        }
        scratch_scope<B> const scope(worker.scratch());
        auto const scores = sasrec_pass<B, T>(worker, model).take_scores(all, {0, count});
        host_copy<T, typename B::memory_space> const on_host(worker, in_vector<B, T>(scores.flat()));
        for (index_t i = 0; i < count; ++i) visit(first + i, on_host.view_all().part(i * c.items, c.items));
      });
}

}  // namespace detail

/// The k items with the highest scores after each history; the scores are logits. Throws error for an empty history and
/// for an item that the model doesn't have.
template <Backend B, class T>
[[nodiscard]] std::vector<rank::ranking> rank_items(B& backend, sasrec_model<B, T> const& model,
                                                    history_list const& histories, index_t k) {
  std::vector<rank::ranking> lists(histories.size());
  detail::for_each_scores(backend, model, histories, [&](index_t history, host_vector_view<T const> scores) {
    std::vector<index_t> order(to_size(scores.size()));
    std::iota(order.begin(), order.end(), index_t{0});
    auto const end = order.begin() + std::clamp<index_t>(k, 0, scores.size());
    std::partial_sort(order.begin(), end, order.end(),
                      [&](index_t a, index_t b) { return scores(a) != scores(b) ? scores(a) > scores(b) : a < b; });
    for (auto i = order.begin(); i != end; ++i)
      lists[to_size(history)].add(item_id(*i), static_cast<double>(scores(*i)));
  });
  return lists;
}

/// The mean NDCG@10 over the whole catalog, for one target after each history; 0 without histories. Throws as
/// rank_items, error for another number of targets or a target that the model doesn't know, and training_error if the
/// score of a target isn't finite.
template <Backend B, class T>
[[nodiscard]] double mean_ndcg(B& backend, sasrec_model<B, T> const& model, history_list const& histories,
                               std::vector<item_id> const& targets) {
  expects(targets.size() == histories.size(), "sasrec: ", targets.size(), " targets for ", histories.size(),
          " histories");
  for (auto const target : targets)
    expects(index(target) >= 0 && index(target) < model.config().items, "sasrec: target ", index(target),
            ", but the model has ", model.config().items, " items");
  std::vector<double> gains(histories.size());
  detail::for_each_scores(backend, model, histories, [&](index_t history, host_vector_view<T const> scores) {
    index_t const target = index(targets[to_size(history)]);
    if (!std::isfinite(scores(target)))
      raise<training_error>("sasrec: the score of item ", target, " isn't finite; try a smaller learning rate");
    index_t place = 0;
    for (index_t i = 0; i < scores.size(); ++i)
      place += scores(i) > scores(target) || (scores(i) == scores(target) && i < target) ? 1 : 0;
    gains[to_size(history)] = place < 10 ? 1 / std::log2(static_cast<double>(place + 2)) : 0;
  });
  return gains.empty() ? 0 : std::accumulate(gains.begin(), gains.end(), 0.0) / static_cast<double>(gains.size());
}

}  // namespace mql4grec::sasrec
