#pragma once
// The queries of a beam search, and what may be seen of it between two of its steps.
#include <chrono>
#include <cstdint>
#include <functional>
#include <span>

#include "mql4grec/search/beams.hpp"
#include "mql4grec/search/trie.hpp"
#include "mql4grec/tasks/batch.hpp"

namespace mql4grec::search {

/// The queries of one search: a micro-batch, and the part of the trie that each query may reach.
struct search_queries {
  mql4grec::tasks::batch const& batch;  ///< must outlive the search
  tasks::micro_batch part;              ///< the queries of the batch
  /// (queries of the micro-batch, nodes): a byte of 0 excludes a node; an empty view allows all. A stride of 0 gives
  /// all queries the same bytes. See mark_allowed().
  host_matrix_view<std::uint8_t const> allowed = {};
  /// (queries of the micro-batch): the root of the trie that each query starts from; empty: the first one.
  std::span<node_t const> roots = {};
  /// Nodes that exist in this search only, below some of the roots; see filtered_trie.
  trie_nodes<host_space> added = {};

  /// The number of queries.
  index_t size() const { return part.last - part.first; }
};

/// A search between two of its steps.
class search_progress {
 public:
  /// The number of codes of the beams: 0 until the first step, then one more after each, up to the trie's levels.
  [[nodiscard]] virtual index_t level() const = 0;
  /// Appends the best items so far of a query: the leaves below its best beam, in the order of the trie, then those
  /// below the next, and so on, at most options.beams leaves, and only allowed ones. Their score is that of the beam,
  /// Σ log p / codes^penalty, so leaves below one beam have equal scores. At level 0 there are none.
  virtual void append_to(beams& out, index_t query) const = 0;
  /// Appends the beams of a query, best first: for each of them one allowed leaf below it, whose first level() codes
  /// are those of the beam, with the beam's score. At level 0 there are none.
  virtual void append_beams(beams& out, index_t query) const = 0;

 protected:
  ~search_progress() = default;
};

/// Called on the thread of a search, before each layer of the encoder and before each step. Returns whether the search
/// continues.
using search_watch = std::function<bool(search_progress const&)>;

/// How a search ended.
struct search_status {
  bool complete = true;  ///< false: its watch ended it, and its results are those of search_progress::append_to
  /// The time of the encoder. Where a backend captures work and the search isn't watched, the time to upload the
  /// queries: the encoder is captured with the steps.
  std::chrono::nanoseconds encode{0};
  std::chrono::nanoseconds decode{0};  ///< the time of the steps, and of what is captured with them
};

}  // namespace mql4grec::search
