#pragma once
// Evaluation over the whole catalog. For each user, the model is queried with the history in every modality; the lists
// are fused, and the place of the held-out item is measured. Metrics on sequences and on items differ where several
// items share a sequence. With a split by time, targets that nobody has interacted with before are measured apart.
//
// Several ranks share the searches out, in whole micro-batches of users. Every rank gets all lists and measures them,
// so that the result has the same bits for any number of ranks:
//
//     users         0 … 23    24 … 47    48 … 59              rank 0, 1, 2: the lists of 0 … 59, in order
//     searched by   rank 0    rank 1     rank 2    ─ gather ►
#include <algorithm>
#include <chrono>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mql4grec/catalog/split.hpp"
#include "mql4grec/core/checksum.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/metrics/ranking_metrics.hpp"
#include "mql4grec/metrics/report.hpp"
#include "mql4grec/metrics/save.hpp"
#include "mql4grec/pipeline/dataset.hpp"
#include "mql4grec/pipeline/fill_in.hpp"
#include "mql4grec/pipeline/shared_search.hpp"
#include "mql4grec/rank/calibration.hpp"
#include "mql4grec/rank/from_beams.hpp"
#include "mql4grec/rank/fusion.hpp"
#include "mql4grec/search/beam_search.hpp"
#include "mql4grec/search/prefix_drafter.hpp"
#include "mql4grec/seq2seq/decoding.hpp"
#include "mql4grec/tasks/dataset.hpp"
#include "mql4grec/tasks/model_tasks.hpp"
#include "mql4grec/train/run.hpp"

namespace mql4grec::pipeline {

/// Options of an evaluation.
struct evaluation_options {
  catalog::split part = catalog::split::test;           ///< valid or test; of leave-one-out or of the split by time
  std::vector<index_t> at = {1, 5, 10};                 ///< the cut-offs k of HR@k and NDCG@k
  search::beam_options search = {};                     ///< options of the beam search
  index_t users = std::numeric_limits<index_t>::max();  ///< only the first so many users are evaluated
  /// The model reads at most so many of the most recent items, and not more than catalog::default_max_history.
  index_t max_history = std::numeric_limits<index_t>::max();
  rank::any_fusion fusion = {};  ///< the rule that combines the lists of the modalities
  /// With a split by time: also draft lists of new items alone. They are measured over the users with a cold target.
  std::optional<search::draft_options> draft = {};
  /// Histories are written with the tokens of fill_in_language(). The lists contain items under their own tokens only.
  bool fill_in = false;
  /// Also collect the outcomes of so many items of each fused list; see evaluation::outcomes.
  index_t outcomes = 0;
  /// Called first with 0, then while users are searched. A user is done when all modalities are. With several ranks,
  /// each estimates the users of all by the share of its own that is done.
  std::function<void(index_t done, index_t users)> progress = [](index_t, index_t) {};
  /// Share the users out. All call with the same model, data and options, and all get the result.
  train::host_communicator ranks = {};
};

/// The lists of one user.
struct user_result {
  user_id user;                            ///< the user
  item_id target;                          ///< the held-out item
  std::vector<rank::ranking> by_modality;  ///< the list of each modality
  rank::ranking ensemble;                  ///< the fused list
};

/// The result of an evaluation.
struct evaluation {
  metrics::report result;                    ///< the metrics
  std::vector<metrics::saved_search> saved;  ///< the search results of each modality in the released code's format
  std::vector<user_result> examples;         ///< the lists of the first 12 users
  /// Of each evaluated user, in order: the place of the target item in the fused list, for comparisons by user.
  std::vector<metrics::placement> places;
  /// Of the first items of each fused list, with evaluation_options::outcomes: the fused score, and whether the item is
  /// the target. For rank::fit_calibration.
  std::vector<rank::outcome> outcomes;
  /// What the fused scores depend on. For rank::fit_calibration.
  rank::list_conditions conditions = {};
  /// The same items with the probability that the model gives them: the mean, over the modalities in which an item has
  /// a sequence, of exp(score · length^penalty), where the score in its list is, and of 0 if it isn't there.
  std::vector<rank::outcome> claimed;
};

namespace detail {

/// The users of an evaluation and what they are queried with.
struct evaluated_data {
  tasks::model_tasks const& model;
  tasks::dataset const& data;
  evaluation_options const& options;
  std::vector<user_id> users;
  row_range own;                                          // those that this rank searches
  std::span<language::token_table const> history_tokens;  // with generated ones, or those of `data`
};

/// The results of all users in one modality.
struct modality_search {
  language::token_table const& table;
  search::item_trie trie;
  search::beams found;
  search::beams drafted = {};  // new items alone, among those that share prefixes with `found`
};

/// Whether an item is new: with a split by time, nobody has interacted with it before.
class new_items {
 public:
  explicit new_items(catalog::interactions const& data)
      : by_time_(data.time.has_value()), known_(by_time_ ? catalog::interacted_items(data) : std::vector<item_id>()) {}
  bool operator()(item_id item) const { return by_time_ && !std::ranges::binary_search(known_, item); }

 private:
  bool by_time_;
  std::vector<item_id> known_;  // ascending
};

/// Searches the new items that share prefixes with the beams of `from`.
template <class B, class T, class Progress>
search::beams search_drafted(B& backend, seq2seq::frozen_t5<B, T> const& model, tasks::batch const& queries,
                             modality_search const& from, evaluated_data const& data, Progress&& progress) {
  search::prefix_drafter const drafter(from.trie, new_items(data.data.interactions));
  auto const allow = [&](index_t query, std::span<std::uint8_t> nodes) {
    drafter.draft(from.found.leaves_of(query), *data.options.draft, nodes);
  };
  return search::beam_search(backend, model, from.trie, queries,
                             {.options = data.options.search, .progress = progress, .allow = allow});
}

/// Appends a user's query for the next item in a modality.
void write_query(evaluated_data const& from, language::modality kind, user_id user, tasks::batch& queries);

/// Throws error on every rank if they don't evaluate the same model on the same data with the same options.
/// `parameters`: a checksum of the model's.
void check_ranks(evaluated_data const& from, train::run_ranks const& ranks, std::uint64_t parameters);

/// Searches a modality for the histories of all users, with the other ranks. Finds nothing if the dataset or the model
/// lacks the modality.
template <class B, class T, class Progress>
modality_search search_modality(B& backend, seq2seq::frozen_t5<B, T> const& model, evaluated_data const& from,
                                language::modality kind, Progress&& progress) {
  auto const& table = from.data.table(kind);
  modality_search out{.table = table, .trie = search::item_trie(table), .found = {}};
  bool const drafts = from.options.draft && from.data.interactions.time;
  if (out.trie.leaves() == 0) {
    out.found.offsets.resize(from.users.size() + 1, 0);
    out.drafted = out.found;
    return out;
  }
  auto const& task = from.model.tasks.query(kind);
  expects(task.to() == kind, "the query of ", language::name_of(kind), " predicts ", language::name_of(task.to()));
  tasks::batch queries;
  for (auto const user : std::span(from.users).subspan(to_size(from.own.first), to_size(from.own.count)))
    write_query(from, kind, user, queries);
  auto const share = [&](index_t before) {  // drafting takes as long as the search before it
    return [&progress, drafts, before](index_t done) { progress(drafts ? (before + done) / 2 : done); };
  };
  out.found =
      search::beam_search(backend, model, out.trie, queries, {.options = from.options.search, .progress = share(0)});
  if (drafts) out.drafted = search_drafted(backend, model, queries, out, from, share(queries.size()));
  out.found = gather(from.options.ranks, std::move(out.found));
  if (drafts) out.drafted = gather(from.options.ranks, std::move(out.drafted));
  return out;
}

/// The metrics of one list per user by both criteria.
class list_evaluator {
 public:
  list_evaluator(language::token_table const& table, std::vector<index_t> const& at)
      : table_(&table), sequence_(at), item_(at) {}

  /// Adds one user's list.
  void add(rank::ranking const& list, item_id target);
  /// The means; empty without users.
  metrics::list_metrics mean() const;

 private:
  language::token_table const* table_;
  metrics::metric_accumulator sequence_, item_;
};

/// The metrics of all lists of some users: one per modality, and the fused one.
class user_evaluator {
 public:
  user_evaluator(std::vector<modality_search> const& searches, std::vector<index_t> const& at);

  /// Adds one user.
  void add(std::vector<rank::ranking> const& lists, rank::ranking const& fused, item_id target);
  /// The means. A modality without sequences has none.
  metrics::user_group mean(std::string name) const;

 private:
  std::vector<modality_search> const* searches_;
  std::vector<list_evaluator> by_modality_;
  list_evaluator ensemble_;
  index_t users_ = 0;
};

/// The place of the target's sequence in a list of items, where every sequence counts once.
metrics::placement sequence_place(rank::ranking const& list, item_id target, language::token_table const& table);

/// Ranks and fuses what was found for each user, and measures the lists.
evaluation evaluate_lists(evaluated_data const& from, std::vector<modality_search> const& searches);

}  // namespace detail

/// Evaluates a model on a dataset: one search per user and modality of the dataset. The model must not have been
/// trained on more than the split of data.interactions allows. Throws error if `tasks` has no query for a modality in
/// which items have sequences, for options out of range, and on all ranks if their arguments differ.
template <class B, class T>
[[nodiscard]] evaluation evaluate(B& backend, seq2seq::frozen_t5<B, T> const& model, tasks::model_tasks const& tasks,
                                  tasks::dataset const& data, evaluation_options const& options = {}) {
  detail::evaluated_data from{.model = tasks,
                              .data = data,
                              .options = options,
                              .users = catalog::evaluated_users(data.interactions, options.part),
                              .own = {},
                              .history_tokens = data.tokens};
  from.users.resize(std::min(from.users.size(), to_size(std::max<index_t>(0, options.users))));
  auto const n = std::ssize(from.users), modalities = std::ssize(data.tokens);
  auto const& ranks = options.ranks;
  from.own = detail::own_queries(ranks, n, options.search);
  if (ranks.world_size() > 1) {
    host_copy<T, typename B::memory_space> const parameters(backend, model.model().parameters());
    detail::check_ranks(from, train::ranks_of(backend, ranks), checksum(std::as_bytes(as_span(parameters.view_all()))));
  }
  auto const started = std::chrono::steady_clock::now();
  if (options.fill_in) detail::expect_alignment(tasks);  // before anything is reported
  options.progress(0, n);
  std::vector<language::token_table> filled;
  if (options.fill_in) {
    filled = fill_in_language(backend, model, tasks, data.tokens,
                              {.items = catalog::interacted_items(data.interactions), .progress = {}, .ranks = ranks});
    from.history_tokens = filled;
  }
  std::vector<detail::modality_search> searches;
  for (index_t m = 0; m < modalities; ++m)
    searches.push_back(detail::search_modality(backend, model, from, language::modality(m), [&](index_t done) {
      index_t const all_done = from.own.count > 0 ? done * n / from.own.count : n;
      options.progress((m * n + all_done) / modalities, n);
    }));
  auto out = detail::evaluate_lists(from, searches);
  out.result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  if (out.result.seconds > 0) out.result.users_per_second = static_cast<double>(n) / out.result.seconds;
  return out;
}

}  // namespace mql4grec::pipeline

#if !MQL4GREC_COMPILED
#include "mql4grec/pipeline/evaluate.inl.hpp"
#endif
