#pragma once
// Beam search over the trie of items. All items have the same number of tokens, so all beams of a micro-batch advance
// together: at first one row per query, then up to `beams` rows per query. Each row refers to the rows of its ancestors
// in the key/value cache; the cache is never reordered. A search may be watched: then it can end between two levels,
// with the best items so far.
#include <atomic>
#include <chrono>
#include <cmath>
#include <compare>
#include <functional>
#include <limits>
#include <numeric>
#include <optional>
#include <span>
#include <tuple>
#include <vector>

#include "mql4grec/backend/contract/graph_cache.hpp"
#include "mql4grec/backend/contract/transfer.hpp"
#include "mql4grec/search/beams.hpp"
#include "mql4grec/search/constraint.hpp"
#include "mql4grec/search/device_trie.hpp"
#include "mql4grec/seq2seq/decoder_rows.hpp"
#include "mql4grec/tasks/batch.hpp"

namespace mql4grec::search {

/// The set of tokens over which the probabilities of a step are normalised.
enum class normalization {
  vocabulary,  ///< the whole vocabulary: the scores of transformers' generate() with prefix_allowed_tokens_fn
  children     ///< the allowed children of the beam's node: the scores form a distribution over items
};

/// The largest number of beams per query.
inline constexpr index_t max_beams = 4096;

/// Options of a beam search. The defaults give the scores of transformers' generate().
struct beam_options {
  index_t beams = 20;         ///< beams per query, 1 … 4096; also the maximum number of results per query
  double length_penalty = 1;  ///< scores are divided by length^penalty; the length includes </s> when it is scored
  normalization normalize = normalization::vocabulary;  ///< see normalization
  /// Whether the score includes the log-probability of the forced </s> after the last code. With
  /// normalization::children, </s> has probability 1 and adds 0.
  bool score_eos = true;
  index_t block_rows = 480;  ///< queries · beams that a worker computes at once

  bool operator==(beam_options const&) const = default;
};

/// Throws error for options out of range.
inline void validate(beam_options const& o) {
  expects(o.beams >= 1 && o.beams <= max_beams, "beam search: ", o.beams, " beams, expected 1 to ", max_beams);
  expects(std::isfinite(o.length_penalty), "beam search: the length penalty isn't finite");
  expects(o.block_rows >= 1, "beam search: blocks of ", o.block_rows, " rows, expected at least 1");
}

/// The operations that a beam search requires from a backend to select the next beams.
template <class B, class T>
concept BeamOps = Backend<B> &&
    requires(B& b, beam_candidates<typename B::memory_space, T> in, in_matrix<B, T> logits, out_vector<B, T> v,
             beam_choice<typename B::memory_space, T> out, beam_branches<typename B::memory_space, T> branches,
             beam_rows<typename B::memory_space, T> rows) {
  log_sum_exp<T>(b, logits, v);
  select_beams<T>(b, in, v, out);
  start_beams<T>(b, token_t{}, in_vector<B, node_t>(), rows);
  { branch_beams<T>(b, branches, rows) } -> std::same_as<index_t>;
  add_log_probability<T>(b, logits, v, token_t{}, v);
};

/// The requirements of a beam search on a model: encode the queries, then decode step by step. See
/// seq2seq/decoding.hpp.
template <class M, class B>
concept Decodable = requires(M const& model, B& worker, tasks::batch const& queries, tasks::micro_batch part, index_t n,
                             seq2seq::decoder_rows<B> rows, out_matrix<B, typename M::scalar> logits,
                             std::function<bool()> const& go_on) {
  { make_decoding(worker, model).begin(queries, part, seq2seq::decoder_capacity{n, n}, go_on) } -> std::same_as<bool>;
  make_decoding(worker, model).step(rows, n, logits);
  { make_decoding(worker, model).shape() } -> std::three_way_comparable;  // determines the scratch memory of the steps
  { model.config().vocabulary } -> std::convertible_to<index_t>;
};

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
  std::chrono::nanoseconds encode{0};  ///< the time of the encoder; of a device that isn't watched: to start it
  std::chrono::nanoseconds decode{0};  ///< the time of the steps
};

namespace detail {

/// A search before its first step.
class no_progress final : public search_progress {
 public:
  index_t level() const override { return 0; }
  void append_to(beams& out, index_t) const override { out.offsets.push_back(out.offsets.back()); }
  void append_beams(beams& out, index_t query) const override { append_to(out, query); }
};

/// The type of a model's decoding.
template <Backend B, class Model>
using decoding_of = decltype(make_decoding(std::declval<B&>(), std::declval<Model const&>()));

/// The operands that all searches of a beam_searcher share.
template <Backend B, class Model>
struct search_context {
  B& worker;
  Model const& model;
  device_trie<B> const& trie;
  decoding_of<B, Model>& decoding;  // of the queries that are being searched
  std::vector<index_t>& order;      // memory for the rows of one query
};

/// The memory of a search besides the decoding's, in the worker's scratch.
template <Backend B, class T>
struct search_memory {
  out_matrix<B, T> logits;       // (queries · beams, V)
  out_vector<B, T> normalisers;  // (queries · beams)
  beam_rows<typename B::memory_space, T> rows[2];
  beam_choice<typename B::memory_space, T> choice;
};

/// Allocates the memory of a search for `queries` queries.
template <Backend B, class Model>
search_memory<B, typename Model::scalar> take_search_memory(search_context<B, Model> const& context, index_t queries,
                                                            index_t beams) {
  using T = typename Model::scalar;
  index_t const rows = queries * beams, places = context.trie.levels() + 1;
  search_memory<B, T> memory;
  memory.logits = take<T>(context.worker, rows, context.model.config().vocabulary);
  memory.normalisers = take<T>(context.worker, rows);
  for (auto& level : memory.rows)
    level = {take<T>(context.worker, rows), take<node_t>(context.worker, rows),
             take<std::int32_t>(context.worker, rows, places), take<token_t>(context.worker, rows),
             take<index_t>(context.worker, queries + 1)};
  memory.choice = {take<T>(context.worker, queries, beams), take<std::int32_t>(context.worker, queries, beams),
                   take<node_t>(context.worker, queries, beams), take<index_t>(context.worker, queries)};
  return memory;
}

/// Copies one byte per query and node to the memory that the worker's kernels read. An empty view stays empty, and rows
/// that are the same are copied once.
template <Backend B>
view<std::uint8_t const, typename B::memory_space, 2> copy_allowed(B& worker,
                                                                   host_matrix_view<std::uint8_t const> allowed) {
  if (allowed.rows() == 0) return {};
  host_vector_view<std::uint8_t const> const bytes =
      allowed.row_block(0, allowed.stride == 0 ? 1 : allowed.rows()).flat();
  return {device_copy(worker, bytes).view_all().data, allowed.rows(), allowed.columns(), allowed.stride};
}

/// Copies nodes to the memory that the worker's kernels read.
template <Backend B>
trie_nodes<typename B::memory_space> copy_nodes(B& worker, trie_nodes<host_space> const& nodes) {
  if (nodes.token.size() == 0) return {};
  return {device_copy(worker, nodes.first_child).view_all(), device_copy(worker, nodes.children_end).view_all(),
          device_copy(worker, nodes.token).view_all()};
}

/// The search for one micro-batch on one worker, after its queries have been encoded; see begin_search(). Its memory is
/// the worker's scratch, so its lifetime must be inside a scratch_scope of the worker.
template <Backend B, class Model>
class micro_batch_search {
  using T = typename Model::scalar;
  using space = typename B::memory_space;

 public:
  /// A position in the worker's scratch.
  using mark = decltype(std::declval<B&>().scratch().here());
  /// The values that a search consists of.
  struct state {
    mark begin;  ///< the scratch's position before the search: it determines the addresses of all memory below
    index_t queries;
    view<std::uint8_t const, space, 2> allowed;         ///< (queries, nodes) or empty
    in_vector<B, node_t> roots;                         ///< (queries) or empty
    host_matrix_view<std::uint8_t const> host_allowed;  ///< the original of `allowed`
    trie_view<space> trie;                              ///< with the nodes that are added for this search
    trie_view<host_space> host_trie;                    ///< the original of `trie`
    search_memory<B, T> memory;
  };
  /// The key under which captured steps are cached: the values that the steps depend on besides the model and the trie.
  /// The last four: the distance between the rows of `allowed`, −1 if there are none; whether there are roots; the
  /// number of added nodes; the step, −1 for all steps.
  using key = std::tuple<mark, index_t, decltype(std::declval<decoding_of<B, Model> const&>().shape()), index_t,
                         normalization, bool, index_t, bool, index_t, index_t>;
  /// The captured steps.
  using step_graphs = graph_cache<B, key, index_t>;

  /// Stores the arguments, which must outlive the object.
  micro_batch_search(search_context<B, Model> const& context, beam_options const& options, state s)
      : worker_(context.worker), context_(context), options_(options), state_(std::move(s)) {}

  /// Runs the search and appends the results to `out`.
  void run(step_graphs& graphs, beams& out) const {
    index_t const count = graphs.run(worker_, key_of(-1), [&] {
      cursor at = start();
      while (at.level < steps()) advance(at);
      return at.rows;
    });
    host_rows const rows(worker_, rows_at(context_.trie.levels()), count);
    for (index_t q = 0; q < state_.queries; ++q) append_leaves(rows, q, out);
  }

  /// The same step by step. Returns whether `watch` let it run to its end.
  bool run(step_graphs& graphs, beams& out, search_watch const& watch) const {
    cursor at{.level = 0, .rows = state_.queries, .first_place = 0};
    while (at.level < steps()) {
      worker_.synchronize();
      progress const so_far(*this, at);
      if (!watch(so_far)) {
        for (index_t q = 0; q < state_.queries; ++q) so_far.append_to(out, q);
        return false;
      }
      auto const before = at;
      at.rows = graphs.run(worker_, key_of(before.level), [&] {
        cursor next = before.level == 0 ? start() : before;
        advance(next);
        return next.rows;
      });
      at.first_place += before.rows;
      ++at.level;
    }
    host_rows const rows(worker_, rows_at(context_.trie.levels()), at.rows);
    for (index_t q = 0; q < state_.queries; ++q) append_leaves(rows, q, out);
    return true;
  }

 private:
  /// The position of a search between two steps.
  struct cursor {
    index_t level;        // the codes of each row
    index_t rows;         // of all queries
    index_t first_place;  // the cache row of the next step's first row
  };

  /// The rows of a level where the host can read them.
  struct host_rows {
    host_rows(B& worker, beam_rows<space, T> const& rows, index_t count)
        : scores(worker, rows.scores.part(0, count)),
          nodes(worker, rows.nodes.part(0, count)),
          offsets(worker, rows.offsets) {}
    host_copy<T, space> scores;
    host_copy<node_t, space> nodes;
    host_copy<index_t, space> offsets;
  };

  /// What a watch sees.
  class progress final : public search_progress {
   public:
    progress(micro_batch_search const& of, cursor at) : of_(of), at_(at) {}
    index_t level() const override { return at_.level; }
    void append_to(beams& out, index_t query) const override {
      if (at_.level == 0) return no_progress().append_to(out, query);
      of_.append_prefixes(rows(), at_.level, query, out);
    }
    void append_beams(beams& out, index_t query) const override {
      if (at_.level == 0) return no_progress().append_to(out, query);
      of_.append_examples(rows(), at_.level, query, out);
    }

   private:
    host_rows const& rows() const {
      if (!rows_) rows_.emplace(of_.worker_, of_.rows_at(at_.level), at_.rows);
      return *rows_;
    }

    micro_batch_search const& of_;
    cursor at_;
    mutable std::optional<host_rows> rows_ = std::nullopt;
  };

  key key_of(index_t step) const {
    return {state_.begin,
            state_.queries,
            context_.decoding.shape(),
            options_.beams,
            options_.normalize,
            options_.score_eos,
            state_.allowed.rows() > 0 ? state_.allowed.stride : -1,
            state_.roots.size() > 0,
            state_.trie.added.token.size(),
            step};
  }

  /// Whether a step scores </s>.
  bool scores_eos() const { return options_.score_eos && options_.normalize == normalization::vocabulary; }
  /// The number of steps: one for each code, and one for </s> if it is scored.
  index_t steps() const { return context_.trie.levels() + (scores_eos() ? 1 : 0); }
  /// The rows that the step at `level` reads. The step writes the rows of level + 1.
  beam_rows<space, T> const& rows_at(index_t level) const { return state_.memory.rows[to_size(level % 2)]; }

  /// Writes the rows of the first step.
  cursor start() const {
    start_beams<T>(worker_, context_.model.config().pad, state_.roots, rows_at(0));
    return {.level = 0, .rows = state_.queries, .first_place = 0};
  }

  /// One step: from the beams with at.level codes to those with one more, or the scores of </s>.
  void advance(cursor& at) const {
    auto const& choice = state_.memory.choice;
    auto const& now = rows_at(at.level);
    auto const count = at.rows;
    auto const logits = step(at.level, count, at.first_place);
    at.first_place += count;
    if (at.level == context_.trie.levels()) {
      add_log_probability<T>(worker_, logits, state_.memory.normalisers.part(0, count), context_.model.config().end,
                             now.scores.part(0, count));
    } else {
      select_beams<T>(worker_,
                      {.logits = logits,
                       .scores = now.scores.part(0, count),
                       .nodes = now.nodes.part(0, count),
                       .row_offsets = now.offsets,
                       .trie = state_.trie,
                       .allowed = state_.allowed,
                       .normalize_over_allowed = options_.normalize == normalization::children},
                      state_.memory.normalisers, choice);
      at.rows = branch_beams<T>(
          worker_,
          {.choice = choice, .trie = state_.trie, .from = now, .steps = at.level + 1, .first_place = at.first_place},
          rows_at(at.level + 1));
    }
    ++at.level;
  }

  /// The decoder's step after `level` codes: returns the logits and computes the normaliser of every row.
  in_matrix<B, T> step(index_t level, index_t count, index_t first_place) const {
    auto const& now = rows_at(level);
    auto const logits = state_.memory.logits.row_block(0, count);
    context_.decoding.step({.tokens = now.tokens.part(0, count),
                            .places = now.places.row_block(0, count).column_block(0, level + 1),
                            .query_offsets = now.offsets},
                           first_place, logits);
    if (options_.normalize == normalization::vocabulary)
      log_sum_exp<T>(worker_, in_matrix<B, T>(logits), state_.memory.normalisers.part(0, count));
    return logits;
  }

  /// The rows of a query by score, best first; those of equal scores in their order. Valid until the next call.
  std::vector<index_t> const& sorted_rows(host_rows const& rows, index_t query) const {
    auto const scores = rows.scores.view_all();
    auto const offsets = rows.offsets.view_all();
    auto& sorted = context_.order;
    sorted.clear();
    for (index_t row = offsets(query); row < offsets(query + 1); ++row)
      if (scores(row) != -std::numeric_limits<T>::infinity()) sorted.push_back(row);  // drops −∞
    // a stable sort would allocate memory
    std::ranges::sort(sorted,
                      [&](index_t a, index_t b) { return scores(a) != scores(b) ? scores(a) > scores(b) : a < b; });
    return sorted;
  }

  /// Appends the leaves of a query after the last step. The beams are sorted before </s> is scored, so they are sorted
  /// again here.
  void append_leaves(host_rows const& rows, index_t query, beams& out) const {
    double const length =
        std::pow(static_cast<double>(context_.trie.levels() + (options_.score_eos ? 1 : 0)), options_.length_penalty);
    for (index_t const row : sorted_rows(rows, query)) {
      out.leaves.push_back(rows.nodes.view_all()(row));
      out.scores.push_back(static_cast<float>(static_cast<double>(rows.scores.view_all()(row)) / length));
    }
    out.offsets.push_back(static_cast<index_t>(out.leaves.size()));
  }

  /// See search_progress::append_to.
  void append_prefixes(host_rows const& rows, index_t level, index_t query, beams& out) const {
    auto const scores = rows.scores.view_all();
    double const length = std::pow(static_cast<double>(level), options_.length_penalty);
    auto const most = out.leaves.size() + to_size(options_.beams);
    for (index_t const row : sorted_rows(rows, query)) {
      append_below({.node = rows.nodes.view_all()(row), .level = level}, query, most, out);
      out.scores.resize(out.leaves.size(), static_cast<float>(static_cast<double>(scores(row)) / length));
    }
    out.offsets.push_back(static_cast<index_t>(out.leaves.size()));
  }

  /// See search_progress::append_beams.
  void append_examples(host_rows const& rows, index_t level, index_t query, beams& out) const {
    double const length = std::pow(static_cast<double>(level), options_.length_penalty);
    for (index_t const row : sorted_rows(rows, query)) {
      append_below({.node = rows.nodes.view_all()(row), .level = level}, query, out.leaves.size() + 1, out);
      out.scores.push_back(static_cast<float>(static_cast<double>(rows.scores.view_all()(row)) / length));
    }
    out.offsets.push_back(static_cast<index_t>(out.leaves.size()));
  }

  /// A node of the trie and its level.
  struct trie_position {
    node_t node;
    index_t level;
  };

  /// Appends the allowed leaves at or below a node, in the order of the trie, until there are `most` leaves.
  void append_below(trie_position at, index_t query, std::size_t most, beams& out) const {
    if (out.leaves.size() == most) return;
    if (state_.host_allowed.rows() > 0 && state_.host_allowed(query, at.node) == 0) return;
    if (at.level == context_.trie.levels()) {
      out.leaves.push_back(at.node);
      return;
    }
    auto const& trie = state_.host_trie;
    for (auto child = trie.first_child(at.node); child < trie.children_end(at.node); ++child)
      append_below({.node = child, .level = at.level + 1}, query, most, out);
  }

  B& worker_;
  search_context<B, Model> const& context_;
  beam_options const& options_;
  state state_;
};

/// Encodes the queries and allocates the memory of their search. Nothing if `watch` ended it.
template <Backend B, class Model>
[[nodiscard]] std::optional<micro_batch_search<B, Model>> begin_search(search_context<B, Model> const& context,
                                                                       search_queries const& queries,
                                                                       beam_options const& options,
                                                                       search_watch const& watch) {
  static_assert(BeamOps<B, typename Model::scalar>,
                "this backend can't choose beams of this scalar; add what is missing in "
                "backend/<name>/select_beams.hpp and beam_rows.hpp");
  auto const begin = context.worker.scratch().here();
  auto const allowed = copy_allowed(context.worker, queries.allowed);
  in_vector<B, node_t> roots;
  if (!queries.roots.empty()) roots = device_copy(context.worker, view_of(queries.roots)).view_all();
  auto trie = context.trie.arrays();
  auto host_trie = context.trie.host_arrays();
  trie.added = copy_nodes(context.worker, queries.added);
  host_trie.added = queries.added;
  index_t const levels = context.trie.levels(), count = queries.size();
  std::function<bool()> go_on;
  if (watch) go_on = [&watch] { return watch(no_progress()); };
  if (!context.decoding.begin(queries.batch, queries.part,
                              {.rows = count * (1 + levels * options.beams), .steps = levels + 1}, go_on))
    return std::nullopt;
  return micro_batch_search<B, Model>(context, options,
                                      {begin, count, allowed, roots, queries.allowed, trie, host_trie,
                                       take_search_memory(context, count, options.beams)});
}

}  // namespace detail

/// Beam searches with one model over one trie, on one worker. The worker, the model and the trie must outlive this
/// object. The trie is copied once to the memory that the worker's kernels read; of a trie that changes, the nodes that
/// were added since the previous search. Where the backend supports capture,
/// the steps of a micro-batch are captured at the first search and launched by later ones. Not thread safe: use one
/// searcher per worker.
template <Backend B, class Model>
class beam_searcher {
 public:
  /// Searches nothing before use().
  beam_searcher(B& worker, Model const& model)
      : worker_(&worker), model_(&model), decoding_(make_decoding(worker, model)), trie_(worker) {
    static_assert(Decodable<Model, B>,
                  "the model can't be decoded: a t5 must be frozen first, see mql4grec/seq2seq/decoding.hpp");
  }
  /// Searches `trie`.
  beam_searcher(B& worker, Model const& model, item_trie const& trie) : beam_searcher(worker, model) { use(trie); }

  /// Searches `trie`, an item_trie or a trie_version, from now on. It must be kept until the last search; a
  /// trie_version may be kept by a copy. Queries of a trie_version need roots; see search_queries::roots.
  template <class Trie>
  void use(Trie const& trie) {
    index_t const levels = trie_.levels();
    if (trie_.set(trie) || trie_.levels() != levels) graphs_.forget();
  }

  /// Appends the best items of each query to `found`. On a CPU, nothing is allocated from the second search of a size
  /// on, except what `found` needs. With a `watch`, steps are captured one by one, and on a device the host waits for
  /// each. Throws error for invalid options.
  search_status search(search_queries const& queries, beam_options const& options, beams& found,
                       search_watch const& watch = {}) {
    using clock = std::chrono::steady_clock;
    validate(options);
    if (trie_.leaves() == 0) {
      found.offsets.resize(found.offsets.size() + to_size(queries.size()), found.offsets.back());
      return {};
    }
    scratch_scope<B> const scope(worker_->scratch());
    detail::search_context<B, Model> const context{*worker_, *model_, trie_, decoding_, order_};
    auto const start = clock::now();
    auto const begun = detail::begin_search(context, queries, options, watch);
    if (watch) worker_->synchronize();
    auto const encoded = clock::now();
    search_status status{.complete = begun.has_value()};
    if (!begun)
      for (index_t q = 0; q < queries.size(); ++q) detail::no_progress().append_to(found, q);
    else if (watch)
      status.complete = begun->run(graphs_, found, watch);
    else
      begun->run(graphs_, found);
    status.encode = encoded - start;
    status.decode = clock::now() - encoded;
    return status;
  }

 private:
  B* worker_;
  Model const* model_;
  detail::decoding_of<B, Model> decoding_;
  device_trie<B> trie_;
  std::vector<index_t> order_;  // memory of a search
  typename detail::micro_batch_search<B, Model>::step_graphs graphs_{"the steps of a search"};
};

/// The best items of each query of a micro-batch, computed on one worker. See beam_searcher::search().
template <class B, class Model>
[[nodiscard]] beams search_micro_batch(B& worker, Model const& model, item_trie const& trie,
                                       search_queries const& queries, beam_options const& options) {
  beams found;
  beam_searcher<B, Model>(worker, model, trie).search(queries, options, found);
  return found;
}

/// A beam search whose progress is reported, and whose queries may each be restricted to a part of the trie.
struct observed_beam_search {
  beam_options options = {};                   ///< see beam_options
  std::function<void(index_t)> progress = {};  ///< progress(queries done); called on the thread of worker 0
  /// allow(query, nodes) sets a byte per node of the trie, as mark_allowed() does; without it all nodes are allowed.
  /// Called on the threads of all workers.
  std::function<void(index_t, std::span<std::uint8_t>)> allow = {};
};

/// The best items of every query: at most options.beams leaves of the trie per query, fewer only where fewer exist. The
/// workers process micro-batches of queries as they become free. A query's result doesn't depend on other queries,
/// except for the rounding of matrix products. Worker 0's thread calls `progress(queries done)` after each of its
/// micro-batches; what it throws ends the search. Throws error for invalid options.
template <class B, class Model>
[[nodiscard]] beams beam_search(B& backend, Model const& model, item_trie const& trie, tasks::batch const& queries,
                                observed_beam_search const& observed) {
  auto const& options = observed.options;
  validate(options);
  index_t const block = std::max<index_t>(1, options.block_rows / options.beams),
                blocks = (queries.size() + block - 1) / block;
  std::vector<beams> results(to_size(blocks));
  std::atomic<index_t> next{0}, done{0};
  for_each_worker(backend, [&](B& worker, index_t number) {
    beam_searcher<B, Model> searcher(worker, model, trie);
    std::vector<std::uint8_t> nodes;
    for (index_t i = next++; i < blocks; i = next++) {
      tasks::micro_batch const part{i * block, std::min(queries.size(), (i + 1) * block)};
      auto const count = observed.allow ? part.last - part.first : 0;
      nodes.resize(to_size(count * trie.nodes()));
      for (index_t q = 0; q < count; ++q)
        observed.allow(part.first + q, std::span(nodes).subspan(to_size(q * trie.nodes()), to_size(trie.nodes())));
      host_matrix_view<std::uint8_t const> const allowed =
          count > 0 ? host_matrix_view<std::uint8_t const>(nodes.data(), count, trie.nodes())
                    : host_matrix_view<std::uint8_t const>();
      searcher.search({.batch = queries, .part = part, .allowed = allowed}, options, results[to_size(i)]);
      done += part.last - part.first;
      if (number != 0 || !observed.progress) continue;
      try {
        observed.progress(done.load());
      } catch (...) {
        next = blocks;  // no worker begins another micro-batch
        throw;
      }
    }
  });
  beams all;
  for (auto const& part : results) all.append(part);
  return all;
}

/// The same without reports of the progress.
template <class B, class Model>
[[nodiscard]] beams beam_search(B& backend, Model const& model, item_trie const& trie, tasks::batch const& queries,
                                beam_options const& options = {}) {
  return beam_search(backend, model, trie, queries, observed_beam_search{.options = options});
}

}  // namespace mql4grec::search
