#pragma once
// Beam search over the trie of items. All items have the same number of tokens, so all beams of a micro-batch advance
// together: at first one row per query, then up to `beams` rows per query. Each row refers to the rows of its ancestors
// in the key/value cache; the cache is never reordered. A search may be watched: then it can end between two levels,
// with the best items so far.
#include <atomic>
#include <chrono>
#include <functional>
#include <span>
#include <vector>

#include "mql4grec/backend/contract/transfer.hpp"
#include "mql4grec/search/beam_options.hpp"
#include "mql4grec/search/beam_queries.hpp"
#include "mql4grec/search/beams.hpp"
#include "mql4grec/search/constraint.hpp"
#include "mql4grec/search/detail/micro_batch_search.hpp"
#include "mql4grec/search/device_trie.hpp"
#include "mql4grec/tasks/batch.hpp"

namespace mql4grec::search {

/// Beam searches with one model over one trie, on one worker. The worker, the model and the trie must outlive this
/// object. The trie is copied once to the memory that the worker's kernels read; of a trie that changes, the nodes that
/// were added since the previous search. Where the backend supports capture,
/// the encoder and the steps of a micro-batch are captured at the second search and launched by later ones. Not thread
/// safe: use one searcher per worker.
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
  index_t const block = queries_at_once(options), blocks = (queries.size() + block - 1) / block;
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
