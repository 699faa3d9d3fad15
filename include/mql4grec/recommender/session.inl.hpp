#pragma once
// How a session answers requests. Templates: session.hpp always includes this file.
#include <algorithm>
#include <chrono>
#include <functional>
#include <iterator>
#include <numeric>
#include <tuple>
#include <utility>

#include "mql4grec/core/detail/words.hpp"
#include "mql4grec/rank/quotas.hpp"
#include "mql4grec/recommender/session.hpp"

namespace mql4grec {

template <Backend B, Real T>
void recommender_session<B, T>::serve(std::shared_ptr<state const> const& next) {
  state_.reset();  // until all searches exist
  searches_.clear();
  reader_.emplace(next->catalog->reader());
  auto const version = reader_->read();
  std::ptrdiff_t modalities = 0;
  for (auto const& group : version->groups()) modalities += std::ssize(group.kinds);
  auto const threads = std::clamp<index_t>(modalities, 1, threads_);
  if (auto const& how = next->model.worker_options();
      !backend_ || backend_->workers() != threads || backend_->worker_options() != how) {
    backend_.reset();  // a device's memory holds one at a time
    backend_ = std::make_unique<B>(recommender_detail::with_threads(how, threads));
  }
  history_tokens_.clear();
  for (auto const& table : next->history_tokens())
    history_tokens_.emplace_back(table.kind(), 0, std::max<index_t>(1, table.levels()));
  for (std::size_t g = 0; g < version->groups().size(); ++g) {
    auto const& kinds = version->groups()[g].kinds;
    auto const together = threads == 1 ? std::ssize(kinds) : 1;
    for (index_t m = 0; m < std::ssize(kinds); m += together) {
      auto const worker = std::ssize(searches_) % threads;
      searches_.push_back({.worker = worker,
                           .group = g,
                           .first = m,
                           .kinds = {kinds.begin() + m, kinds.begin() + m + together},
                           .searcher = {backend_->worker(worker), next->model}});
    }
  }
  state_ = next;
}

template <Backend B, Real T>
auto recommender_session<B, T>::lock(request_watch const& watch) const -> std::shared_ptr<state const> {
  expects(!watch.so_far || threads_ == 1, "recommend: so_far in a session with ", threads_, " threads, expected 1");
  auto from = state_.lock();
  expects(from != nullptr, "recommend: the recommender of this session has been destroyed");
  return from;
}

template <Backend B, Real T>
search::beam_options recommender_session<B, T>::search_options(state const& from,
                                                               search::catalog_version const& version, index_t k,
                                                               score_kind scores) {
  expects(k >= 0 && k <= search::max_beams, "recommend: k is ", k, ", expected 0 to ", search::max_beams);
  auto options = from.options.search;
  options.beams = std::max(options.beams, std::min(k, version.most_sequences()));
  if (scores == score_kind::renormalized) {
    options.normalize = search::normalization::children;
    options.length_penalty = 0;
  }
  search::validate(options);
  return options;
}

template <Backend B, Real T>
void recommender_session<B, T>::read_histories(search::catalog_version const& version) {
  history_items_.clear();
  for (auto const& request : pending_)
    for (auto const item : request.history)
      if (index(item) >= 0 && index(item) < version.items()) history_items_.push_back(item);
  std::ranges::sort(history_items_);
  history_items_.erase(std::unique(history_items_.begin(), history_items_.end()), history_items_.end());
  for (std::size_t m = 0; m < history_tokens_.size(); ++m) {
    auto& table = history_tokens_[m];
    table.clear();
    table.widen(version.items());
    for (auto const item : history_items_)
      if (auto const tokens = version.history_tokens(language::modality(m), item); !tokens.empty())
        table.set(item, tokens);
  }
}

template <Backend B, Real T>
template <class Work>
void recommender_session<B, T>::each_search(state const& from, search::catalog_version const& version,
                                            Work const& work) {
  read_histories(version);
  for_each_worker(*backend_, [&](B&, index_t worker) {
    // First of all, since a search asks what the others of its worker have found so far: see between_steps.
    for (auto& each : searches_)
      if (each.worker == worker) each.begin(version);
    for (auto& each : searches_) {
      if (each.worker != worker) continue;
      for (auto const& request : pending_)
        for (std::size_t m = 0; m < each.kinds.size(); ++m) {
          from.tasks.begin_query(each.queries);
          from.tasks.tasks.query(each.kinds[m])
              .write_query(request.history, {.tables = history_tokens_, .vocab = from.tasks.vocab}, each.queries);
          each.roots.push_back(each.modality(m).root());
        }
      work(each);
    }
  });
}

template <Backend B, Real T>
template <class Wanted>
recommendation recommender_session<B, T>::ranked(state const& from, std::size_t r, Wanted const& wanted) const {
  auto const started = std::chrono::steady_clock::now();
  recommendation best;
  best.by_modality.resize(from.tables.size());  // empty for a modality without sequences
  best.times = rules_[r].times;
  auto const& before = rules_[r].by_modality;
  stage_times longest;
  for (auto const& each : searches_) {
    for (std::size_t m = 0; m < each.kinds.size(); ++m) {
      auto& list = best.by_modality[to_size(each.kinds[m])];
      if (before.empty())
        list = each.ranking_of(r, m, wanted);
      else if (each.ended_early(r))  // scores of prefixes aren't comparable
        list = before[to_size(each.kinds[m])];
      else
        list = rank::merged(before[to_size(each.kinds[m])], each.ranking_of(r, m, wanted));
    }
    best.complete = best.complete && !each.ended_early(r);
    stage_times of_worker;
    for (auto const& other : searches_) {
      if (other.worker != each.worker) continue;
      of_worker.encode += other.status.encode;
      of_worker.search += other.status.decode;
    }
    longest.encode = std::max(longest.encode, of_worker.encode);
    longest.search = std::max(longest.search, of_worker.search);
  }
  best.times.encode += longest.encode;
  best.times.search += longest.search;
  static_cast<rank::ranking&>(best) = from.options.fusion.fuse(best.by_modality);
  if (auto const& most = rules_[r].most; !most.empty()) {
    auto const is_in = [&](std::size_t q, item_id item) {
      return searches_.front().version->contains(rules_[r].sets[q], item);
    };
    static_cast<rank::ranking&>(best) = rank::within_quotas(best, pending_[r].k, most, is_in);
  }
  if (best.size() > pending_[r].k) {
    best.items.resize(to_size(pending_[r].k));
    best.scores.resize(to_size(pending_[r].k));
  }
  best.times.rank += std::chrono::steady_clock::now() - started;
  return best;
}

template <Backend B, Real T>
recommendation recommender_session<B, T>::ranked(state const& from, std::size_t r) const {
  if (auto const& wanted = rules_[r].wanted) return ranked(from, r, *wanted);
  return ranked(from, r, [](item_id) { return true; });
}

template <Backend B, Real T>
void recommender_session<B, T>::prepare_rules(search::catalog_version const& version, request_watch const& watch) {
  rules_.resize(pending_.size());
  for (std::size_t r = 0; r < pending_.size(); ++r) {
    auto const& request = pending_[r];
    auto& rules = rules_[r];
    rules = {};
    rules.late = watch.wanted && !watch.wanted(request.number);
    if (rules.late) continue;
    if (!request.filter->keeps_all() || !request.also_denied().empty())
      rules.wanted.emplace(*request.filter, version, request.also_denied());
    for (auto const& [set, most] : request.quotas) {
      expects(most >= 0, "recommend: a quota of ", most, " items of '", core::detail::printable(set),
              "', expected at least 0");
      rules.sets.push_back(search::catalog_choice::set_of(version, set));
      rules.most.push_back(most);
    }
    if (rules.most.empty()) continue;
    recommender_detail::request_rules::exhausted quotas;
    for (auto const most : rules.most) quotas.push_back(most == 0);
    search_without(quotas, r, version);
  }
}

template <Backend B, Real T>
void recommender_session<B, T>::search_without(recommender_detail::request_rules::exhausted const& quotas,
                                               std::size_t r, search::catalog_version const& version) {
  auto& rules = rules_[r];
  rules.done.push_back(quotas);
  rules.searched.reset();
  if (std::ranges::find(quotas, true) == quotas.end()) return;  // as its filter alone
  rules.filter = *pending_[r].filter;
  for (std::size_t q = 0; q < quotas.size(); ++q)
    if (quotas[q]) rules.filter.none_of.push_back(pending_[r].quotas[q].set);
  rules.searched.emplace(rules.filter, version, pending_[r].also_denied());
}

template <Backend B, Real T>
bool recommender_session<B, T>::needs_more(std::size_t r, recommendation const& best,
                                           search::catalog_version const& version, index_t beams) {
  auto& rules = rules_[r];
  if (rules.most.empty() || !best.complete || best.size() >= pending_[r].k) return false;
  recommender_detail::request_rules::exhausted quotas;
  for (std::size_t q = 0; q < rules.most.size(); ++q)
    quotas.push_back(std::ranges::count_if(best.items, [&](item_id item) {
                       return version.contains(rules.sets[q], item);
                     }) >= rules.most[q]);
  // A search for the same items would find nothing new: it has found all, since they are fewer than beams.
  if (std::ranges::find(rules.done, quotas) != rules.done.end()) return false;
  bool found_all = std::ranges::equal(rules.done.back(), quotas, std::less_equal());  // of what is still allowed
  for (auto const& each : searches_)
    for (std::size_t m = 0; m < each.kinds.size(); ++m)
      found_all =
          found_all && std::ssize(each.found.leaves_of(static_cast<index_t>(r * each.kinds.size() + m))) < beams;
  if (found_all) return false;
  rules.by_modality = best.by_modality;
  rules.times = best.times;
  search_without(quotas, r, version);
  return true;
}

template <Backend B, Real T>
template <class Append>
bool recommender_session<B, T>::end_unwanted(recommender_detail::modality_search<B, T>& each,
                                             request_watch const& watch, Append const& append) const {
  bool any = false;
  for (std::size_t r = 0; r < pending_.size(); ++r) {
    if (each.ended_early(r)) continue;
    if (!rules_[r].late && (!watch.wanted || watch.wanted(pending_[r].number))) {
      any = true;
      continue;
    }
    for (std::size_t m = 0; m < each.kinds.size(); ++m)
      append(each.early[r], static_cast<index_t>(r * each.kinds.size() + m));
  }
  return any;
}

template <Backend B, Real T>
bool recommender_session<B, T>::begin_search(recommender_detail::modality_search<B, T>& each,
                                             request_watch const& watch) const {
  if (!watch.follows()) return true;
  each.early.resize(pending_.size());
  return end_unwanted(each, watch, [](search::beams& out, index_t) { out.offsets.push_back(0); });
}

template <Backend B, Real T>
search::search_watch recommender_session<B, T>::between_steps(state const& from,
                                                              recommender_detail::modality_search<B, T>& each,
                                                              request_watch const& watch) const {
  if (!watch.follows()) return {};
  return [this, &from, &each, &watch](search::search_progress const& at) {
    if (!end_unwanted(each, watch, [&](search::beams& out, index_t query) { at.append_to(out, query); })) return false;
    auto const count = pending_.size(), kinds = each.kinds.size();
    if (at.level() > 0 && watch.step)
      for (std::size_t r = 0; r < count; ++r)
        for (std::size_t m = 0; m < kinds; ++m) {
          search::beams now;
          at.append_beams(now, static_cast<index_t>(r * kinds + m));
          watch.step(pending_[r].number, each.kinds[m], each.traced(now, m, at.level()));
        }
    if (!watch.so_far || at.level() == 0) return true;
    for (std::size_t r = 0; r < count; ++r) {
      if (each.ended_early(r)) continue;
      for (std::size_t m = 0; m < kinds; ++m) at.append_to(each.early[r], static_cast<index_t>(r * kinds + m));
      watch.so_far(pending_[r].number, ranked(from, r));
      each.early[r].clear();
    }
    return true;
  };
}

template <Backend B, Real T>
void recommender_session<B, T>::search_pending(state const& from, recommender_detail::modality_search<B, T>& each,
                                               search::beam_options const& options, request_watch const& watch) {
  if (!begin_search(each, watch)) return;
  for (std::size_t r = 0; r < pending_.size(); ++r) {
    auto const& rules = rules_[r];
    auto const& [filter, wanted] =
        rules.searched ? std::tie(rules.filter, rules.searched) : std::tie(*pending_[r].filter, rules.wanted);
    if (!wanted) continue;
    for (std::size_t m = 0; m < each.kinds.size(); ++m)
      each.roots[r * each.kinds.size() + m] = search::add_filter(each.filtered, each.modality(m), filter, *wanted);
  }
  each.search(options, between_steps(from, each, watch));
}

template <Backend B, Real T>
template <class Answer>
void recommender_session<B, T>::answer_pending(state const& from, search::catalog_version const& version,
                                               search::beam_options const& options, request_watch const& watch,
                                               Answer const& answer) {
  prepare_rules(version, watch);
  while (!pending_.empty()) {
    each_search(from, version, [&](auto& each) { search_pending(from, each, options, watch); });
    std::size_t left = 0;  // requests that are searched again
    for (std::size_t r = 0; r < pending_.size(); ++r) {
      auto best = ranked(from, r);
      if (!needs_more(r, best, version, options.beams)) {
        if (auto const& fitted = from.options.calibration; fitted && best.complete && options == from.options.search)
          for (auto const score : best.scores) best.probabilities.push_back(fitted->probability(score));
        answer(pending_[r].number) = std::move(best);
        continue;
      }
      if (left != r) {
        pending_[left] = pending_[r];
        rules_[left] = std::move(rules_[r]);
      }
      ++left;
    }
    pending_.resize(left);
    rules_.resize(left);
  }
}

template <Backend B, Real T>
recommendation recommender_session<B, T>::answer(recommender_detail::pending_request const& request,
                                                 request_watch const& watch) {
  auto const from = lock(watch);
  auto const version = reader_->read();
  auto const options = search_options(*from, *version, request.k, request.scores);
  pending_.assign(1, request);
  recommendation best;
  answer_pending(*from, *version, options, watch, [to = &best](std::size_t) -> recommendation& { return *to; });
  return best;
}

template <Backend B, Real T>
recommendation recommender_session<B, T>::recommend(std::span<item_id const> history,
                                                    recommend_options const& options) {
  return answer(recommender_detail::pending_of(history, options), recommender_detail::watch_of(options));
}

template <Backend B, Real T>
std::vector<recommendation> recommender_session<B, T>::recommend_batch(std::span<recommend_request const> requests) {
  request_watch watch;
  std::vector<std::chrono::steady_clock::time_point> ends;
  if (std::ranges::any_of(requests, [](auto const& each) { return recommender_detail::has_limit(each.options); })) {
    for (auto const& each : requests) ends.push_back(recommender_detail::end_of(each.options));
    watch.wanted = [&](std::size_t i) {
      return std::chrono::steady_clock::now() < ends[i] && !requests[i].options.stop.stop_requested();
    };
  }
  return recommend_batch(requests, watch);
}

template <Backend B, Real T>
std::vector<recommendation> recommender_session<B, T>::recommend_batch(std::span<recommend_request const> requests,
                                                                       request_watch const& watch) {
  auto const from = lock(watch);
  auto const version = reader_->read();
  std::vector<search::beam_options> options;
  for (auto const& each : requests)
    options.push_back(search_options(*from, *version, each.options.k, each.options.scores));
  std::vector<std::size_t> order(requests.size());  // by what the options of a search depend on
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, {},
                           [&](std::size_t i) { return std::pair(requests[i].options.scores, options[i].beams); });
  std::size_t kinds = 1;
  for (auto const& each : searches_) kinds = std::max(kinds, each.kinds.size());
  std::vector<recommendation> answers(requests.size());
  for (std::size_t first = 0; first < order.size();) {
    auto const& how = options[order[first]];
    auto const most = std::max<std::size_t>(1, to_size(how.block_rows / how.beams) / kinds);
    pending_.clear();
    for (; first < order.size() && pending_.size() < most && options[order[first]] == how; ++first) {
      auto const& [history, wanted] = requests[order[first]];
      pending_.push_back(recommender_detail::pending_of(history, wanted, order[first]));
    }
    answer_pending(*from, *version, how, watch, [&](std::size_t number) -> recommendation& { return answers[number]; });
  }
  return answers;
}

template <Backend B, Real T>
recommendation recommender_session<B, T>::recommend_new(std::span<item_id const> history,
                                                        recommend_options const& options, request_watch const& watch) {
  expects(options.filter.allow.has_value(), "recommend_new: no list of allowed items, expected the new ones");
  auto const from = lock(watch);
  auto const version = reader_->read();
  auto const how = search_options(*from, *version, options.k, options.scores);
  pending_.assign(1, recommender_detail::pending_of(history, options));
  prepare_rules(*version, watch);
  search::item_list new_items;
  if (auto const& choice = rules_[0].searched ? rules_[0].searched : rules_[0].wanted)  // none: it is late
    std::ranges::copy_if(*options.filter.allow, std::back_inserter(new_items), std::cref(*choice));
  each_search(*from, *version, [&](auto& each) {
    if (!begin_search(each, watch)) return;
    auto const between = between_steps(*from, each, watch);
    each.search(how, between);  // among all items
    if (each.ended_early(0)) return;
    auto const first = each.status;
    for (std::size_t m = 0; watch.follows() && m < each.kinds.size(); ++m)
      each.before.push_back(each.ranking_of(0, m, *rules_[0].wanted));
    for (std::size_t m = 0; m < each.kinds.size(); ++m)
      each.roots[m] = search::add_draft(each.filtered, each.modality(m), new_items,
                                        each.found.leaves_of(static_cast<index_t>(m)), {.sequences = how.beams});
    each.found.clear();
    each.search(how, between);
    each.status.encode += first.encode;
    each.status.decode += first.decode;
  });
  return ranked(*from, 0);
}

}  // namespace mql4grec
