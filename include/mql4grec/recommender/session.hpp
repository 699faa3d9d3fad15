#pragma once
// A session of a recommender: what answers the requests of one thread. Its members are defined outside the class, so
// that a program that links mql4grec::compiled uses those that are compiled there.
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "mql4grec/recommender/detail/modality_search.hpp"
#include "mql4grec/recommender/options.hpp"
#include "mql4grec/recommender/request.hpp"

namespace mql4grec {

template <Backend B = cpu::backend, Real T = float>
class recommender;

/// Answers the requests of one thread at a time. Owns a backend with the options of the model's backend, scratch, and
/// on a device the trie and the captured searches; the first request allocates them, later ones reuse them: on a CPU, a
/// later request without a filter allocates nothing but the rankings. A session may outlive its recommender, but then
/// recommend() throws error.
template <Backend B = cpu::backend, Real T = float>
class recommender_session {
 public:
  recommender_session(recommender_session&&) = default;
  /// Exchanges the two sessions.
  recommender_session& operator=(recommender_session&& other) noexcept {
    std::swap(state_, other.state_);
    std::swap(searches_, other.searches_);  // swapped, since searches must be destroyed before their backend
    std::swap(backend_, other.backend_);
    std::swap(threads_, other.threads_);
    std::swap(pending_, other.pending_);
    std::swap(rules_, other.rules_);
    std::swap(reader_, other.reader_);
    std::swap(history_items_, other.history_items_);
    std::swap(history_tokens_, other.history_tokens_);
    return *this;
  }

  /// See recommender::recommend. Throws error if the recommender has been destroyed.
  [[nodiscard]] recommendation recommend(std::span<item_id const> history, recommend_options const& options = {});
  /// The same with a number of items and a filter.
  [[nodiscard]] recommendation recommend(std::span<item_id const> history, index_t k,
                                         search::item_filter const& filter = {}) {
    return answer({.history = history, .k = k, .filter = &filter, .number = 0}, {});
  }
  /// See recommender::recommend_batch. Throws error if the recommender has been destroyed.
  [[nodiscard]] std::vector<recommendation> recommend_batch(std::span<recommend_request const> requests);
  /// The same for requests that end when `watch` says so, instead of at their deadlines.
  [[nodiscard]] std::vector<recommendation> recommend_batch(std::span<recommend_request const> requests,
                                                            request_watch const& watch);
  /// See recommender::recommend_new. Throws error if the recommender has been destroyed.
  [[nodiscard]] recommendation recommend_new(std::span<item_id const> history, recommend_options const& options) {
    return recommend_new(history, options, recommender_detail::watch_of(options));
  }
  /// The same for a request that ends when `watch` says so, instead of at its deadline.
  [[nodiscard]] recommendation recommend_new(std::span<item_id const> history, recommend_options const& options,
                                             request_watch const& watch);
  /// The same with a number of items.
  [[nodiscard]] recommendation recommend_new(std::span<item_id const> history, index_t k,
                                             search::item_list const& new_items) {
    return recommend_new(history, {.k = k, .filter = {.allow = new_items}});
  }

  /// See recommender::explain. Throws error if the recommender has been destroyed.
  [[nodiscard]] std::vector<explanation> explain(std::span<item_id const> history, std::span<item_id const> items,
                                                 request_limits const& limits = {}) {
    return explain(history, items, recommender_detail::watch_of(limits));
  }
  /// The same for a call that ends when watch.wanted(0) says so.
  [[nodiscard]] std::vector<explanation> explain(std::span<item_id const> history, std::span<item_id const> items,
                                                 request_watch const& watch);
  /// See recommender::trace. Throws error if the recommender has been destroyed.
  [[nodiscard]] search_trace trace(std::span<item_id const> history, recommend_options const& options = {}) {
    return trace(history, options, recommender_detail::watch_of(options));
  }
  /// The same for a call that ends when watch.wanted(0) says so.
  [[nodiscard]] search_trace trace(std::span<item_id const> history, recommend_options const& options,
                                   request_watch watch);

 private:
  friend class recommender<B, T>;
  using state = recommender_detail::recommender_state<B, T>;

  recommender_session() = default;

  /// Whether requests are answered by `wanted`.
  bool serves(std::shared_ptr<state const> const& wanted) const {
    return !state_.owner_before(wanted) && !wanted.owner_before(state_);
  }
  /// Answers requests with `next` from now on. Keeps the backend if its options are the right ones.
  void serve(std::shared_ptr<state const> const& next);
  /// The model's state, at the beginning of every call. Throws error if the recommender has been destroyed, and for a
  /// `watch` that can't follow this session: its threads would ask each other for what they have found so far.
  std::shared_ptr<state const> lock(request_watch const& watch) const;
  /// The options of a search for k items of a version. Throws error if k is out of range.
  static search::beam_options search_options(state const& from, search::catalog_version const& version, index_t k,
                                             score_kind scores = score_kind::raw);
  /// Writes history_tokens_: the tokens of all items in the histories of pending_.
  void read_histories(search::catalog_version const& version);
  /// The answer to one request.
  recommendation answer(recommender_detail::pending_request const& request, request_watch const& watch);
  /// The log p of some items after each of some histories; see recommender::explain.
  struct scored_histories {
    std::span<std::vector<item_id> const> histories;
    std::span<item_id const> items;
    std::vector<std::vector<double>> log_p = {};  // of the first histories, all of them unless the watch ended it
  };
  /// Writes to.log_p.
  void score(state const& from, search::catalog_version const& version, scored_histories& to,
             request_watch const& watch);
  /// Answers pending_, whose searches have the same options, and leaves it empty; answer(number) is where the answer of
  /// a pending_request goes.
  template <class Answer>
  void answer_pending(state const& from, search::catalog_version const& version, search::beam_options const& options,
                      request_watch const& watch, Answer const& answer);
  /// Ends the requests of pending_ that aren't wanted any more, with what append(beams, query) appends. Returns whether
  /// any is left.
  template <class Append>
  bool end_unwanted(recommender_detail::modality_search<B, T>& each, request_watch const& watch,
                    Append const& append) const;
  /// Ends the requests of pending_ that aren't wanted any more, with nothing found. Returns whether any is left.
  bool begin_search(recommender_detail::modality_search<B, T>& each, request_watch const& watch) const;
  /// What a search for pending_ calls between its steps; nothing if nobody watches.
  search::search_watch between_steps(state const& from, recommender_detail::modality_search<B, T>& each,
                                     request_watch const& watch) const;
  /// Searches for pending_ in some modalities.
  void search_pending(state const& from, recommender_detail::modality_search<B, T>& each,
                      search::beam_options const& options, request_watch const& watch);
  /// Calls work(search) for all searches, on the threads of their workers, after the queries of pending_ have been
  /// written.
  template <class Work>
  void each_search(state const& from, search::catalog_version const& version, Work const& work);
  /// The answer to pending_[r]: the first k entries of the fused lists of what was found; items that aren't wanted are
  /// left out.
  template <class Wanted>
  recommendation ranked(state const& from, std::size_t r, Wanted const& wanted) const;
  /// The answer to pending_[r], with items that its rules allow.
  recommendation ranked(state const& from, std::size_t r) const;
  /// Prepares the rules of those requests of pending_ that are still wanted.
  void prepare_rules(search::catalog_version const& version, request_watch const& watch);
  /// Prepares another search for pending_[r], whose answer so far is `best`: for items of other sets than those of
  /// exhausted quotas. Returns false if none would find anything. `beams`: of each search.
  bool needs_more(std::size_t r, recommendation const& best, search::catalog_version const& version, index_t beams);
  /// Leaves out the sets of exhausted quotas in the next search for pending_[r].
  void search_without(recommender_detail::request_rules::exhausted const& quotas, std::size_t r,
                      search::catalog_version const& version);

  std::weak_ptr<state const> state_;  // keeps its address unique, but not the model alive
  std::unique_ptr<B> backend_;
  std::vector<recommender_detail::modality_search<B, T>> searches_;  // they refer to *backend_ and the state
  index_t threads_ = 1;
  std::vector<recommender_detail::pending_request> pending_;  // a micro-batch
  std::vector<recommender_detail::request_rules> rules_;      // of each of them
  std::optional<search::catalog_reader> reader_;
  std::vector<item_id> history_items_;                 // in the histories of pending_
  std::vector<language::token_table> history_tokens_;  // of these items, by modality
};

}  // namespace mql4grec

#include "mql4grec/recommender/explain.inl.hpp"
#include "mql4grec/recommender/session.inl.hpp"
