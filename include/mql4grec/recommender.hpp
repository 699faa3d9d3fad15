#pragma once
// The façade that a service embeds. The model of a recommender is immutable; its catalog may change while requests run.
// Load it once and use it from any number of threads, either through a session per thread or through recommend(), which
// keeps a session for each thread that calls it. A session with several threads answers a single request sooner. To
// replace a recommender while requests run, use a recommender_slot; to answer concurrent requests together, a
// serve::micro_batcher.
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "mql4grec/backend/cpu/cpu.hpp"
#include "mql4grec/recommender/options.hpp"
#include "mql4grec/recommender/request.hpp"
#include "mql4grec/recommender/session.hpp"
#include "mql4grec/search/packed_catalog.hpp"

namespace mql4grec {

/// A model and a catalog that answer requests. B: the backend of the parameters; T: their scalar. Copies share the
/// model. Const members are thread-safe.
template <Backend B, Real T>
class recommender {
  static_assert(ReopenableBackend<B>,
                "every session opens a backend of its own: B needs worker_options(), and a constructor with them; see "
                "backend/contract/concepts.hpp");

 public:
  /// Requests use the device and the precision that the model was frozen with. `tables`: one per modality, all with the
  /// same number of items. Throws error if model, tasks and tables don't fit together, and for a calibration that was
  /// fitted with other search options, another fusion or other modalities.
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
  /// The same with all options: options.filter.allow are the new items, and must be there. The other rules of the
  /// filter and exclude_seen choose among them before the draft; with quotas, the list is the first of those items that
  /// fit, and isn't searched again. When the deadline passes, or a stop is requested, the answer is not `complete`: it
  /// contains the new items among the best ones so far, as that of recommend().
  [[nodiscard]] recommendation recommend_new(std::span<item_id const> history, recommend_options const& options) const;

  /// Why `items` are recommended after a history. log p of an item is the logarithm of the mean, over the modalities in
  /// which it has a sequence, of the probability that the model gives to the sequence: log-softmax over the whole
  /// vocabulary, summed over the codes and, with beam_options::score_eos, </s>. Each item of the history is left out in
  /// turn, all in one batch; drops of several items don't add up. Only the last 20 positions of the history count,
  /// and stay the same ones when one of them is left out. Takes about as long as 20 requests. Throws error if there are
  /// more than max_beams items, and if one isn't in the catalog. Sessions are those of recommend().
  ///
  /// With limits, the positions are computed in batches of four, the newest first. When the deadline passes, or a stop
  /// is requested, the explanations contain the reasons so far and are not `complete`.
  [[nodiscard]] std::vector<explanation> explain(std::span<item_id const> history, std::span<item_id const> items,
                                                 request_limits const& limits = {}) const;
  /// The beams of a request's search after each step, to show how its items were found: step l has beams of l + 1
  /// codes, and the last step those of whole sequences, with the scores of the lists by modality. A search that ends
  /// early has fewer steps. Quotas have no effect. Sessions and errors are those of recommend().
  [[nodiscard]] search_trace trace(std::span<item_id const> history, recommend_options const& options = {}) const;

 private:
  recommender_session<B, T>& session_of_thread() const;

  using state = recommender_detail::recommender_state<B, T>;

  std::shared_ptr<state const> state_;
};

// ---- definitions: outside the class, so that the compiled library's are used
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
    if (with.options.catalog.packed && one->is_mapped()) continue;  // checked when it was packed; reading it takes long
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
                                            .options = std::move(options),
                                            .catalog = nullptr});
  search::validate(made->options.search);
  expects(!made->tables.empty(), "recommender: no token table");
  expects(made->model.config().vocabulary >= made->tasks.vocab.size(), "recommender: the model knows ",
          made->model.config().vocabulary, " tokens, but the vocabulary has ", made->tasks.vocab.size());
  expects(made->history_tokens().size() == made->tables.size(), "recommender: histories in ",
          made->history_tokens().size(), " modalities, but the catalog has ", made->tables.size());
  if (auto const& packed = made->options.catalog.packed)
    expects(packed->has(made->tables) && packed->vocabulary == search::fingerprint_of(made->tasks.vocab),
            "recommender: the packed catalog has other tables, or is of another vocabulary");
  for (std::size_t m = 0; m < made->tables.size(); ++m) recommender_detail::check_table(*made, language::modality(m));
  if (auto const& calibration = made->options.calibration) {
    auto const other = rank::difference(calibration->fitted_with, list_conditions_of(made->options, made->tables));
    expects(other.empty(), "recommender: options.calibration was ", other);
  }
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
recommendation recommender<B, T>::recommend_new(std::span<item_id const> history,
                                                recommend_options const& options) const {
  return session_of_thread().recommend_new(history, options);
}

template <Backend B, Real T>
std::vector<explanation> recommender<B, T>::explain(std::span<item_id const> history, std::span<item_id const> items,
                                                    request_limits const& limits) const {
  return session_of_thread().explain(history, items, limits);
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
