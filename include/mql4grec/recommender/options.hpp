#pragma once
// The options of a recommender, of loading one, and of its sessions.
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "mql4grec/backend/cpu/cpu.hpp"
#include "mql4grec/language/token_table.hpp"
#include "mql4grec/rank/calibration.hpp"
#include "mql4grec/rank/fusion.hpp"
#include "mql4grec/search/beam_options.hpp"
#include "mql4grec/search/live_catalog.hpp"

namespace mql4grec {

/// Options of a recommender.
struct recommender_options {
  search::beam_options search = {};  ///< of every request; requests for more items than beams use more beams
  rank::any_fusion fusion = {};      ///< the rule that combines the lists of the modalities
  /// Maps the fused scores to probabilities; see rank::read_calibration. It is refused unless it was fitted with what
  /// list_conditions_of returns for these options.
  std::optional<rank::score_calibration> calibration = {};
  /// The tokens that histories are written with, if they aren't those of the catalog, for example the result of
  /// pipeline::fill_in_language(): one table per modality.
  std::vector<language::token_table> history_tokens = {};
  /// The log and the merges of the catalog's changes, and the packed catalog that the tables are from, if they are; its
  /// `vocab` and `history_tokens` are set by the recommender. See recommender::catalog.
  search::live_catalog_options catalog = {};
  /// The catalog of another recommender, with all its changes: of a model that replaces another one for the same items.
  /// It must have begun with the same tables. Without one, the recommender has a catalog of its own.
  std::shared_ptr<search::live_catalog> shared_catalog = nullptr;
};

/// What the scores of a recommender's lists depend on, for its calibration. `tables`: its catalog.
[[nodiscard]] inline rank::list_conditions list_conditions_of(recommender_options const& options,
                                                              std::span<language::token_table const> tables) {
  rank::list_conditions used{.search = options.search,
                             .fusion = options.fusion.name(),
                             .modalities = {},
                             .fill_in = !options.history_tokens.empty()};
  for (auto const& table : tables)
    if (!table.present().empty()) used.modalities.push_back(language::name_of(table.kind()));
  return used;
}

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

}  // namespace mql4grec
