#pragma once
// The beam search for one micro-batch on one worker, and what it requires of a backend and of a model.
#include <algorithm>
#include <bit>
#include <cmath>
#include <compare>
#include <cstddef>
#include <functional>
#include <limits>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "mql4grec/backend/contract/graph_cache.hpp"
#include "mql4grec/backend/contract/transfer.hpp"
#include "mql4grec/search/beam_options.hpp"
#include "mql4grec/search/beam_queries.hpp"
#include "mql4grec/search/device_trie.hpp"
#include "mql4grec/seq2seq/decoder_rows.hpp"

namespace mql4grec::search {

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

/// The requirements of a beam search on a model: encode the queries, then decode step by step. begin() is reserve() and
/// encode(), which backends with CaptureOps capture together with the steps. See seq2seq/decoding.hpp.
template <class M, class B>
concept Decodable = requires(M const& model, B& worker, tasks::batch const& queries, tasks::micro_batch part, index_t n,
                             seq2seq::decoder_rows<B> rows, out_matrix<B, typename M::scalar> logits,
                             std::function<bool()> const& go_on) {
  { make_decoding(worker, model).begin(queries, part, seq2seq::decoder_capacity{n, n}, go_on) } -> std::same_as<bool>;
  make_decoding(worker, model).reserve(queries, part, seq2seq::decoder_capacity{n, n});
  make_decoding(worker, model).encode();
  make_decoding(worker, model).step(rows, n, logits);
  { make_decoding(worker, model).shape() } -> std::three_way_comparable;  // determines what encode() and step() do
  { model.config().vocabulary } -> std::convertible_to<index_t>;
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

/// What the host reads of a level's rows, in one piece of memory: one copy brings it to the host.
template <class T>
struct level_layout {
  index_t queries, rows;

  index_t bytes() const { return nodes_at() + rows * bytes_of<node_t>; }
  /// Of the memory itself, or of a copy.
  template <class Byte, MemorySpace S>
  auto offsets(view<Byte, S, 1> memory) const {
    return part<index_t>(memory, 0, queries + 1);
  }
  template <class Byte, MemorySpace S>
  auto scores(view<Byte, S, 1> memory) const {
    return part<T>(memory, scores_at(), rows);
  }
  template <class Byte, MemorySpace S>
  auto nodes(view<Byte, S, 1> memory) const {
    return part<node_t>(memory, nodes_at(), rows);
  }

 private:
  template <class U>
  static constexpr auto bytes_of = static_cast<index_t>(sizeof(U));

  // in the order of their alignment
  index_t scores_at() const { return (queries + 1) * bytes_of<index_t>; }
  index_t nodes_at() const { return scores_at() + rows * bytes_of<T>; }
  template <class U, class Byte, MemorySpace S>
  static auto part(view<Byte, S, 1> memory, index_t at, index_t count) {
    using entry = std::conditional_t<std::is_const_v<Byte>, U const, U>;
    return view<entry, S, 1>(reinterpret_cast<entry*>(memory.data + at), count);
  }
};

/// The memory of a search besides the decoding's, in the worker's scratch.
template <Backend B, class T>
struct search_memory {
  out_matrix<B, T> logits;       // (queries · beams, V)
  out_vector<B, T> normalisers;  // (queries · beams)
  level_layout<T> layout;
  out_vector<B, std::byte> results[2];             // by the layout: parts of `rows`
  beam_rows<typename B::memory_space, T> rows[2];  // levels alternate
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
  memory.layout = {queries, rows};
  for (int level : {0, 1}) {
    auto const results = memory.results[level] = take<std::byte>(context.worker, memory.layout.bytes());
    memory.rows[level] = {memory.layout.scores(results), memory.layout.nodes(results),
                          take<std::int32_t>(context.worker, rows, places), take<token_t>(context.worker, rows),
                          memory.layout.offsets(results)};
  }
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

/// Copies nodes to the memory that the worker's kernels read. The views of a copy are larger, so that few of their
/// sizes occur: they are part of the key of captured steps.
template <Backend B>
trie_nodes<typename B::memory_space> copy_nodes(B& worker, trie_nodes<host_space> const& nodes) {
  index_t const count = nodes.token.size();
  if (count == 0) return {};
  if constexpr (std::same_as<typename B::memory_space, host_space>) {
    return nodes;
  } else {
    auto const size = static_cast<index_t>(std::bit_ceil(to_size(std::max<index_t>(count, 1024))));
    auto const copied = [&]<class T>(host_vector_view<T const> from) {
      auto const to = take<T>(worker, size);
      upload<T>(worker, from, to.part(0, count));
      return to;
    };
    return {copied(nodes.first_child), copied(nodes.children_end), copied(nodes.token)};
  }
}

/// The search for one micro-batch on one worker; see begin_search(). Its memory is the worker's scratch, so its
/// lifetime must be inside a scratch_scope of the worker.
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
  /// The last four: the distance between the rows of `allowed`, −1 if there are none; whether there are roots; the size
  /// of the memory of added nodes; the step, −1 for all steps. The size of the memory of `allowed` follows from the
  /// scratch's position at the call, which graph_cache adds.
  using key = std::tuple<mark, index_t, decltype(std::declval<decoding_of<B, Model> const&>().shape()), index_t,
                         normalization, bool, index_t, bool, index_t, index_t>;
  /// The captured steps.
  using step_graphs = graph_cache<B, key, index_t>;

  /// Stores the arguments, which must outlive the object.
  micro_batch_search(search_context<B, Model> const& context, beam_options const& options, state s)
      : worker_(context.worker), context_(context), options_(options), state_(std::move(s)) {}

  /// Runs the search, which isn't watched, and appends the results to `out`.
  void run(step_graphs& graphs, beams& out) const {
    graphs.run(worker_, key_of(-1), [&] {
      if constexpr (CaptureOps<B>) context_.decoding.encode();  // otherwise begin_search() has
      cursor at = start();
      while (at.level < steps()) advance(at);
      return at.rows;
    });
    host_rows const rows = host_rows_at(context_.trie.levels());
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
    host_rows const rows = host_rows_at(context_.trie.levels());
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
    host_rows(B& worker, in_vector<B, std::byte> results, level_layout<T> const& layout)
        : copied(worker, results),
          scores(layout.scores(copied.view_all())),
          nodes(layout.nodes(copied.view_all())),
          offsets(layout.offsets(copied.view_all())) {}
    host_copy<std::byte, space> copied;
    host_vector_view<T const> scores;
    host_vector_view<node_t const> nodes;
    host_vector_view<index_t const> offsets;
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
      if (!rows_) rows_.emplace(of_.host_rows_at(at_.level));
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
  host_rows host_rows_at(index_t level) const {
    return {worker_, state_.memory.results[level % 2], state_.memory.layout};
  }
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
    auto const scores = rows.scores;
    auto const offsets = rows.offsets;
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
      out.leaves.push_back(rows.nodes(row));
      out.scores.push_back(static_cast<float>(static_cast<double>(rows.scores(row)) / length));
    }
    out.offsets.push_back(static_cast<index_t>(out.leaves.size()));
  }

  /// See search_progress::append_to.
  void append_prefixes(host_rows const& rows, index_t level, index_t query, beams& out) const {
    auto const scores = rows.scores;
    double const length = std::pow(static_cast<double>(level), options_.length_penalty);
    auto const most = out.leaves.size() + to_size(options_.beams);
    for (index_t const row : sorted_rows(rows, query)) {
      append_below({.node = rows.nodes(row), .level = level}, query, most, out);
      out.scores.resize(out.leaves.size(), static_cast<float>(static_cast<double>(scores(row)) / length));
    }
    out.offsets.push_back(static_cast<index_t>(out.leaves.size()));
  }

  /// See search_progress::append_beams.
  void append_examples(host_rows const& rows, index_t level, index_t query, beams& out) const {
    double const length = std::pow(static_cast<double>(level), options_.length_penalty);
    for (index_t const row : sorted_rows(rows, query)) {
      append_below({.node = rows.nodes(row), .level = level}, query, out.leaves.size() + 1, out);
      out.scores.push_back(static_cast<float>(static_cast<double>(rows.scores(row)) / length));
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

/// Encodes the queries, unless the search captures that, and allocates the memory of their search. Nothing if `watch`
/// ended it.
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
  seq2seq::decoder_capacity const capacity{.rows = count * (1 + levels * options.beams), .steps = levels + 1};
  if (CaptureOps<B> && !watch)
    context.decoding.reserve(queries.batch, queries.part, capacity);
  else if (!context.decoding.begin(queries.batch, queries.part, capacity, go_on))
    return std::nullopt;
  return micro_batch_search<B, Model>(context, options,
                                      {begin, count, allowed, roots, queries.allowed, trie, host_trie,
                                       take_search_memory(context, count, options.beams)});
}

}  // namespace detail

}  // namespace mql4grec::search
