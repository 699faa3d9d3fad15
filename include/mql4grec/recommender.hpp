#pragma once
// The façade that a service embeds. A recommender is immutable: load it once and call recommend() from any number of
// threads. To replace it while requests run, use a recommender_slot. The first request of a thread opens a backend and
// allocates scratch; later ones reuse both.
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>

#include "mql4grec/backend/cpu/cpu.hpp"
#include "mql4grec/core/unique_number.hpp"
#include "mql4grec/language/vocabulary.hpp"
#include "mql4grec/rank/from_beams.hpp"
#include "mql4grec/rank/fusion.hpp"
#include "mql4grec/search/beam_search.hpp"
#include "mql4grec/seq2seq/decoding.hpp"
#include "mql4grec/tasks/mixture.hpp"

namespace mql4grec {

/// Options of a recommender.
struct recommender_options {
  beam_options search = {};  ///< of every request; requests for more items than beams use more beams
};

/// A model and a catalog that answer requests. B: the backend of the parameters; T: their scalar; Fusion: the rule that
/// combines the lists of the modalities. Const members are thread-safe.
template <Backend B = cpu::backend, Real T = float, FusionPolicy Fusion = average_plus_one>
class recommender {
  static_assert(ReopenableBackend<B>,
                "every thread that asks opens a backend of its own: B needs worker_options(), and a constructor that "
                "takes them; see backend/contract/concepts.hpp");

 public:
  /// Requests use the device and the precision that the model was frozen with. `tables`: one per modality, all with the
  /// same number of items. Throws error if model, vocabulary, tasks and tables don't fit together.
  recommender(frozen_t5<B, T> model, vocabulary vocab, mixture tasks, std::vector<token_table> tables,
              recommender_options options = {}, Fusion fusion = {});

  /// Freezes the model on `backend`, then as above.
  recommender(B& backend, t5<B, T> model, vocabulary vocab, mixture tasks, std::vector<token_table> tables,
              recommender_options options = {}, Fusion fusion = {});

#if MQL4GREC_HAS_JSON
  /// Loads a model directory and a dataset directory, on a backend opened with the options `how`. Throws file_error if
  /// a file is missing or damaged, and error if the two don't fit together.
  static recommender load(std::filesystem::path const& model, std::filesystem::path const& catalog,
                          recommender_options options = {}, typename B::options const& how = {});
#endif

  /// The number of items; items are numbered from 0.
  index_t items() const { return tables_.front().items(); }

  /// The k items that are most likely next, best first. Returns fewer only if fewer are allowed and have a token
  /// sequence. If k exceeds the number of beams, the search uses k beams; that takes more time and may rank the first
  /// items differently than fewer beams do. Only the last items of the history count (20 by default); unknown items are
  /// skipped; an empty history gives the model's prior. The filter acts inside the search. Uses no locks: every thread
  /// has its own backend and scratch. Throws error unless 0 ≤ k ≤ max_beams.
  ranking recommend(std::span<item_id const> history, index_t k, item_filter const& filter = {}) const;

 private:
  void check(token_table const& table, next_item const& question) const;

  /// What a thread keeps between requests: a backend and the searchers of the recommender that it served last.
  struct searchers_of_thread {
    std::optional<B> worker;
    recommender const* place = nullptr;
    std::uint64_t number = 0;
    std::vector<beam_searcher<B, frozen_t5<B, T>>> searchers;

    void serve(recommender const& r);
  };

  beams search_one(beam_searcher<B, frozen_t5<B, T>>& searcher, std::size_t m, std::span<item_id const> history,
                   std::optional<item_choice> const& wanted, beam_options const& search) const;

  frozen_t5<B, T> model_;
  vocabulary vocab_;
  mixture tasks_;
  std::vector<token_table> tables_;
  std::vector<item_trie> tries_;
  index_t most_sequences_ = 0;  // the largest number of sequences of a modality
  recommender_options options_;
  Fusion fusion_;
  std::uint64_t number_ = unique_number();  // differs from that of a later recommender at the same address
};

// ---- definitions: outside the class, so that the compiled library's are used
template <Backend B, Real T, FusionPolicy Fusion>
recommender<B, T, Fusion>::recommender(frozen_t5<B, T> model, vocabulary vocab, mixture tasks,
                                       std::vector<token_table> tables, recommender_options options, Fusion fusion)
    : model_(std::move(model)),
      vocab_(std::move(vocab)),
      tasks_(std::move(tasks)),
      tables_(std::move(tables)),
      options_(options),
      fusion_(fusion) {
  validate(options_.search);
  expects(!tables_.empty(), "recommender: no token table");
  expects(model_.config().vocabulary >= vocab_.size(), "recommender: the model knows ", model_.config().vocabulary,
          " tokens, but the vocabulary has ", vocab_.size());
  for (std::size_t m = 0; m < tables_.size(); ++m) {
    check(tables_[m], tasks_.query(modality(m)));
    tries_.emplace_back(tables_[m]);
    most_sequences_ = std::max(most_sequences_, tries_.back().leaves());
  }
}

template <Backend B, Real T, FusionPolicy Fusion>
recommender<B, T, Fusion>::recommender(B& backend, t5<B, T> model, vocabulary vocab, mixture tasks,
                                       std::vector<token_table> tables, recommender_options options, Fusion fusion)
    : recommender(frozen_t5<B, T>(backend, std::move(model)), std::move(vocab), std::move(tasks), std::move(tables),
                  options, std::move(fusion)) {}

template <Backend B, Real T, FusionPolicy Fusion>
ranking recommender<B, T, Fusion>::recommend(std::span<item_id const> history, index_t k,
                                             item_filter const& filter) const {
  expects(k >= 0 && k <= max_beams, "recommend: k is ", k, ", expected 0 to ", max_beams);
  thread_local searchers_of_thread mine;
  mine.serve(*this);
  beam_options search = options_.search;
  search.beams = std::max(search.beams, std::min(k, most_sequences_));
  validate(search);
  std::optional<item_choice> wanted;  // empty: every item
  if (!filter.keeps_all()) wanted.emplace(filter);
  std::vector<ranking> lists;
  for (std::size_t m = 0; m < tables_.size(); ++m)
    lists.push_back(ranking_of(search_one(mine.searchers[m], m, history, wanted, search), 0, tries_[m],
                               [&](item_id item) { return !wanted || (*wanted)(item); }));
  ranking best = fusion_.fuse(lists);
  if (best.size() > k) {
    best.items.resize(to_size(k));
    best.scores.resize(to_size(k));
  }
  return best;
}

template <Backend B, Real T, FusionPolicy Fusion>
void recommender<B, T, Fusion>::check(token_table const& table, next_item const& question) const {
  expects(table.items() == items(), "recommender: tables of ", items(), " and of ", table.items(), " items");
  expects(table.kind() == question.from, "recommender: a table of modality ", index(table.kind()),
          " for a task that reads modality ", index(question.from));
  for (auto const token : table.tokens())
    expects(index(token) >= 0 && index(token) < vocab_.size(), "recommender: token ", index(token),
            " in a table, but the vocabulary has ", vocab_.size());
}

template <Backend B, Real T, FusionPolicy Fusion>
void recommender<B, T, Fusion>::searchers_of_thread::serve(recommender const& r) {
  if (place == &r && number == r.number_) return;
  place = nullptr;  // until all searchers exist
  searchers.clear();
  if (auto const& how = r.model_.worker_options(); !worker || worker->worker_options() != how) worker.emplace(how);
  for (auto const& trie : r.tries_) searchers.emplace_back(*worker, r.model_, trie);
  place = &r, number = r.number_;
}

template <Backend B, Real T, FusionPolicy Fusion>
beams recommender<B, T, Fusion>::search_one(beam_searcher<B, frozen_t5<B, T>>& searcher, std::size_t m,
                                            std::span<item_id const> history, std::optional<item_choice> const& wanted,
                                            beam_options const& search) const {
  beams found;
  if (tries_[m].leaves() == 0) {  // the model or the dataset lacks the modality
    found.offsets.push_back(0);
    return found;
  }
  batch query;
  tasks_.query(modality(m)).write_query(history, tables_[m], vocab_, query);
  std::vector<std::uint8_t> nodes;
  view<std::uint8_t const, host_space, 2> allowed;
  if (wanted) {
    nodes.resize(to_size(tries_[m].nodes()));
    mark_allowed(tries_[m], *wanted, nodes);
    allowed = {nodes.data(), 1, tries_[m].nodes()};
  }
  searcher.search({.batch = query, .part = {0, 1}, .allowed = allowed}, search, found);
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
  std::shared_ptr<R const> get() const {
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
extern template class mql4grec::recommender<>;
#elif MQL4GREC_HAS_JSON
#include "mql4grec/recommender_load.hpp"
#endif
