#pragma once
// What a session consists of: the state of its recommender, the requests that are searched together with their rules,
// and a search for each group of modalities.
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "mql4grec/rank/from_beams.hpp"
#include "mql4grec/recommender/options.hpp"
#include "mql4grec/recommender/request.hpp"
#include "mql4grec/search/beam_search.hpp"
#include "mql4grec/search/catalog_filter.hpp"
#include "mql4grec/seq2seq/decoding.hpp"
#include "mql4grec/tasks/model_tasks.hpp"

namespace mql4grec {

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

/// A request with these options, whose history and rules must be kept.
inline pending_request pending_of(std::span<item_id const> history, recommend_options const& options,
                                  std::size_t number = 0) {
  return {.history = history,
          .k = options.k,
          .filter = &options.filter,
          .number = number,
          .quotas = options.quotas,
          .exclude_seen = options.exclude_seen,
          .scores = options.scores};
}

/// The rules of a request besides k, prepared for a version, and what its searches have found.
struct request_rules {
  /// Quotas that are exhausted, by number.
  using exhausted = std::vector<bool>;

  std::optional<search::catalog_choice> wanted = {};    // the filter, if there is one
  std::vector<index_t> sets = {}, most = {};            // of each quota
  search::item_filter filter = {};                      // of a search without the sets of exhausted quotas
  std::optional<search::catalog_choice> searched = {};  // that filter
  bool late = false;                                    // it wasn't wanted any more before they were prepared
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
  std::vector<node_t> roots = {};          // of each query
  search::filtered_trie filtered = {};     // what filters leave
  search::beams found = {};                // of each query, once it has been searched
  std::vector<search::beams> early = {};   // of each request that ended early: the best so far of its queries
  std::vector<rank::ranking> before = {};  // by kinds, for one request that is searched twice: the first answer
  search::search_status status = {};       // of the last search

  /// Forgets the queries and results of the last micro-batch. `next` is the version that is searched from here on.
  void begin(search::catalog_version const& next) {
    version = &next;
    queries.clear();
    roots.clear();
    filtered.clear();
    found.clear();
    early.clear();
    before.clear();
    status = {};
  }
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
  /// The ranking of request r in modality kinds[m]; empty if it has not been searched. If it is searched twice, the
  /// first one remains until the second one has found something.
  template <class Wanted>
  rank::ranking ranking_of(std::size_t r, std::size_t m, Wanted const& wanted) const {
    if (ended_early(r)) {
      auto list = rank::ranking_of(early[r], static_cast<index_t>(m), *this, wanted);
      return list.size() == 0 && m < before.size() ? before[m] : list;
    }
    auto const query = static_cast<index_t>(r * kinds.size() + m);
    return query < found.queries() ? rank::ranking_of(found, query, *this, wanted) : rank::ranking();
  }
};

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

}  // namespace mql4grec
