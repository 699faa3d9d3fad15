#pragma once
// What a request asks a recommender for, and what it is answered with.
#include <algorithm>
#include <chrono>
#include <functional>
#include <optional>
#include <span>
#include <stop_token>
#include <vector>

#include "mql4grec/language/vocabulary.hpp"
#include "mql4grec/rank/ranking.hpp"
#include "mql4grec/search/constraint.hpp"

namespace mql4grec {

/// The scores that a request is ranked by.
enum class score_kind {
  raw,  ///< those of recommender_options::search; calibrations are fitted to them
  /// log p over the children in the trie, summed over the codes: in each modality the probabilities of all items that
  /// the filter allows add up to 1. (normalization::children, with a length penalty of 0.)
  renormalized
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

/// What ends a call before it has finished.
struct request_limits {
  /// The time from the beginning of the call after which it ends with what there is so far; none: it runs to its end.
  std::optional<std::chrono::nanoseconds> deadline = {};
  std::stop_token stop = {};  ///< a request to stop ends the call in the same way
};

/// One of several requests that are answered together.
struct recommend_request {
  std::span<item_id const> history;  ///< oldest first
  recommend_options options = {};    ///< see recommend_options
};

/// The time that the stages of a request took, or those of the micro-batch that it was part of. Of modalities that are
/// searched at the same time the longest counts.
struct stage_times {
  std::chrono::nanoseconds encode{0};  ///< the encoder; on a device without a deadline only the upload of the queries
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
  /// complete answers with the search that it was fitted with: with raw scores, and with as many beams, so not if the
  /// search for k items needs more. Not among new items, to which no calibration was fitted.
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
  item_id item;  ///< the item
  double log_p;  ///< its log p; −∞ for an item without a sequence; not a number if time was too short
  std::vector<reason> reasons = {};  ///< of the last positions of the history that count, oldest first
  /// Whether all these positions are there. If not, a limit ended the call, and the oldest ones are missing.
  bool complete = true;
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
  /// Receives the best items so far of request i, if it is set. Only in sessions with one thread: a call in a session
  /// with several throws error.
  std::function<void(std::size_t i, recommendation)> so_far = {};
  /// Receives the beams of request i in a modality after each step, if it is set. Called on the thread that searches
  /// the modality.
  std::function<void(std::size_t i, language::modality kind, std::vector<traced_beam>)> step = {};

  /// Whether any of them is set.
  [[nodiscard]] bool follows() const { return wanted || so_far || step; }
};

namespace recommender_detail {

/// Whether a call may end early. Limits: recommend_options or request_limits.
template <class Limits>
bool has_limit(Limits const& limits) {
  return limits.deadline.has_value() || limits.stop.stop_possible();
}
/// When a call that begins now ends. A deadline beyond the clock's range is none.
template <class Limits>
std::chrono::steady_clock::time_point end_of(Limits const& limits) {
  auto const now = std::chrono::steady_clock::now();
  constexpr auto latest = std::chrono::steady_clock::time_point::max();
  return limits.deadline && *limits.deadline < latest - now ? now + *limits.deadline : latest;
}
/// Follows one request that begins now until a limit, which must outlive the result, ends it.
template <class Limits>
request_watch watch_of(Limits const& limits) {
  if (!has_limit(limits)) return {};
  return {.wanted = [&stop = limits.stop, end = end_of(limits)](std::size_t) {
    return std::chrono::steady_clock::now() < end && !stop.stop_requested();
  }};
}

}  // namespace recommender_detail

}  // namespace mql4grec
