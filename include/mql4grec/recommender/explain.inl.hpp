#pragma once
// How a session explains items and shows the beams of a search. Templates: session.hpp always includes this file.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "mql4grec/catalog/interactions.hpp"
#include "mql4grec/recommender/session.hpp"

namespace mql4grec {

template <Backend B, Real T>
void recommender_session<B, T>::score(state const& from, search::catalog_version const& version, scored_histories& to,
                                      request_watch const& watch) {
  // A search among the items alone with as many beams scores them all. Its scores are Σ log p without the length.
  auto const& items = to.items;
  auto options = from.options.search;
  options.normalize = search::normalization::vocabulary;
  options.length_penalty = 0;
  options.beams = std::max<index_t>(1, std::ssize(items));
  search::item_filter const only{.allow = search::item_list(items.begin(), items.end())};
  std::size_t kinds = 1;
  for (auto const& each : searches_) kinds = std::max(kinds, each.kinds.size());
  auto most = std::max<std::size_t>(1, to_size(options.block_rows / options.beams) / kinds);
  // Of a batch that ends early nothing remains, so batches are small if that may happen.
  constexpr std::size_t most_watched = 4;
  if (watch.wanted) most = std::min(most, most_watched);
  request_watch all_or_none;
  if (watch.wanted) all_or_none.wanted = [&](std::size_t) { return watch.wanted(0); };
  for (std::size_t first = 0; first < to.histories.size(); first += most) {
    auto const count = std::min(most, to.histories.size() - first);
    pending_.clear();
    for (std::size_t h = first; h < first + count; ++h)
      pending_.push_back({.history = to.histories[h], .k = std::ssize(items), .filter = &only, .number = h});
    std::vector<recommendation> found(count);
    answer_pending(from, version, options, all_or_none,
                   [&](std::size_t h) -> recommendation& { return found[h - first]; });
    if (!std::ranges::all_of(found, &recommendation::complete)) return;
    for (auto const& one : found) {
      auto& log_p = to.log_p.emplace_back();
      for (auto const item : items) {
        double sum = 0, lists = 0;
        for (std::size_t m = 0; m < from.tables.size(); ++m)
          if (auto const place = one.place_in(language::modality(m), item)) {
            sum += std::exp(place->score);
            ++lists;
          }
        log_p.push_back(lists > 0 ? std::log(sum / lists) : -std::numeric_limits<double>::infinity());
      }
    }
  }
}

template <Backend B, Real T>
std::vector<explanation> recommender_session<B, T>::explain(std::span<item_id const> history,
                                                            std::span<item_id const> items,
                                                            request_watch const& watch) {
  auto const from = lock(watch);
  auto const version = reader_->read();
  expects(std::ssize(items) <= search::max_beams, "explain: ", items.size(), " items, expected at most ",
          search::max_beams);
  auto const in_catalog = [&](item_id item) { return index(item) >= 0 && index(item) < version->items(); };
  for (auto const item : items) expects(in_catalog(item), "explain: item ", index(item), " isn't in the catalog");
  auto const counted = history.last(std::min(history.size(), to_size(catalog::default_max_history)));
  // The whole history, then the newest item left out, and so on: the newest ones matter most if there is no time for
  // all.
  std::vector<std::vector<item_id>> histories(1 + counted.size(), {counted.begin(), counted.end()});
  for (std::size_t h = 1; h < histories.size(); ++h)
    histories[h].erase(histories[h].end() - static_cast<std::ptrdiff_t>(h));
  scored_histories scored{.histories = histories, .items = items};
  score(*from, *version, scored, watch);
  auto const& log_p = scored.log_p;

  auto const shared_codes = [&](item_id a, item_id b) {
    std::vector<index_t> shared;
    for (std::size_t m = 0; m < from->tables.size(); ++m) {
      auto const kind = language::modality(m);
      auto const first = version->history_tokens(kind, a), second = version->sequence(kind, b);
      shared.push_back(std::ranges::mismatch(first, second).in1 - first.begin());
    }
    return shared;
  };
  std::vector<explanation> all;
  for (std::size_t i = 0; i < items.size(); ++i) {
    auto& one = all.emplace_back(explanation{.item = items[i], .log_p = std::numeric_limits<double>::quiet_NaN()});
    one.complete = log_p.size() == histories.size();
    if (log_p.empty()) continue;
    one.log_p = log_p[0][i];
    for (auto h = log_p.size() - 1; h > 0; --h)  // the oldest first
      one.reasons.push_back({.position = static_cast<index_t>(history.size() - h),
                             .drop = std::isinf(one.log_p) ? 0 : one.log_p - log_p[h][i],
                             .shared_codes = shared_codes(counted[counted.size() - h], items[i])});
  }
  return all;
}

template <Backend B, Real T>
search_trace recommender_session<B, T>::trace(std::span<item_id const> history, recommend_options const& options,
                                              request_watch watch) {
  auto const from = lock(watch);
  auto const version = reader_->read();
  auto const searched = search_options(*from, *version, options.k, options.scores);
  search_trace steps(from->tables.size());
  watch.step = [&steps](std::size_t, language::modality kind, std::vector<traced_beam> beams) {
    steps[to_size(kind)].push_back(std::move(beams));
  };
  auto request = recommender_detail::pending_of(history, options);
  request.quotas = {};
  pending_.assign(1, request);
  recommendation best;
  answer_pending(*from, *version, searched, watch, [to = &best](std::size_t) -> recommendation& { return *to; });
  for (auto const& each : searches_)
    for (std::size_t m = 0; m < each.kinds.size(); ++m) {
      auto& mine = steps[to_size(each.kinds[m])];
      auto const levels = each.modality(m).group.trie.levels();
      mine.resize(std::min(mine.size(), to_size(levels) - 1));  // before the step that may have scored </s>
      if (each.ended_early(0)) continue;
      auto const leaves = each.found.leaves_of(static_cast<index_t>(m));
      auto const scores = each.found.scores_of(static_cast<index_t>(m));
      mine.push_back(
          each.traced({.leaves = {leaves.begin(), leaves.end()}, .scores = {scores.begin(), scores.end()}}, m, levels));
    }
  return steps;
}

}  // namespace mql4grec
