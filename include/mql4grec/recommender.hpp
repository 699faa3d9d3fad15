#pragma once
// The façade that a service embeds. A recommender is immutable: load it once and use it from any number of threads,
// either through a session per thread or through recommend(), which keeps a session for each thread that calls it. To
// replace a recommender while requests run, use a recommender_slot.
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "mql4grec/backend/cpu/cpu.hpp"
#include "mql4grec/language/vocabulary.hpp"
#include "mql4grec/rank/from_beams.hpp"
#include "mql4grec/rank/fusion.hpp"
#include "mql4grec/search/beam_search.hpp"
#include "mql4grec/search/prefix_drafter.hpp"
#include "mql4grec/seq2seq/decoding.hpp"
#include "mql4grec/tasks/model_tasks.hpp"

namespace mql4grec {

/// Options of a recommender.
struct recommender_options {
  search::beam_options search = {};  ///< of every request; requests for more items than beams use more beams
  rank::any_fusion fusion = {};      ///< the rule that combines the lists of the modalities
  /// The tokens that histories are written with, if they aren't those of the catalog, for example the result of
  /// pipeline::fill_in_language(): one table per modality.
  std::vector<language::token_table> history_tokens = {};
};

/// Options of recommender::load.
template <Backend B = cpu::backend>
struct load_options {
  typename B::options backend = {};  ///< the backend of the model; requests use its device and its precision
  search::beam_options search = {};  ///< see recommender_options
  rank::any_fusion fusion = {};      ///< see recommender_options
};

/// Options of one request.
struct recommend_options {
  index_t k = 10;                   ///< items to return, 0 … max_beams
  search::item_filter filter = {};  ///< items that are allowed, or denied
};

namespace recommender_detail {

/// What the requests of a recommender read. T: the scalar of the parameters.
template <Backend B, Real T>
struct recommender_state {
  seq2seq::frozen_t5<B, T> model;
  tasks::model_tasks tasks;
  std::vector<language::token_table> tables;  // by modality
  std::vector<search::item_trie> tries;       // by modality
  index_t most_sequences;                     // the largest number of sequences of a modality
  recommender_options options;

  /// The tokens that histories are written with.
  std::vector<language::token_table> const& history_tokens() const {
    return options.history_tokens.empty() ? tables : options.history_tokens;
  }
};

/// One request, as the searches of all modalities read it.
struct request {
  std::span<item_id const> history;
  std::optional<search::item_choice> wanted;  // empty: every item
  search::beam_options search;
};

}  // namespace recommender_detail

template <Backend B = cpu::backend, Real T = float>
class recommender;

/// Answers the requests of one thread at a time. Owns a backend with the options of the model's backend, scratch, and
/// on a device the trie and the captured searches; the first request allocates them, later ones reuse them. A session
/// may outlive its recommender, but then recommend() throws error.
template <Backend B = cpu::backend, Real T = float>
class recommender_session {
 public:
  recommender_session(recommender_session&&) = default;
  /// Exchanges the two sessions.
  recommender_session& operator=(recommender_session&& other) noexcept {
    std::swap(state_, other.state_);
    std::swap(searchers_, other.searchers_);  // swapped, since searchers must be destroyed before their backend
    std::swap(worker_, other.worker_);
    return *this;
  }

  /// See recommender::recommend. Throws error if the recommender has been destroyed.
  [[nodiscard]] rank::ranking recommend(std::span<item_id const> history, recommend_options const& options = {}) {
    return recommend(history, options.k, options.filter);
  }
  /// See recommender::recommend_new. Throws error if the recommender has been destroyed.
  [[nodiscard]] rank::ranking recommend_new(std::span<item_id const> history, index_t k,
                                            search::item_list const& new_items);

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
  rank::ranking recommend(std::span<item_id const> history, index_t k, search::item_filter const& filter);
  /// The model's state and the beams of a request for k items.
  std::pair<std::shared_ptr<state const>, recommender_detail::request> begin(std::span<item_id const> history,
                                                                             index_t k) const;
  search::beams search(state const& from, std::size_t m, recommender_detail::request const& wanted);
  /// The same for the marked nodes; all if there are no marks.
  search::beams search(state const& from, std::size_t m, recommender_detail::request const& wanted,
                       std::span<std::uint8_t const> nodes);

  std::weak_ptr<state const> state_;  // keeps its address unique, but not the model alive
  std::unique_ptr<B> worker_;
  std::vector<search::beam_searcher<B, seq2seq::frozen_t5<B, T>>>
      searchers_;  // by modality; they refer to *worker_ and the state
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

  /// The number of items; items are numbered from 0.
  [[nodiscard]] index_t items() const { return state_->tables.front().items(); }

  /// A session, for the requests of one thread. It opens a backend with the options of the model's backend.
  [[nodiscard]] recommender_session<B, T> session() const;

  /// The k items that are most likely next, best first. Returns fewer only if fewer are allowed and have a token
  /// sequence. If k exceeds the number of beams, the search uses k beams; that takes more time and may rank the first
  /// items differently than fewer beams do. Only the last items of the history count (20 by default); unknown items are
  /// skipped; an empty history gives the model's prior. The filter acts inside the search. Throws error unless
  /// 0 ≤ k ≤ max_beams.
  ///
  /// Uses a session of the calling thread, which serves the recommender that this thread called last: a thread that
  /// alternates between recommenders should use a session() of each.
  [[nodiscard]] rank::ranking recommend(std::span<item_id const> history, index_t k,
                                        search::item_filter const& filter = {}) const;

  /// The k of `new_items` that are most likely next, best first, among those that share a prefix with the beams of
  /// recommend(); see prefix_drafter. New items are items that nobody has interacted with: recommend() contains them
  /// too, but ranks them after items that the model has learnt. Takes about twice as long as recommend(). Returns
  /// fewer than k if fewer share a code of the first level with a beam. Sessions and errors are those of recommend().
  [[nodiscard]] rank::ranking recommend_new(std::span<item_id const> history, index_t k,
                                            search::item_list const& new_items) const;

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

}  // namespace recommender_detail

template <Backend B, Real T>
recommender<B, T>::recommender(seq2seq::frozen_t5<B, T> model, tasks::model_tasks tasks,
                               std::vector<language::token_table> tables, recommender_options options) {
  auto made = std::make_shared<state>(state{.model = std::move(model),
                                            .tasks = std::move(tasks),
                                            .tables = std::move(tables),
                                            .tries = {},
                                            .most_sequences = 0,
                                            .options = std::move(options)});
  search::validate(made->options.search);
  expects(!made->tables.empty(), "recommender: no token table");
  expects(made->model.config().vocabulary >= made->tasks.vocab.size(), "recommender: the model knows ",
          made->model.config().vocabulary, " tokens, but the vocabulary has ", made->tasks.vocab.size());
  expects(made->history_tokens().size() == made->tables.size(), "recommender: histories in ",
          made->history_tokens().size(), " modalities, but the catalog has ", made->tables.size());
  for (std::size_t m = 0; m < made->tables.size(); ++m) {
    recommender_detail::check_table(*made, language::modality(m));
    made->tries.emplace_back(made->tables[m]);
    made->most_sequences = std::max(made->most_sequences, made->tries.back().leaves());
  }
  state_ = std::move(made);
}

template <Backend B, Real T>
recommender<B, T>::recommender(B& backend, seq2seq::t5<B, T> model, tasks::model_tasks tasks,
                               std::vector<language::token_table> tables, recommender_options options)
    : recommender(seq2seq::frozen_t5<B, T>(backend, std::move(model)), std::move(tasks), std::move(tables),
                  std::move(options)) {}

template <Backend B, Real T>
recommender_session<B, T> recommender<B, T>::session() const {
  recommender_session<B, T> opened;
  opened.serve(state_);
  return opened;
}

template <Backend B, Real T>
rank::ranking recommender<B, T>::recommend(std::span<item_id const> history, index_t k,
                                           search::item_filter const& filter) const {
  return session_of_thread().recommend(history, k, filter);
}

template <Backend B, Real T>
rank::ranking recommender<B, T>::recommend_new(std::span<item_id const> history, index_t k,
                                               search::item_list const& new_items) const {
  return session_of_thread().recommend_new(history, k, new_items);
}

template <Backend B, Real T>
recommender_session<B, T>& recommender<B, T>::session_of_thread() const {
  thread_local recommender_session<B, T> mine;
  if (!mine.serves(state_)) mine.serve(state_);
  return mine;
}

template <Backend B, Real T>
void recommender_session<B, T>::serve(std::shared_ptr<state const> const& next) {
  state_.reset();  // until all searchers exist
  searchers_.clear();
  if (auto const& how = next->model.worker_options(); !worker_ || worker_->worker_options() != how) {
    worker_.reset();  // a device's memory holds one at a time
    worker_ = std::make_unique<B>(how);
  }
  for (auto const& trie : next->tries) searchers_.emplace_back(*worker_, next->model, trie);
  state_ = next;
}

template <Backend B, Real T>
auto recommender_session<B, T>::begin(std::span<item_id const> history, index_t k) const
    -> std::pair<std::shared_ptr<state const>, recommender_detail::request> {
  auto from = state_.lock();
  expects(from != nullptr, "recommend: the recommender of this session has been destroyed");
  expects(k >= 0 && k <= search::max_beams, "recommend: k is ", k, ", expected 0 to ", search::max_beams);
  recommender_detail::request wanted{.history = history, .wanted = {}, .search = from->options.search};
  wanted.search.beams = std::max(wanted.search.beams, std::min(k, from->most_sequences));
  search::validate(wanted.search);
  return {std::move(from), std::move(wanted)};
}

namespace recommender_detail {

/// The first k entries of the fused lists.
inline rank::ranking first_of(rank::ranking best, index_t k) {
  if (best.size() > k) {
    best.items.resize(to_size(k));
    best.scores.resize(to_size(k));
  }
  return best;
}

}  // namespace recommender_detail

template <Backend B, Real T>
rank::ranking recommender_session<B, T>::recommend(std::span<item_id const> history, index_t k,
                                                   search::item_filter const& filter) {
  auto request = begin(history, k);
  auto const& from = request.first;
  auto& wanted = request.second;
  if (!filter.keeps_all()) wanted.wanted.emplace(filter);
  auto const is_wanted = [&](item_id item) { return !wanted.wanted || (*wanted.wanted)(item); };
  std::vector<rank::ranking> lists;
  for (std::size_t m = 0; m < from->tables.size(); ++m)
    lists.push_back(rank::ranking_of(search(*from, m, wanted), 0, from->tries[m], is_wanted));
  return recommender_detail::first_of(from->options.fusion.fuse(lists), k);
}

template <Backend B, Real T>
rank::ranking recommender_session<B, T>::recommend_new(std::span<item_id const> history, index_t k,
                                                       search::item_list const& new_items) {
  auto const request = begin(history, k);
  auto const& [from, wanted] = request;
  search::item_choice const is_new({.allow = new_items});
  std::vector<rank::ranking> lists;
  std::vector<std::uint8_t> nodes;
  for (std::size_t m = 0; m < from->tables.size(); ++m) {
    auto const& trie = from->tries[m];
    auto const beams = search(*from, m, wanted);
    nodes.resize(to_size(trie.nodes()));
    search::prefix_drafter const drafter(trie, is_new);
    drafter.draft(beams.leaves_of(0), search::draft_options{.sequences = wanted.search.beams}, nodes);
    lists.push_back(rank::ranking_of(search(*from, m, wanted, nodes), 0, trie, is_new));
  }
  return recommender_detail::first_of(from->options.fusion.fuse(lists), k);
}

template <Backend B, Real T>
search::beams recommender_session<B, T>::search(state const& from, std::size_t m,
                                                recommender_detail::request const& wanted) {
  std::vector<std::uint8_t> nodes;
  if (wanted.wanted) {
    nodes.resize(to_size(from.tries[m].nodes()));
    search::mark_allowed(from.tries[m], *wanted.wanted, nodes);
  }
  return search(from, m, wanted, nodes);
}

template <Backend B, Real T>
search::beams recommender_session<B, T>::search(state const& from, std::size_t m,
                                                recommender_detail::request const& wanted,
                                                std::span<std::uint8_t const> nodes) {
  search::beams found;
  auto const& trie = from.tries[m];
  if (trie.leaves() == 0) {  // the model or the dataset lacks the modality
    found.offsets.push_back(0);
    return found;
  }
  tasks::batch query;
  from.tasks.tasks.query(language::modality(m))
      .write_query(wanted.history, {.tables = from.history_tokens(), .vocab = from.tasks.vocab}, query);
  view<std::uint8_t const, host_space, 2> allowed;
  if (!nodes.empty()) allowed = {nodes.data(), 1, trie.nodes()};
  searchers_[m].search({.batch = query, .part = {0, 1}, .allowed = allowed}, wanted.search, found);
  return found;
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
