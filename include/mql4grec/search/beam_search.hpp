#pragma once
// Beam search over the trie of items. All items have the same number of tokens, so all beams of a micro-batch advance
// together: at first one row per query, then up to `beams` rows per query. Each row refers to the rows of its ancestors
// in the key/value cache; the cache is never reordered.
#include <atomic>
#include <cmath>
#include <compare>
#include <limits>
#include <numeric>
#include <tuple>

#include "mql4grec/backend/contract/graph_cache.hpp"
#include "mql4grec/backend/contract/transfer.hpp"
#include "mql4grec/search/beams.hpp"
#include "mql4grec/search/constraint.hpp"
#include "mql4grec/seq2seq/decoder_rows.hpp"
#include "mql4grec/tasks/batch.hpp"

namespace mql4grec {

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
             beam_choice<typename B::memory_space, T> out, trie_view<typename B::memory_space> trie,
             beam_rows<typename B::memory_space, T> rows) {
  log_sum_exp<T>(b, logits, v);
  select_beams<T>(b, in, v, out);
  start_beams<T>(b, token_t{}, rows);
  { branch_beams<T>(b, out, trie, rows, index_t{}, index_t{}, rows) } -> std::same_as<index_t>;
  add_log_probability<T>(b, logits, v, token_t{}, v);
};

/// The requirements of a beam search on a model: encode the queries, then decode step by step. See
/// seq2seq/decoding.hpp.
template <class M, class B>
concept Decodable = requires(M const& model, B& worker, batch const& queries, micro_batch part, index_t n,
                             decoder_rows<B> rows, out_matrix<B, typename M::scalar> logits) {
  begin_decoding(worker, model, queries, part, n, n).step(worker, rows, n, logits);
  {
    begin_decoding(worker, model, queries, part, n, n).shape()
    } -> std::three_way_comparable;  // determines the scratch memory of the steps
  { model.config().vocabulary } -> std::convertible_to<index_t>;
};

namespace detail {

/// The search for one micro-batch on one worker. Its memory is the worker's scratch, so its lifetime must be inside a
/// scratch_scope of the worker.
template <Backend B, class Model, class Decoding>
class block_search {
  using T = typename Model::scalar;
  using space = typename B::memory_space;
  using marks = view<std::uint8_t const, space, 2>;

 public:
  /// A position in the worker's scratch.
  using mark = decltype(std::declval<B&>().scratch().here());
  /// The key under which captured steps are cached: the values that the steps depend on besides the model and the trie.
  /// The scratch's position before the search determines the addresses of all memory that the steps use.
  using key =
      std::tuple<mark, index_t, decltype(std::declval<Decoding const&>().shape()), index_t, normalization, bool, bool>;
  using recorded_steps = graph_cache<B, key, index_t>;

  block_search(B& worker, mark begin, Model const& model, item_trie const& trie, trie_view<space> const& arrays,
               batch const& queries, micro_batch part, beam_options const& options)
      : worker_(worker),
        begin_(begin),
        model_(model),
        trie_(trie),
        arrays_(arrays),
        options_(options),
        users_(part.last - part.first),
        most_rows_(users_ * options.beams),
        decoding_(
            begin_decoding(worker, model, queries, part, users_ + trie.levels() * most_rows_, trie.levels() + 1)) {
    static_assert(BeamOps<B, T>,
                  "this backend can't choose beams of this scalar; add what is missing in "
                  "backend/<name>/select_beams.hpp and beam_rows.hpp");
    logits_ = take<T>(worker, most_rows_, model.config().vocabulary);
    normalisers_ = take<T>(worker, most_rows_);
    for (auto& rows : rows_)
      rows = {take<T>(worker, most_rows_), take<node_t>(worker, most_rows_),
              take<std::int32_t>(worker, most_rows_, trie.levels() + 1), take<token_t>(worker, most_rows_),
              take<index_t>(worker, users_ + 1)};
    choice_ = {take<T>(worker, users_, options.beams), take<std::int32_t>(worker, users_, options.beams),
               take<node_t>(worker, users_, options.beams), take<index_t>(worker, users_)};
  }

  /// Runs the search and appends the results to `out`. `allowed` is (users, nodes) or empty.
  void run(marks allowed, recorded_steps& known, beams& out) {
    key const what{
        begin_, users_, decoding_.shape(), options_.beams, options_.normalize, options_.score_eos, allowed.rows() > 0};
    collect(known.run(worker_, what, [&] { return all_steps(allowed); }), out);
  }

 private:
  /// The rows that the step at `level` reads. The step writes the rows of level + 1.
  beam_rows<space, T> const& rows_at(index_t level) const { return rows_[to_size(level % 2)]; }

  /// Runs all steps; returns the number of rows after the last one, which are those of level trie.levels().
  index_t all_steps(marks allowed) const {
    start_beams<T>(worker_, model_.config().pad, rows_at(0));
    index_t count = users_, first_place = 0;
    for (index_t level = 0; level < trie_.levels(); ++level) {
      auto const& now = rows_at(level);
      auto const logits = step(level, count, first_place);
      first_place += count;
      select_beams<T>(worker_,
                      {.logits = logits,
                       .scores = now.scores.part(0, count),
                       .nodes = now.nodes.part(0, count),
                       .row_offsets = now.offsets,
                       .trie = arrays_,
                       .allowed = allowed,
                       .normalize_over_allowed = options_.normalize == normalization::children},
                      normalisers_, choice_);
      count = branch_beams<T>(worker_, choice_, arrays_, now, level + 1, first_place, rows_at(level + 1));
    }
    if (options_.score_eos && options_.normalize == normalization::vocabulary) {
      auto const logits = step(trie_.levels(), count, first_place);
      add_log_probability<T>(worker_, logits, normalisers_.part(0, count), model_.config().end,
                             rows_at(trie_.levels()).scores.part(0, count));
    }
    return count;
  }

  /// The decoder's step after `level` codes: returns the logits and computes the normaliser of every row.
  in_matrix<B, T> step(index_t level, index_t count, index_t first_place) const {
    auto const& now = rows_at(level);
    auto const logits = logits_.row_block(0, count);
    decoding_.step(worker_,
                   {.tokens = now.tokens.part(0, count),
                    .places = now.places.row_block(0, count).column_block(0, level + 1),
                    .query_offsets = now.offsets},
                   first_place, logits);
    if (options_.normalize == normalization::vocabulary)
      log_sum_exp<T>(worker_, in_matrix<B, T>(logits), normalisers_.part(0, count));
    return logits;
  }

  /// Sorts the rows of each query by score, best first, and appends them to `out`. The beams are sorted before </s> is
  /// scored, so they are sorted again here.
  void collect(index_t count, beams& out) const {
    auto const& last = rows_at(trie_.levels());
    bool const counted = options_.score_eos;
    double const length = std::pow(static_cast<double>(trie_.levels() + (counted ? 1 : 0)), options_.length_penalty);
    host_copy<T, space> const all_scores(worker_, last.scores.part(0, count));
    host_copy<node_t, space> const all_nodes(worker_, last.nodes.part(0, count));
    host_copy<index_t, space> const all_offsets(worker_, last.offsets);
    auto const scores = all_scores.view_all();
    auto const offsets = all_offsets.view_all();
    std::vector<index_t> order;
    for (index_t u = 0; u < users_; ++u) {
      order.clear();
      for (index_t row = offsets(u); row < offsets(u + 1); ++row)
        if (scores(row) != -std::numeric_limits<T>::infinity()) order.push_back(row);  // drops −∞
      std::ranges::stable_sort(order, [&](index_t a, index_t b) { return scores(a) > scores(b); });
      for (index_t const row : order) {
        out.leaves.push_back(all_nodes.view_all()(row));
        out.scores.push_back(static_cast<float>(static_cast<double>(scores(row)) / length));
      }
      out.offsets.push_back(static_cast<index_t>(out.leaves.size()));
    }
  }

  B& worker_;
  mark begin_;
  Model const& model_;
  item_trie const& trie_;
  trie_view<space> arrays_;
  beam_options const& options_;
  index_t users_, most_rows_;
  Decoding decoding_;
  beam_rows<space, T> rows_[2];
  out_matrix<B, T> logits_;
  out_vector<B, T> normalisers_;
  beam_choice<space, T> choice_;
};

/// Copies one byte per query and node to the memory that the worker's kernels read. An empty view stays empty.
template <Backend B>
view<std::uint8_t const, typename B::memory_space, 2> marks_on(B& worker,
                                                               host_matrix_view<std::uint8_t const> allowed) {
  if (allowed.rows() == 0) return {};
  host_vector_view<std::uint8_t const> const allowed_bytes = allowed.flat();
  return {device_copy(worker, allowed_bytes).view_all().data, allowed.rows(), allowed.columns()};
}

}  // namespace detail

/// Beam searches with one model over one trie, on one worker. The worker, the model and the trie must outlive this
/// object. The trie is copied once to the memory that the worker's kernels read. Where the backend supports capture,
/// the steps of a micro-batch are captured at the first search and launched by later ones. Not thread safe: use one
/// searcher per worker.
template <Backend B, class Model>
class beam_searcher {
 public:
  /// Copies the trie to the worker's memory.
  beam_searcher(B& worker, Model const& model, item_trie const& trie)
      : worker_(&worker),
        model_(&model),
        trie_(&trie),
        first_child_(worker, trie.arrays().first_child, copy_storage::owned),
        token_(worker, trie.arrays().token, copy_storage::owned) {
    static_assert(Decodable<Model, B>,
                  "the model can't be decoded: a t5 must be frozen first, see mql4grec/seq2seq/decoding.hpp");
  }

  /// Appends the best items of each query of a micro-batch to `found`. `allowed` (queries of the micro-batch, nodes)
  /// excludes the nodes whose byte is 0; an empty view allows all. See mark_allowed(). The options are not validated
  /// here; see validate().
  void search(batch const& queries, micro_batch part, beam_options const& options,
              host_matrix_view<std::uint8_t const> allowed, beams& found) {
    validate(options);
    if (trie_->leaves() == 0) {
      found.offsets.resize(found.offsets.size() + to_size(part.last - part.first), found.offsets.back());
      return;
    }
    scratch_scope<B> const scope(worker_->scratch());
    auto const begin = worker_->scratch().here();
    auto const marks = detail::marks_on(*worker_, allowed);
    trie_view<typename B::memory_space> const arrays{first_child_.view_all(), token_.view_all()};
    block_search(*worker_, begin, *model_, *trie_, arrays, queries, part, options).run(marks, known_, found);
  }

 private:
  using decoding = decltype(begin_decoding(std::declval<B&>(), std::declval<Model const&>(), batch(), micro_batch(),
                                           index_t{}, index_t{}));
  using block_search = detail::block_search<B, Model, decoding>;

  B* worker_;
  Model const* model_;
  item_trie const* trie_;
  device_copy<node_t, B> first_child_;
  device_copy<token_t, B> token_;
  typename block_search::recorded_steps known_{"the steps of a search"};
};

/// The best items of each query of a micro-batch, computed on one worker. See beam_searcher::search().
template <class B, class Model>
beams search_micro_batch(B& worker, Model const& model, item_trie const& trie, batch const& queries, micro_batch part,
                         beam_options const& options, host_matrix_view<std::uint8_t const> allowed = {}) {
  beams found;
  beam_searcher<B, Model>(worker, model, trie).search(queries, part, options, allowed, found);
  return found;
}

/// The best items of every query: at most options.beams leaves of the trie per query, fewer only where fewer exist. The
/// workers process micro-batches of queries as they become free. A query's result doesn't depend on other queries,
/// except for the rounding of matrix products. Worker 0's thread calls `progress(queries done)` after each of its
/// micro-batches. Throws error for invalid options.
template <class B, class Model, class Progress>
beams search(B& backend, Model const& model, item_trie const& trie, batch const& queries, beam_options const& options,
             Progress&& progress) {
  validate(options);
  index_t const block = std::max<index_t>(1, options.block_rows / options.beams),
                blocks = (queries.size() + block - 1) / block;
  std::vector<beams> results(to_size(blocks));
  std::atomic<index_t> next{0}, done{0};
  for_each_worker(backend, [&](B& worker, index_t number) {
    beam_searcher<B, Model> searcher(worker, model, trie);
    for (index_t i = next++; i < blocks; i = next++) {
      micro_batch const part{i * block, std::min(queries.size(), (i + 1) * block)};
      searcher.search(queries, part, options, {}, results[to_size(i)]);
      done += part.last - part.first;
      if (number == 0) progress(done.load());
    }
  });
  beams all;
  for (auto const& part : results) all.append(part);
  return all;
}

/// The same without a progress callback.
template <class B, class Model>
beams search(B& backend, Model const& model, item_trie const& trie, batch const& queries,
             beam_options const& options = {}) {
  return search(backend, model, trie, queries, options, [](index_t) {});
}

}  // namespace mql4grec
