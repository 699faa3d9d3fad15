#pragma once
// The façade that a service embeds. The model of a recommender is immutable; its catalog may change while requests run.
// Load it once and use it from any number of threads, either through a session per thread or through recommend(), which
// keeps a session for each thread that calls it. A session with several threads answers a single request sooner. To
// replace a recommender while requests run, use a recommender_slot; to answer concurrent requests together, a
// serve::micro_batcher.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>
#include <span>
#include <stop_token>
#include <tuple>
#include <utility>
#include <vector>

#include "mql4grec/backend/cpu/cpu.hpp"
#include "mql4grec/catalog/interactions.hpp"
#include "mql4grec/language/vocabulary.hpp"
#include "mql4grec/rank/calibration.hpp"
#include "mql4grec/rank/from_beams.hpp"
#include "mql4grec/rank/fusion.hpp"
#include "mql4grec/rank/quotas.hpp"
#include "mql4grec/search/beam_search.hpp"
#include "mql4grec/search/catalog_filter.hpp"
#include "mql4grec/seq2seq/decoding.hpp"
#include "mql4grec/tasks/model_tasks.hpp"

namespace mql4grec {

/// Options of a recommender.
struct recommender_options {
  search::beam_options search = {};  ///< of every request; requests for more items than beams use more beams
  rank::any_fusion fusion = {};      ///< the rule that combines the lists of the modalities
  /// Maps the fused scores to probabilities; see rank::read_calibration. It must have been fitted with the same fusion
  /// and search.
  std::optional<rank::score_calibration> calibration = {};
  /// The tokens that histories are written with, if they aren't those of the catalog, for example the result of
  /// pipeline::fill_in_language(): one table per modality.
  std::vector<language::token_table> history_tokens = {};
  /// The log and the merges of the catalog's changes; its `vocab` and `history_tokens` are set by the recommender. See
  /// recommender::catalog.
  search::live_catalog_options catalog = {};
  /// The catalog of another recommender, with all its changes: of a model that replaces another one for the same items.
  /// It must have begun with the same tables. Without one, the recommender has a catalog of its own.
  std::shared_ptr<search::live_catalog> shared_catalog = nullptr;
};

/// Options of recommender::load.
template <Backend B = cpu::backend>
struct load_options {
  typename B::options backend = {};  ///< the backend of the model; requests use its device and its precision
  search::beam_options search = {};  ///< see recommender_options
  rank::any_fusion fusion = {};      ///< see recommender_options
  std::optional<rank::score_calibration> calibration = {};  ///< see recommender_options
  search::live_catalog_options catalog = {};                ///< see recommender_options
};

/// Options of a session.
struct session_options {
  /// Threads that share a request. 1 gives a service with a session per thread the highest throughput: a request
  /// searches all modalities in one batch, without locks or other threads. 2 give a single request the lowest latency:
  /// every modality is searched on a thread of its own. Threads beyond the number of modalities are not started.
  index_t threads = 1;
};

/// The scores that a request is ranked by.
enum class score_kind {
  raw,  ///< those of recommender_options::search; calibrations are fitted to them
  /// log p over the children in the trie, summed over the codes: in each modality the probabilities of all items that
  /// the filter allows add up to 1. (normalization::children, with a length penalty of 0.)
  renormalised
};

/// Options of one request.
struct recommend_options {
  index_t k = 10;                   ///< items to return, 0 … max_beams
  search::item_filter filter = {};  ///< items that are allowed, or denied
  /// At most so many items of some sets; see recommender::recommend.
  std::vector<search::item_quota> quotas = {};
  bool exclude_seen = false;            ///< never items of the history, all of which count here
  score_kind scores = score_kind::raw;  ///< see score_kind
  /// The time from the beginning of the call after which the search ends with the best items so far; none: it runs to
  /// its end. See recommender::recommend.
  std::optional<std::chrono::nanoseconds> deadline = {};
  std::stop_token stop = {};  ///< a request to stop ends the search in the same way
};

/// One of several requests that are answered together.
struct recommend_request {
  std::span<item_id const> history;  ///< oldest first
  recommend_options options = {};    ///< see recommend_options
};

/// The time that the stages of a request took, or those of the micro-batch that it was part of. Of modalities that are
/// searched at the same time the longest counts.
struct stage_times {
  std::chrono::nanoseconds encode{0};  ///< the encoder; on a device without a deadline only the time to start it
  std::chrono::nanoseconds search{0};  ///< the beam search after it
  std::chrono::nanoseconds rank{0};    ///< the lists of the modalities and their fusion
  std::chrono::nanoseconds queue{0};   ///< the wait for the search to begin; only with a serve::micro_batcher
};

/// The place of an item in a ranking.
struct ranked_place {
  index_t rank;  ///< 1 is the best
  double score;  ///< in that ranking
  bool operator==(ranked_place const&) const = default;
};

/// The answer to a request: the fused ranking, and what it was made of. Comparisons are those of the ranking.
struct recommendation : rank::ranking {
  /// The ranking of each modality before the fusion; longer than k where there are more beams. Empty for a modality
  /// without sequences.
  std::vector<rank::ranking> by_modality = {};
  /// Of each item, the probability that it is the next one. Only with recommender_options::calibration, and only of
  /// complete answers with raw scores.
  std::vector<double> probabilities = {};
  /// Whether the search ran to its end. If not, these are the best items so far: see recommender::recommend.
  bool complete = true;
  stage_times times = {};  ///< see stage_times

  /// The place of an item in the ranking of a modality, if it is there.
  [[nodiscard]] std::optional<ranked_place> place_in(language::modality kind, item_id item) const {
    if (to_size(kind) >= by_modality.size()) return {};
    auto const& list = by_modality[to_size(kind)];
    auto const found = std::ranges::find(list.items, item);
    if (found == list.items.end()) return {};
    auto const at = found - list.items.begin();
    return ranked_place{at + 1, list.scores[to_size(at)]};
  }
};

/// What an item of the history contributes to an item; see recommender::explain.
struct reason {
  index_t position;  ///< in the history
  /// By how much log p of the item falls if this position is left out of the history. Negative: the item would be more
  /// likely without it.
  double drop;
  std::vector<index_t> shared_codes;  ///< by modality: the number of leading codes that both items have in common
};

/// Why an item is recommended; see recommender::explain.
struct explanation {
  item_id item;                      ///< the item
  double log_p;                      ///< its log p; −∞ for an item without a sequence
  std::vector<reason> reasons = {};  ///< of the last positions of the history that count, oldest first
};

/// A beam: the first codes of items, and how likely they are.
struct traced_beam {
  std::vector<token_t> tokens;  ///< of the first codes
  double score;                 ///< Σ log p / codes^penalty
};

/// The beams of a search after each of its steps, by modality and step, best first; see recommender::trace.
using search_trace = std::vector<std::vector<std::vector<traced_beam>>>;

/// Follows requests that are answered together, while they are searched. Its functions are called between the steps of
/// a search, on its thread.
struct request_watch {
  /// Whether request i is still to be searched. If not, it is answered with the best items so far.
  std::function<bool(std::size_t i)> wanted = {};
  /// Receives the best items so far of request i, if it is set. Only in sessions with one thread.
  std::function<void(std::size_t i, recommendation)> so_far = {};
  /// Receives the beams of request i in a modality after each step, if it is set. Called on the thread that searches
  /// the modality.
  std::function<void(std::size_t i, language::modality kind, std::vector<traced_beam>)> step = {};
};

namespace recommender_detail {

/// What the requests of a recommender read. T: the scalar of the parameters.
template <Backend B, Real T>
struct recommender_state {
  seq2seq::frozen_t5<B, T> model;
  tasks::model_tasks tasks;
  std::vector<language::token_table> tables;  // by modality, before all changes
  recommender_options options;
  std::shared_ptr<search::live_catalog> catalog;

  /// The tokens that histories are written with.
  std::vector<language::token_table> const& history_tokens() const {
    return options.history_tokens.empty() ? tables : options.history_tokens;
  }
};

/// A request of a micro-batch.
struct pending_request {
  std::span<item_id const> history;
  index_t k;
  search::item_filter const* filter;
  std::size_t number;  // among those of the call
  std::span<search::item_quota const> quotas = {};
  bool exclude_seen = false;
  score_kind scores = score_kind::raw;

  /// The items that are denied besides those of the filter.
  std::span<item_id const> also_denied() const { return exclude_seen ? history : std::span<item_id const>(); }
};

/// The rules of a request besides k, prepared for a version, and what its searches have found.
struct request_rules {
  /// Quotas that are exhausted, by number.
  using exhausted = std::vector<bool>;

  std::optional<search::catalog_choice> wanted = {};    // the filter, if there is one
  std::vector<index_t> sets = {}, most = {};            // of each quota
  search::item_filter filter = {};                      // of a search without the sets of exhausted quotas
  std::optional<search::catalog_choice> searched = {};  // that filter
  std::vector<exhausted> done = {};                     // of each search
  std::vector<rank::ranking> by_modality = {};          // of all searches before this one
  stage_times times = {};                               // of these
};

/// The search for some modalities of a trie_group on one worker, for the requests of a micro-batch. Its memory is kept
/// between them. The query of request r in modality kinds[m] is r · kinds.size() + m.
template <Backend B, Real T>
struct modality_search {
  index_t worker;
  std::size_t group;                      // of the catalog's groups
  index_t first;                          // the position of kinds[0] in the group
  std::vector<language::modality> kinds;  // consecutive ones of the group
  search::beam_searcher<B, seq2seq::frozen_t5<B, T>> searcher;
  search::catalog_version const* version = nullptr;  // that is searched
  tasks::batch queries = {};
  std::vector<node_t> roots = {};         // of each query
  search::filtered_trie filtered = {};    // what filters leave
  search::beams found = {};               // of each query, once it has been searched
  std::vector<search::beams> early = {};  // of each request that ended early: the best so far of its queries
  search::search_status status = {};      // of the last search

  /// The modality kinds[m] of the version.
  search::catalog_modality modality(std::size_t m) const {
    return {*version, version->groups()[group], first + static_cast<index_t>(m)};
  }
  /// Searches for the queries below their roots.
  void search(search::beam_options const& options, search::search_watch const& watch = {}) {
    searcher.use(version->groups()[group].trie);
    status = searcher.search({.batch = queries, .part = {0, queries.size()}, .roots = roots, .added = filtered.nodes()},
                             options, found, watch);
  }
  /// Whether request r ended early.
  bool ended_early(std::size_t r) const { return r < early.size() && early[r].queries() > 0; }
  /// The beams of one query, with their first `level` codes.
  std::vector<traced_beam> traced(search::beams const& now, std::size_t m, index_t level) const {
    std::vector<traced_beam> out;
    for (std::size_t i = 0; i < now.leaves.size(); ++i) {
      auto const tokens = modality(m).sequence(items(now.leaves[i]).front()).first(to_size(level));
      out.push_back({.tokens = {tokens.begin(), tokens.end()}, .score = static_cast<double>(now.scores[i])});
    }
    return out;
  }
  /// The items of a leaf.
  std::span<item_id const> items(node_t leaf) const { return filtered.items(version->groups()[group].trie, leaf); }
  /// The ranking of request r in modality kinds[m]; empty if it has not been searched.
  template <class Wanted>
  rank::ranking ranking_of(std::size_t r, std::size_t m, Wanted const& wanted) const {
    if (ended_early(r)) return rank::ranking_of(early[r], static_cast<index_t>(m), *this, wanted);
    auto const query = static_cast<index_t>(r * kinds.size() + m);
    return query < found.queries() ? rank::ranking_of(found, query, *this, wanted) : rank::ranking();
  }
};

}  // namespace recommender_detail

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
  [[nodiscard]] recommendation recommend_new(std::span<item_id const> history, index_t k,
                                             search::item_list const& new_items);

  /// See recommender::explain. Throws error if the recommender has been destroyed.
  [[nodiscard]] std::vector<explanation> explain(std::span<item_id const> history, std::span<item_id const> items);
  /// See recommender::trace. Throws error if the recommender has been destroyed.
  [[nodiscard]] search_trace trace(std::span<item_id const> history, recommend_options const& options = {});

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
  /// The model's state. Throws error if the recommender has been destroyed.
  std::shared_ptr<state const> lock() const;
  /// The options of a search for k items of a version. Throws error if k is out of range.
  static search::beam_options search_options(state const& from, search::catalog_version const& version, index_t k,
                                             score_kind scores = score_kind::raw);
  /// Writes history_tokens_: the tokens of all items in the histories of pending_.
  void read_histories(search::catalog_version const& version);
  /// The answer to one request.
  recommendation answer(recommender_detail::pending_request const& request, request_watch const& watch);
  /// The log p of each of `items` after each history; see recommender::explain.
  std::vector<std::vector<double>> score(state const& from, search::catalog_version const& version,
                                         std::span<std::vector<item_id> const> histories,
                                         std::span<item_id const> items);
  /// Answers pending_, whose searches have the same options, and leaves it empty; answer(number) is where the answer of
  /// a pending_request goes.
  template <class Answer>
  void answer_pending(state const& from, search::catalog_version const& version, search::beam_options const& options,
                      request_watch const& watch, Answer const& answer);
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
  /// Prepares the rules of pending_.
  void prepare_rules(search::catalog_version const& version);
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

/// A model and a catalog that answer requests. B: the backend of the parameters; T: their scalar. Copies share the
/// model. Const members are thread-safe.
template <Backend B, Real T>
class recommender {
  static_assert(ReopenableBackend<B>,
                "every session opens a backend of its own: B needs worker_options(), and a constructor with them; see "
                "backend/contract/concepts.hpp");

 public:
  /// Requests use the device and the precision that the model was frozen with. `tables`: one per modality, all with the
  /// same number of items. Throws error if model, tasks and tables don't fit together.
  recommender(seq2seq::frozen_t5<B, T> model, tasks::model_tasks tasks, std::vector<language::token_table> tables,
              recommender_options options = {});

  /// Freezes the model on `backend`, then as above.
  recommender(B& backend, seq2seq::t5<B, T> model, tasks::model_tasks tasks, std::vector<language::token_table> tables,
              recommender_options options = {});

#if MQL4GREC_HAS_JSON
  /// Loads a model directory and a dataset directory. Throws file_error if a file is missing or damaged, and error if
  /// the two don't fit together.
  [[nodiscard]] static recommender load(std::filesystem::path const& model, std::filesystem::path const& catalog,
                                        load_options<B> const& options = {});
#endif

  /// The number of items; items are numbered from 0. It grows when items are inserted.
  [[nodiscard]] index_t items() const { return state_->catalog->version().items(); }
  /// The catalog. Its items may be inserted, removed and given other sequences while requests run. A request searches
  /// the version that was the newest when it began; requests that are answered together search one version. The
  /// modalities that have sequences when the recommender is constructed are searched.
  [[nodiscard]] search::live_catalog& catalog() const { return *state_->catalog; }
  /// The same, for recommender_options::shared_catalog.
  [[nodiscard]] std::shared_ptr<search::live_catalog> share_catalog() const { return state_->catalog; }
  /// The model. It lives as long as a copy of this recommender, as does what the three functions below return.
  [[nodiscard]] seq2seq::frozen_t5<B, T> const& model() const { return state_->model; }
  /// The model's tokens and tasks.
  [[nodiscard]] tasks::model_tasks const& tasks() const { return state_->tasks; }
  /// The options of every search.
  [[nodiscard]] search::beam_options const& search_options() const { return state_->options.search; }
  /// The tokens of the catalog before all changes, by modality; see catalog() for the newest ones.
  [[nodiscard]] std::vector<language::token_table> const& tokens() const { return state_->tables; }

  /// A session, for the requests of one thread at a time. It opens a backend with the options of the model's backend
  /// and the threads of `options`. Throws error unless there is at least one thread, and for several threads where B
  /// has one worker only.
  [[nodiscard]] recommender_session<B, T> session(session_options const& options = {}) const;

  /// The items that are most likely next, best first: options.k of them; fewer only if fewer are allowed and have a
  /// token sequence. If k exceeds the number of beams, the search uses k beams; that takes more time and may rank the
  /// first items differently than fewer beams do. Only the last items of the history count (20 by default); unknown
  /// items are skipped; an empty history gives the model's prior. The filter acts inside the search. Throws error
  /// unless 0 ≤ k ≤ max_beams, and for a set that the catalog doesn't have.
  ///
  /// With quotas, the answer is the first k items of the fused lists with which all quotas hold; see
  /// rank::within_quotas. If they are fewer than k, the request is searched again without the sets of exhausted quotas,
  /// and the new items of each modality are merged into its list by their scores, until there are k or no item is left
  /// with which the quotas hold. So if the sets are disjoint or nested, there are k items whenever k items of the
  /// catalog fit the filter and the quotas; if they overlap otherwise, no item could be added to the list. Each further
  /// search takes as long as the first one, and there is at most one for each quota if the sets are disjoint or nested.
  /// A request that ends early in a further search has the list of those before. With normalization::children, the
  /// scores of a further search are distributions over the items that it still allows.
  ///
  /// When the deadline passes, or a stop is requested, the answer is not `complete`: it contains the best items so far.
  /// This is checked before each layer of the encoder and before each step of the search, one for a code. The beams are
  /// then prefixes of sequences, and the list of a modality consists of the items below its best prefix, in the order
  /// of their sequences, followed by those below the next, and so on, with the scores of the prefixes (the mean log p
  /// of their codes). Before the first code is known, the list is empty. The scores of modalities that ended at
  /// different codes aren't comparable. Without a deadline or a token that can be stopped, nothing is checked.
  ///
  /// Uses a session of the calling thread, which serves the recommender that this thread called last: a thread that
  /// alternates between recommenders should use a session() of each.
  [[nodiscard]] recommendation recommend(std::span<item_id const> history, recommend_options const& options = {}) const;
  /// The same with a number of items and a filter.
  [[nodiscard]] recommendation recommend(std::span<item_id const> history, index_t k,
                                         search::item_filter const& filter = {}) const;

  /// The answers to several requests, in their order. They are searched together, in micro-batches of about
  /// beam_options::block_rows rows, which takes less time than one after another. Answers are those of recommend(),
  /// except for the rounding of matrix products. Deadlines count from the beginning of the call; a request whose
  /// deadline passes is answered incomplete while the others go on. Sessions and errors are those of recommend().
  [[nodiscard]] std::vector<recommendation> recommend_batch(std::span<recommend_request const> requests) const;

  /// The k of `new_items` that are most likely next, best first, among those that share a prefix with the beams of
  /// recommend(); see prefix_drafter. New items are items that nobody has interacted with: recommend() contains them
  /// too, but ranks them after items that the model has learnt. Takes about twice as long as recommend(). Returns
  /// fewer than k if fewer share a code of the first level with a beam. Sessions and errors are those of recommend().
  [[nodiscard]] recommendation recommend_new(std::span<item_id const> history, index_t k,
                                             search::item_list const& new_items) const;

  /// Why `items` are recommended after a history. log p of an item is the logarithm of the mean, over the modalities in
  /// which it has a sequence, of the probability that the model gives to the sequence: log-softmax over the whole
  /// vocabulary, summed over the codes and, with beam_options::score_eos, </s>. Each item of the history is left out in
  /// turn, all in one batch; drops of several items don't add up. Only the last 20 positions of the history count,
  /// and stay the same ones when one of them is left out. Takes about as long as 20 requests. Throws error if there are
  /// more than max_beams items, and if one isn't in the catalog. Sessions are those of recommend().
  [[nodiscard]] std::vector<explanation> explain(std::span<item_id const> history,
                                                 std::span<item_id const> items) const;
  /// The beams of a request's search after each step, to show how its items were found: step l has beams of l + 1
  /// codes, and the last step those of whole sequences, with the scores of the lists by modality. The deadline and
  /// quotas have no effect. Sessions and errors are those of recommend().
  [[nodiscard]] search_trace trace(std::span<item_id const> history, recommend_options const& options = {}) const;

 private:
  recommender_session<B, T>& session_of_thread() const;

  using state = recommender_detail::recommender_state<B, T>;

  std::shared_ptr<state const> state_;
};

// ---- definitions: outside the classes, so that the compiled library's are used
namespace recommender_detail {

/// Throws error unless the table of modality `kind` fits the rest.
template <Backend B, Real T>
void check_table(recommender_state<B, T> const& with, language::modality kind) {
  auto const& table = with.tables[to_size(kind)];
  auto const& query = with.tasks.tasks.query(kind);
  auto const items = with.tables.front().items();
  auto const vocabulary_size = with.tasks.vocab.size();
  for (auto const* const one : {&table, &with.history_tokens()[to_size(kind)]}) {
    expects(one->items() == items, "recommender: tables of ", items, " and of ", one->items(), " items");
    expects(one->kind() == query.to(), "recommender: a table of modality ", index(one->kind()),
            " for a task that predicts modality ", index(query.to()));
    for (auto const token : one->tokens())
      expects(index(token) >= 0 && index(token) < vocabulary_size, "recommender: token ", index(token),
              " in a table, but the vocabulary has ", vocabulary_size);
  }
  if (table.tokens().empty()) return;  // the modality is never queried
  tasks::batch scratch;
  query.write_query({}, {.tables = with.history_tokens(), .vocab = with.tasks.vocab},
                    scratch);  // reads tables and prompts
}

/// Whether a request may end early.
inline bool has_limit(recommend_options const& options) {
  return options.deadline.has_value() || options.stop.stop_possible();
}
/// When a request that begins now ends. A deadline beyond the clock's range is none.
inline std::chrono::steady_clock::time_point end_of(recommend_options const& options) {
  auto const now = std::chrono::steady_clock::now();
  constexpr auto latest = std::chrono::steady_clock::time_point::max();
  return options.deadline && *options.deadline < latest - now ? now + *options.deadline : latest;
}

/// The options of a backend with so many workers.
template <class Options>
Options with_threads(Options backend, index_t threads) {
  if constexpr (requires { backend.threads = threads; })
    backend.threads = threads;
  else
    expects(threads == 1, "session: ", threads, " threads on a backend with one worker");
  return backend;
}

}  // namespace recommender_detail

template <Backend B, Real T>
recommender<B, T>::recommender(seq2seq::frozen_t5<B, T> model, tasks::model_tasks tasks,
                               std::vector<language::token_table> tables, recommender_options options) {
  auto made = std::make_shared<state>(state{.model = std::move(model),
                                            .tasks = std::move(tasks),
                                            .tables = std::move(tables),
                                            .options = std::move(options),
                                            .catalog = nullptr});
  search::validate(made->options.search);
  expects(!made->tables.empty(), "recommender: no token table");
  expects(made->model.config().vocabulary >= made->tasks.vocab.size(), "recommender: the model knows ",
          made->model.config().vocabulary, " tokens, but the vocabulary has ", made->tasks.vocab.size());
  expects(made->history_tokens().size() == made->tables.size(), "recommender: histories in ",
          made->history_tokens().size(), " modalities, but the catalog has ", made->tables.size());
  for (std::size_t m = 0; m < made->tables.size(); ++m) recommender_detail::check_table(*made, language::modality(m));
  if (auto const& shared = made->options.shared_catalog) {
    expects(shared->began_with(made->tables, made->options.history_tokens),
            "recommender: the shared catalog began with other tables");
    expects(shared->vocab() == made->tasks.vocab, "recommender: the shared catalog has another vocabulary");
    made->catalog = shared;
    state_ = std::move(made);
    return;
  }
  auto catalog = made->options.catalog;
  catalog.vocab = made->tasks.vocab;
  catalog.history_tokens = made->options.history_tokens;
  made->catalog = std::make_shared<search::live_catalog>(made->tables, std::move(catalog));
  state_ = std::move(made);
}

template <Backend B, Real T>
recommender<B, T>::recommender(B& backend, seq2seq::t5<B, T> model, tasks::model_tasks tasks,
                               std::vector<language::token_table> tables, recommender_options options)
    : recommender(seq2seq::frozen_t5<B, T>(backend, std::move(model)), std::move(tasks), std::move(tables),
                  std::move(options)) {}

template <Backend B, Real T>
recommender_session<B, T> recommender<B, T>::session(session_options const& options) const {
  expects(options.threads >= 1, "session: ", options.threads, " threads, expected at least 1");
  recommender_session<B, T> opened;
  opened.threads_ = options.threads;
  opened.serve(state_);
  return opened;
}

template <Backend B, Real T>
recommendation recommender<B, T>::recommend(std::span<item_id const> history, recommend_options const& options) const {
  return session_of_thread().recommend(history, options);
}

template <Backend B, Real T>
recommendation recommender<B, T>::recommend(std::span<item_id const> history, index_t k,
                                            search::item_filter const& filter) const {
  return session_of_thread().recommend(history, k, filter);
}

template <Backend B, Real T>
std::vector<recommendation> recommender<B, T>::recommend_batch(std::span<recommend_request const> requests) const {
  return session_of_thread().recommend_batch(requests);
}

template <Backend B, Real T>
recommendation recommender<B, T>::recommend_new(std::span<item_id const> history, index_t k,
                                                search::item_list const& new_items) const {
  return session_of_thread().recommend_new(history, k, new_items);
}

template <Backend B, Real T>
std::vector<explanation> recommender<B, T>::explain(std::span<item_id const> history,
                                                    std::span<item_id const> items) const {
  return session_of_thread().explain(history, items);
}

template <Backend B, Real T>
search_trace recommender<B, T>::trace(std::span<item_id const> history, recommend_options const& options) const {
  return session_of_thread().trace(history, options);
}

template <Backend B, Real T>
recommender_session<B, T>& recommender<B, T>::session_of_thread() const {
  thread_local recommender_session<B, T> mine;
  if (!mine.serves(state_)) mine.serve(state_);
  return mine;
}

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
auto recommender_session<B, T>::lock() const -> std::shared_ptr<state const> {
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
  if (scores == score_kind::renormalised) {
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
    for (auto& each : searches_) {
      if (each.worker != worker) continue;
      each.version = &version;
      each.queries.clear();
      each.roots.clear();
      each.filtered.clear();
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
  if (auto const& calibration = from.options.calibration;
      calibration && best.complete && pending_[r].scores == score_kind::raw)
    for (auto const score : best.scores) best.probabilities.push_back(calibration->probability(score));
  best.times.rank += std::chrono::steady_clock::now() - started;
  return best;
}

template <Backend B, Real T>
recommendation recommender_session<B, T>::ranked(state const& from, std::size_t r) const {
  if (auto const& wanted = rules_[r].wanted) return ranked(from, r, *wanted);
  return ranked(from, r, [](item_id) { return true; });
}

template <Backend B, Real T>
void recommender_session<B, T>::prepare_rules(search::catalog_version const& version) {
  rules_.resize(pending_.size());
  for (std::size_t r = 0; r < pending_.size(); ++r) {
    auto const& request = pending_[r];
    auto& rules = rules_[r];
    rules = {};
    if (!request.filter->keeps_all() || !request.also_denied().empty())
      rules.wanted.emplace(*request.filter, version, request.also_denied());
    for (auto const& [set, most] : request.quotas) {
      expects(most >= 0, "recommend: a quota of ", most, " items of '", set, "', expected at least 0");
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
void recommender_session<B, T>::search_pending(state const& from, recommender_detail::modality_search<B, T>& each,
                                               search::beam_options const& options, request_watch const& watch) {
  auto const count = pending_.size(), kinds = each.kinds.size();
  /// Ends what isn't wanted any more with what append(beams, query) appends. Returns whether anything is left.
  auto const end_unwanted = [&](auto const& append) {
    bool any = false;
    for (std::size_t r = 0; r < count; ++r) {
      if (each.ended_early(r)) continue;
      if (watch.wanted(pending_[r].number)) {
        any = true;
        continue;
      }
      for (std::size_t m = 0; m < kinds; ++m) append(each.early[r], static_cast<index_t>(r * kinds + m));
    }
    return any;
  };
  search::search_watch between;
  if (watch.wanted) {
    each.early.resize(count);
    if (!end_unwanted([](search::beams& out, index_t) { out.offsets.push_back(0); })) return;
    between = [&](search::search_progress const& at) {
      if (!end_unwanted([&](search::beams& out, index_t query) { at.append_to(out, query); })) return false;
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
  for (std::size_t r = 0; r < count; ++r) {
    auto const& rules = rules_[r];
    auto const& [filter, wanted] =
        rules.searched ? std::tie(rules.filter, rules.searched) : std::tie(*pending_[r].filter, rules.wanted);
    if (!wanted) continue;
    for (std::size_t m = 0; m < kinds; ++m)
      each.roots[r * kinds + m] = search::add_filter(each.filtered, each.modality(m), filter, *wanted);
  }
  each.search(options, between);
}

template <Backend B, Real T>
template <class Answer>
void recommender_session<B, T>::answer_pending(state const& from, search::catalog_version const& version,
                                               search::beam_options const& options, request_watch const& watch,
                                               Answer const& answer) {
  prepare_rules(version);
  while (!pending_.empty()) {
    for (auto& each : searches_) {
      each.found.clear();
      each.early.clear();
      each.status = {};
    }
    each_search(from, version, [&](auto& each) { search_pending(from, each, options, watch); });
    std::size_t left = 0;  // requests that are searched again
    for (std::size_t r = 0; r < pending_.size(); ++r) {
      auto best = ranked(from, r);
      if (!needs_more(r, best, version, options.beams)) {
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
  auto const from = lock();
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
  request_watch watch;
  if (recommender_detail::has_limit(options))
    watch.wanted = [&options, end = recommender_detail::end_of(options)](std::size_t) {
      return std::chrono::steady_clock::now() < end && !options.stop.stop_requested();
    };
  return answer({.history = history,
                 .k = options.k,
                 .filter = &options.filter,
                 .number = 0,
                 .quotas = options.quotas,
                 .exclude_seen = options.exclude_seen,
                 .scores = options.scores},
                watch);
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
  expects(!watch.so_far || threads_ == 1, "recommend_batch: so_far in a session with ", threads_, " threads");
  auto const from = lock();
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
      pending_.push_back({.history = history,
                          .k = wanted.k,
                          .filter = &wanted.filter,
                          .number = order[first],
                          .quotas = wanted.quotas,
                          .exclude_seen = wanted.exclude_seen,
                          .scores = wanted.scores});
    }
    answer_pending(*from, *version, how, watch, [&](std::size_t number) -> recommendation& { return answers[number]; });
  }
  return answers;
}

template <Backend B, Real T>
recommendation recommender_session<B, T>::recommend_new(std::span<item_id const> history, index_t k,
                                                        search::item_list const& new_items) {
  auto const from = lock();
  auto const version = reader_->read();
  auto const options = search_options(*from, *version, k);
  search::item_choice const is_new({.allow = new_items});
  search::draft_options const draft{.sequences = options.beams};
  search::item_filter const all;
  pending_.assign(1, {.history = history, .k = k, .filter = &all, .number = 0});
  prepare_rules(*version);
  each_search(*from, *version, [&](auto& each) {
    each.early.clear();
    each.found.clear();
    each.search(options);
    auto const first = each.status;
    for (std::size_t m = 0; m < each.kinds.size(); ++m)
      each.roots[m] = search::add_draft(each.filtered, each.modality(m), new_items,
                                        each.found.leaves_of(static_cast<index_t>(m)), draft);
    each.found.clear();
    each.search(options);
    each.status.encode += first.encode;
    each.status.decode += first.decode;
  });
  return ranked(*from, 0, is_new);
}

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

/// Holds the current recommender of a service. A request calls get() and uses the result until it ends; set() replaces
/// the recommender for later requests. The old one is destroyed when its last request ends. All members are
/// thread-safe.
template <class R = recommender<>>
class recommender_slot {
 public:
  /// Starts with `first`.
  explicit recommender_slot(std::shared_ptr<R const> first) : current_(std::move(first)) {}
  /// The current recommender.
  [[nodiscard]] std::shared_ptr<R const> get() const {
    std::lock_guard const lock(mutex_);
    return current_;
  }
  /// Replaces the current recommender.
  void set(std::shared_ptr<R const> next) {
    std::lock_guard const lock(mutex_);
    current_.swap(next);  // the old one is destroyed after the lock is released
  }

 private:
  // Locked while a pointer is copied. Not std::atomic<std::shared_ptr>: libc++ has none, and in libstdc++ 12 the unlock
  // of a load is relaxed, a data race with the next store.
  mutable std::mutex mutex_;
  std::shared_ptr<R const> current_;
};

}  // namespace mql4grec

// load() reads files and thus needs the largest headers. A program that links mql4grec::compiled finds it there for
// recommender<>; for other template arguments include mql4grec.hpp.
#if MQL4GREC_COMPILED
extern template class mql4grec::recommender_session<>;
extern template class mql4grec::recommender<>;
#elif MQL4GREC_HAS_JSON
#include "mql4grec/recommender_load.hpp"
#endif
