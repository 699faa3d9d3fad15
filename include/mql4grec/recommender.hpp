#pragma once
// The façade that a service embeds. A recommender is immutable: load it once and use it from any number of threads,
// either through a session per thread or through recommend(), which keeps a session for each thread that calls it. A
// session with several threads answers a single request sooner. To replace a recommender while requests run, use a
// recommender_slot.
#include <filesystem>
#include <map>
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

/// Options of a session.
struct session_options {
  /// Threads that share a request. 1 gives a service with a session per thread the highest throughput: a request
  /// searches all modalities in one batch, without locks or other threads. 2 give a single request the lowest latency:
  /// every modality is searched on a thread of its own. Threads beyond the number of modalities are not started.
  index_t threads = 1;
};

/// Options of one request.
struct recommend_options {
  index_t k = 10;                   ///< items to return, 0 … max_beams
  search::item_filter filter = {};  ///< items that are allowed, or denied
};

namespace recommender_detail {

/// Modalities whose sequences are equally long. A request searches them together: their queries are one batch of the
/// model.
struct modality_group {
  std::vector<language::modality> kinds;  // those with sequences
  std::vector<node_t> roots;              // of each of them in the trie
  search::item_trie trie;
};

/// What the requests of a recommender read. T: the scalar of the parameters.
template <Backend B, Real T>
struct recommender_state {
  seq2seq::frozen_t5<B, T> model;
  tasks::model_tasks tasks;
  std::vector<language::token_table> tables;  // by modality
  std::vector<modality_group> groups;         // of the modalities that have sequences
  index_t most_sequences;                     // the largest number of sequences of a modality
  recommender_options options;

  /// The tokens that histories are written with.
  std::vector<language::token_table> const& history_tokens() const {
    return options.history_tokens.empty() ? tables : options.history_tokens;
  }
};

/// The search for some modalities of a group on one worker. Its memory is kept between requests.
template <Backend B, Real T>
struct modality_search {
  index_t worker;
  std::span<language::modality const> kinds;
  std::span<node_t const> roots;
  search::item_trie const& trie;
  search::beam_searcher<B, seq2seq::frozen_t5<B, T>> searcher;
  tasks::batch queries = {};               // of each modality
  std::vector<std::uint8_t> allowed = {};  // (nodes), or (modalities, nodes) of a draft
  search::beams found = {};                // of each query

  /// Searches for the queries, among the allowed nodes; see search_queries.
  void search(search::beam_options const& options, host_matrix_view<std::uint8_t const> among) {
    searcher.search({.batch = queries, .part = {0, queries.size()}, .allowed = among, .roots = roots}, options, found);
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
  /// The model's state and the options of the searches for k items.
  std::pair<std::shared_ptr<state const>, search::beam_options> begin(index_t k) const;
  /// Calls work(search) for all searches, on the threads of their workers, after their queries have been written.
  template <class Work>
  void each_search(state const& from, std::span<item_id const> history, Work const& work);
  /// The first k entries of the fused lists of what was found; items that aren't wanted are left out.
  template <class Wanted>
  rank::ranking ranked(state const& from, index_t k, Wanted const& wanted) const;

  std::weak_ptr<state const> state_;  // keeps its address unique, but not the model alive
  std::unique_ptr<B> backend_;
  std::vector<recommender_detail::modality_search<B, T>> searches_;  // they refer to *backend_ and the state
  index_t threads_ = 1;
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

  /// A session, for the requests of one thread at a time. It opens a backend with the options of the model's backend
  /// and the threads of `options`. Throws error unless there is at least one thread, and for several threads where B
  /// has one worker only.
  [[nodiscard]] recommender_session<B, T> session(session_options const& options = {}) const;

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

/// The modalities with sequences, in groups of equally long ones.
inline std::vector<modality_group> group_modalities(std::vector<language::token_table> const& tables) {
  std::map<index_t, std::vector<language::modality>> by_levels;
  for (auto const& table : tables)
    if (!table.present().empty()) by_levels[table.levels()].push_back(table.kind());
  std::vector<modality_group> groups;
  for (auto const& [levels, kinds] : by_levels) {
    modality_group group{.kinds = kinds, .roots = {}, .trie = {}};
    std::vector<language::token_table const*> together;
    for (auto const kind : kinds) {
      group.roots.push_back(static_cast<node_t>(together.size()));
      together.push_back(&tables[to_size(kind)]);
    }
    group.trie = search::item_trie(together);
    groups.push_back(std::move(group));
  }
  return groups;
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
                                            .groups = {},
                                            .most_sequences = 0,
                                            .options = std::move(options)});
  search::validate(made->options.search);
  expects(!made->tables.empty(), "recommender: no token table");
  expects(made->model.config().vocabulary >= made->tasks.vocab.size(), "recommender: the model knows ",
          made->model.config().vocabulary, " tokens, but the vocabulary has ", made->tasks.vocab.size());
  expects(made->history_tokens().size() == made->tables.size(), "recommender: histories in ",
          made->history_tokens().size(), " modalities, but the catalog has ", made->tables.size());
  for (std::size_t m = 0; m < made->tables.size(); ++m) recommender_detail::check_table(*made, language::modality(m));
  made->groups = recommender_detail::group_modalities(made->tables);
  for (auto const& group : made->groups)
    for (auto const root : group.roots)
      made->most_sequences = std::max(made->most_sequences, group.trie.leaves_below(root));
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
  state_.reset();  // until all searches exist
  searches_.clear();
  std::ptrdiff_t modalities = 0;
  for (auto const& group : next->groups) modalities += std::ssize(group.kinds);
  auto const threads = std::clamp<index_t>(modalities, 1, threads_);
  if (auto const& how = next->model.worker_options();
      !backend_ || backend_->workers() != threads || backend_->worker_options() != how) {
    backend_.reset();  // a device's memory holds one at a time
    backend_ = std::make_unique<B>(recommender_detail::with_threads(how, threads));
  }
  for (auto const& group : next->groups) {
    auto const together = threads == 1 ? group.kinds.size() : 1;
    for (std::size_t m = 0; m < group.kinds.size(); m += together) {
      auto const worker = std::ssize(searches_) % threads;
      searches_.push_back({.worker = worker,
                           .kinds = std::span(group.kinds).subspan(m, together),
                           .roots = std::span(group.roots).subspan(m, together),
                           .trie = group.trie,
                           .searcher = {backend_->worker(worker), next->model, group.trie}});
    }
  }
  state_ = next;
}

template <Backend B, Real T>
auto recommender_session<B, T>::begin(index_t k) const
    -> std::pair<std::shared_ptr<state const>, search::beam_options> {
  auto from = state_.lock();
  expects(from != nullptr, "recommend: the recommender of this session has been destroyed");
  expects(k >= 0 && k <= search::max_beams, "recommend: k is ", k, ", expected 0 to ", search::max_beams);
  auto options = from->options.search;
  options.beams = std::max(options.beams, std::min(k, from->most_sequences));
  search::validate(options);
  return {std::move(from), options};
}

template <Backend B, Real T>
template <class Work>
void recommender_session<B, T>::each_search(state const& from, std::span<item_id const> history, Work const& work) {
  for_each_worker(*backend_, [&](B&, index_t worker) {
    for (auto& each : searches_) {
      if (each.worker != worker) continue;
      each.queries.clear();
      each.found.clear();
      for (auto const kind : each.kinds) {
        from.tasks.begin_query(each.queries);
        from.tasks.tasks.query(kind).write_query(history, {.tables = from.history_tokens(), .vocab = from.tasks.vocab},
                                                 each.queries);
      }
      work(each);
    }
  });
}

template <Backend B, Real T>
template <class Wanted>
rank::ranking recommender_session<B, T>::ranked(state const& from, index_t k, Wanted const& wanted) const {
  std::vector<rank::ranking> lists(from.tables.size());  // empty for a modality without sequences
  for (auto const& each : searches_)
    for (std::size_t q = 0; q < each.kinds.size(); ++q)
      lists[to_size(each.kinds[q])] = rank::ranking_of(each.found, static_cast<index_t>(q), each.trie, wanted);
  auto best = from.options.fusion.fuse(lists);
  if (best.size() > k) {
    best.items.resize(to_size(k));
    best.scores.resize(to_size(k));
  }
  return best;
}

template <Backend B, Real T>
rank::ranking recommender_session<B, T>::recommend(std::span<item_id const> history, index_t k,
                                                   search::item_filter const& filter) {
  auto const request = begin(k);
  auto const& from = *request.first;
  auto const& options = request.second;
  std::optional<search::item_choice> choice;
  if (!filter.keeps_all()) choice.emplace(filter);
  auto const is_wanted = [&](item_id item) { return !choice || (*choice)(item); };
  each_search(from, history, [&](auto& each) {
    host_matrix_view<std::uint8_t const> allowed;
    if (choice) {
      each.allowed.resize(to_size(each.trie.nodes()));
      search::mark_allowed(each.trie, *choice, each.allowed);
      allowed = {each.allowed.data(), each.queries.size(), each.trie.nodes(), 0};  // the same for all queries
    }
    each.search(options, allowed);
  });
  return ranked(from, k, is_wanted);
}

template <Backend B, Real T>
rank::ranking recommender_session<B, T>::recommend_new(std::span<item_id const> history, index_t k,
                                                       search::item_list const& new_items) {
  auto const request = begin(k);
  auto const& from = *request.first;
  auto const& options = request.second;
  search::item_choice const is_new({.allow = new_items});
  search::draft_options const draft{.sequences = options.beams};
  using among = host_matrix_view<std::uint8_t const>;
  each_search(from, history, [&](auto& each) {
    each.search(options, among());
    search::prefix_drafter const drafter(each.trie, is_new);
    auto const nodes = to_size(each.trie.nodes());
    each.allowed.resize(each.kinds.size() * nodes);
    for (std::size_t q = 0; q < each.kinds.size(); ++q)
      drafter.draft(each.found.leaves_of(static_cast<index_t>(q)), draft,
                    std::span(each.allowed).subspan(q * nodes, nodes));
    each.found.clear();
    each.search(options, among(each.allowed.data(), each.queries.size(), each.trie.nodes()));
  });
  return ranked(from, k, is_new);
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
