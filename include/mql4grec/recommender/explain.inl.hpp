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
std::vector<std::vector<double>> recommender_session<B, T>::score(state const& from,
                                                                  search::catalog_version const& version,
                                                                  std::span<std::vector<item_id> const> histories,
                                                                  std::span<item_id const> items) {
  // A search among the items alone with as many beams scores them all. Its scores are Σ log p without the length.
  auto options = from.options.search;
  options.normalize = search::normalization::vocabulary;
  options.length_penalty = 0;
  options.beams = std::max<index_t>(1, std::ssize(items));
  search::item_filter const only{.allow = search::item_list(items.begin(), items.end())};
  std::size_t kinds = 1;
  for (auto const& each : searches_) kinds = std::max(kinds, each.kinds.size());
  auto const most = std::max<std::size_t>(1, to_size(options.block_rows / options.beams) / kinds);
  std::vector<std::vector<double>> scores(histories.size(), std::vector<double>(items.size()));
  for (std::size_t first = 0; first < histories.size(); first += most) {
    auto const count = std::min(most, histories.size() - first);
    pending_.clear();
    for (std::size_t h = first; h < first + count; ++h)
      pending_.push_back({.history = histories[h], .k = std::ssize(items), .filter = &only, .number = h});
    std::vector<recommendation> found(count);
    answer_pending(from, version, options, {}, [&](std::size_t h) -> recommendation& { return found[h - first]; });
    for (std::size_t r = 0; r < count; ++r)
      for (std::size_t i = 0; i < items.size(); ++i) {
        double sum = 0, lists = 0;
        for (std::size_t m = 0; m < from.tables.size(); ++m)
          if (auto const place = found[r].place_in(language::modality(m), items[i])) {
            sum += std::exp(place->score);
            ++lists;
          }
        scores[first + r][i] = lists > 0 ? std::log(sum / lists) : -std::numeric_limits<double>::infinity();
      }
  }
  return scores;
}

template <Backend B, Real T>
std::vector<explanation> recommender_session<B, T>::explain(std::span<item_id const> history,
                                                            std::span<item_id const> items) {
  auto const from = lock();
  auto const version = reader_->read();
  expects(std::ssize(items) <= search::max_beams, "explain: ", items.size(), " items, expected at most ",
          search::max_beams);
  auto const in_catalog = [&](item_id item) { return index(item) >= 0 && index(item) < version->items(); };
  for (auto const item : items) expects(in_catalog(item), "explain: item ", index(item), " isn't in the catalog");
  auto const counted = history.last(std::min(history.size(), to_size(catalog::default_max_history)));
  std::vector<std::vector<item_id>> histories(1 + counted.size(), {counted.begin(), counted.end()});
  for (std::size_t h = 0; h < counted.size(); ++h)
    histories[1 + h].erase(histories[1 + h].begin() + static_cast<std::ptrdiff_t>(h));
  auto const scores = score(*from, *version, histories, items);

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
    all.push_back({.item = items[i], .log_p = scores[0][i]});
    for (std::size_t h = 0; h < counted.size(); ++h)
      all.back().reasons.push_back({.position = static_cast<index_t>(history.size() - counted.size() + h),
                                    .drop = std::isinf(scores[0][i]) ? 0 : scores[0][i] - scores[1 + h][i],
                                    .shared_codes = shared_codes(counted[h], items[i])});
  }
  return all;
}

template <Backend B, Real T>
search_trace recommender_session<B, T>::trace(std::span<item_id const> history, recommend_options const& options) {
  auto const from = lock();
  auto const version = reader_->read();
  auto const searched = search_options(*from, *version, options.k, options.scores);
  search_trace steps(from->tables.size());
  request_watch const watch{
      .wanted = [](std::size_t) { return true; },
      .step = [&steps](std::size_t, language::modality kind,
                       std::vector<traced_beam> beams) { steps[to_size(kind)].push_back(std::move(beams)); }};
  pending_.assign(1, {.history = history,
                      .k = options.k,
                      .filter = &options.filter,
                      .number = 0,
                      .exclude_seen = options.exclude_seen,
                      .scores = options.scores});
  recommendation best;
  answer_pending(*from, *version, searched, watch, [to = &best](std::size_t) -> recommendation& { return *to; });
  for (auto const& each : searches_)
    for (std::size_t m = 0; m < each.kinds.size(); ++m) {
      auto& mine = steps[to_size(each.kinds[m])];
      auto const query = static_cast<index_t>(m);
      auto const leaves = each.found.leaves_of(query);
      auto const scores = each.found.scores_of(query);
      auto const levels = each.modality(m).group.trie.levels();
      mine.resize(to_size(levels) - 1);  // before the step that may have scored </s>
      mine.push_back(
          each.traced({.leaves = {leaves.begin(), leaves.end()}, .scores = {scores.begin(), scores.end()}}, m, levels));
    }
  return steps;
}

}  // namespace mql4grec
