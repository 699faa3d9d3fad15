#pragma once
// Beam search over the trie. Every item has the same number of tokens, so all beams of a block move in step: one row a query
// at first, then up to `beams` rows, each pointing to its ancestors' places in the cache.
#include <atomic>
#include <cmath>

#include "mql4grec/search/beams.hpp"
#include "mql4grec/search/constraint.hpp"
#include "mql4grec/seq2seq/decoder_rows.hpp"
#include "mql4grec/tasks/batch.hpp"

namespace mql4grec {

/// Over what the probabilities of a step are normalised.
enum class normalization {
  vocabulary,  ///< the whole vocabulary, as transformers' generate with prefix_allowed_tokens_fn reports scores
  children     ///< the allowed children of the beam's node: a distribution over items
};

/// Whether the forced </s> behind the last code counts.
enum class closing { scored, free };

struct beam_options {
  index_t beams = 20;
  double length_penalty = 1;  ///< scores are divided by length^penalty, the length counting </s> when it is scored
  normalization normalize = normalization::vocabulary;
  closing end = closing::scored;  ///< with normalization::children </s> is certain and adds 0
  index_t block_rows = 480;  ///< queries · beams that one lane computes at once

  bool operator==(beam_options const&) const = default;
};

inline void validate(beam_options const& o) {
  expects(o.beams >= 1 && o.beams <= 4096, "beam search: ", o.beams, " beams, expected 1 to 4096");
  expects(std::isfinite(o.length_penalty), "beam search: the length penalty isn't finite");
  expects(o.block_rows >= 1, "beam search: blocks of ", o.block_rows, " rows, expected at least 1");
}

/// What choosing the next beams asks of a backend.
template <class B, class T>
concept BeamOps = Backend<B> && requires(B& b, beam_candidates<typename B::memory_space, T> in, in_matrix<B, T> logits, out_vector<B, T> v,
                                         beam_choice<typename B::memory_space, T> out) {
  log_sum_exp<T>(b, logits, v);
  select_beams<T>(b, in, v, out);
};

/// What a search asks of a model: to read the queries and then to decode step by step; see seq2seq/decoding.hpp.
template <class M, class B>
concept Decodable = requires(M const& model, B& lane, batch const& queries, stretch part, index_t n, decoder_rows<B> rows,
                             out_matrix<B, typename M::scalar> logits) {
  begin_decoding(lane, model, queries, part, n, n).step(lane, rows, n, logits);
  { model.config().vocabulary } -> std::convertible_to<index_t>;
};

namespace detail {

/// One lane's search for a block of queries. Lives inside a scratch scope of the lane.
template <Backend B, class Model, class Decoding>
class block_search {
  using T = typename Model::scalar;
  using space = typename B::memory_space;

 public:
  block_search(B& lane, Model const& model, item_trie const& trie, batch const& queries, stretch part, beam_options const& options)
      : lane_(lane), model_(model), trie_(trie), options_(options), users_(part.last - part.first), most_rows_(users_ * options.beams),
        decoding_(begin_decoding(lane, model, queries, part, users_ + trie.levels() * most_rows_, trie.levels() + 1)) {
    static_assert(BeamOps<B, T>, "this backend has no select_beams for this scalar; add it in backend/<name>/select_beams.hpp");
    auto& scratch = lane.scratch();
    logits_ = scratch.template take<T>(most_rows_, model.config().vocabulary);
    normalisers_ = scratch.template take<T>(most_rows_);
    tokens_ = scratch.template take<token_t>(most_rows_);
    offsets_ = scratch.template take<index_t>(users_ + 1);
    for (auto* rows : {&now_, &next_})
      *rows = {scratch.template take<T>(most_rows_), scratch.template take<node_t>(most_rows_),
               scratch.template take<std::int32_t>(most_rows_, trie.levels() + 1)};
    choice_ = {scratch.template take<T>(users_, options.beams), scratch.template take<std::int32_t>(users_, options.beams),
               scratch.template take<node_t>(users_, options.beams), scratch.template take<index_t>(users_)};
  }

  /// allowed (users, nodes), or empty. Appends the results to `out`.
  void run(view<std::uint8_t const, space, 2> allowed, beams& out) {
    start();
    for (index_t level = 0; level < trie_.levels(); ++level) {
      step(level);
      select_beams<T>(lane_,
                      {.logits = logits(), .scores = now_.scores.part(0, rows_), .nodes = now_.nodes.part(0, rows_),
                       .row_offsets = offsets_, .trie = trie_.arrays(), .allowed = allowed,
                       .over_children = options_.normalize == normalization::children},
                      normalisers_, choice_);
      branch(level);
    }
    if (options_.end == closing::scored && options_.normalize == normalization::vocabulary) close();
    collect(out);
  }

 private:
  struct generation {
    out_vector<B, T> scores;
    out_vector<B, node_t> nodes;
    out_matrix<B, std::int32_t> places;  // (rows, levels + 1): ancestors in the cache
  };

  in_matrix<B, T> logits() const { return logits_.row_block(0, rows_); }

  void start() {
    rows_ = users_;
    for (index_t u = 0; u < users_; ++u) {
      now_.scores(u) = T{};
      now_.nodes(u) = trie_.start();
      now_.places(u, 0) = static_cast<std::int32_t>(u);
      tokens_(u) = model_.config().pad;
      offsets_(u) = u;
    }
    offsets_(users_) = users_;
    first_place_ = 0;
  }

  /// The decoder's step behind `level` codes, and the normaliser of every row.
  void step(index_t level) {
    decoder_rows<B> const rows{.tokens = tokens_.part(0, rows_),
                               .places = now_.places.row_block(0, rows_).column_block(0, level + 1),
                               .query_offsets = offsets_};
    decoding_.step(lane_, rows, first_place_, logits_.row_block(0, rows_));
    first_place_ += rows_;
    if (options_.normalize == normalization::vocabulary) log_sum_exp<T>(lane_, logits(), normalisers_.part(0, rows_));
  }

  /// The chosen children become the rows of the next step.
  void branch(index_t level) {
    index_t row = 0;
    for (index_t u = 0; u < users_; ++u) {
      offsets_(u) = row;
      for (index_t i = 0; i < choice_.counts(u); ++i, ++row) {
        next_.scores(row) = choice_.scores(u, i);
        next_.nodes(row) = choice_.nodes(u, i);
        tokens_(row) = trie_.token(choice_.nodes(u, i));
        for (index_t s = 0; s <= level; ++s) next_.places(row, s) = now_.places(choice_.parents(u, i), s);
        next_.places(row, level + 1) = static_cast<std::int32_t>(first_place_ + row);
      }
    }
    offsets_(users_) = rows_ = row;
    std::swap(now_, next_);
  }

  /// Adds log p(</s>) and puts the beams of each query in order again.
  void close() {
    step(trie_.levels());
    for (index_t row = 0; row < rows_; ++row) now_.scores(row) += logits_(row, index(model_.config().end)) - normalisers_(row);
  }

  void collect(beams& out) const {
    bool const counted = options_.end == closing::scored;
    double const length = std::pow(static_cast<double>(trie_.levels() + (counted ? 1 : 0)), options_.length_penalty);
    std::vector<index_t> order;
    for (index_t u = 0; u < users_; ++u) {
      order.resize(static_cast<std::size_t>(offsets_(u + 1) - offsets_(u)));
      std::iota(order.begin(), order.end(), offsets_(u));
      std::ranges::stable_sort(order, [&](index_t a, index_t b) { return now_.scores(a) > now_.scores(b); });
      for (index_t const row : order) {
        out.leaves.push_back(now_.nodes(row));
        out.scores.push_back(static_cast<float>(static_cast<double>(now_.scores(row)) / length));
      }
      out.offsets.push_back(static_cast<index_t>(out.leaves.size()));
    }
  }

  B& lane_;
  Model const& model_;
  item_trie const& trie_;
  beam_options const& options_;
  index_t users_, most_rows_;
  Decoding decoding_;
  index_t rows_ = 0, first_place_ = 0;
  generation now_, next_;
  out_matrix<B, T> logits_;
  out_vector<B, T> normalisers_;
  out_vector<B, token_t> tokens_;
  out_vector<B, index_t> offsets_;
  beam_choice<space, T> choice_;
};

}  // namespace detail

/// The best items for each query of a stretch, on one lane. `allowed` (queries of the stretch, nodes) or empty.
template <class B, class Model>
beams search_stretch(B& lane, Model const& model, item_trie const& trie, batch const& queries, stretch part, beam_options const& options,
                     view<std::uint8_t const, typename B::memory_space, 2> allowed = {}) {
  static_assert(Decodable<Model, B>, "the model can't be decoded: a t5 must be frozen first, see mql4grec/seq2seq/decoding.hpp");
  beams found;
  if (trie.leaves() == 0) {
    found.offsets.resize(static_cast<std::size_t>(part.last - part.first) + 1, 0);
    return found;
  }
  using decoding = decltype(begin_decoding(lane, model, queries, part, index_t{}, index_t{}));
  scratch_scope<B> const scope(lane.scratch());
  detail::block_search<B, Model, decoding>(lane, model, trie, queries, part, options).run(allowed, found);
  return found;
}

/// The best items for every query: at most options.beams leaves of the trie each, fewer only where fewer exist. Blocks of
/// queries are shared out among the lanes as they come free; a query's result doesn't depend on the others in its block
/// beyond the rounding of the matrix products. `progress(queries done)` is called now and then, from lane 0's thread.
template <class B, class Model, class Progress>
beams search(B& backend, Model const& model, item_trie const& trie, batch const& queries, beam_options const& options, Progress&& progress) {
  validate(options);
  index_t const block = std::max<index_t>(1, options.block_rows / options.beams), blocks = (queries.size() + block - 1) / block;
  std::vector<beams> results(static_cast<std::size_t>(blocks));
  std::atomic<index_t> next{0}, done{0};
  for_each_lane(backend, [&](B& lane, index_t number) {
    for (index_t i = next++; i < blocks; i = next++) {
      stretch const part{i * block, std::min(queries.size(), (i + 1) * block)};
      results[static_cast<std::size_t>(i)] = search_stretch(lane, model, trie, queries, part, options);
      done += part.last - part.first;
      if (number == 0) progress(done.load());
    }
  });
  beams all;
  for (auto const& part : results) all.append(part);
  return all;
}

template <class B, class Model>
beams search(B& backend, Model const& model, item_trie const& trie, batch const& queries, beam_options const& options = {}) {
  return search(backend, model, trie, queries, options, [](index_t) {});
}

}  // namespace mql4grec
