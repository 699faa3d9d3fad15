#pragma once
// Leave-one-out evaluation over the whole catalog. For each user, the model is queried with the text history and with
// the image history; the two lists are fused, and the place of the held-out item is measured. Metrics on sequences and
// on items differ where several items share a sequence.
#include <algorithm>
#include <chrono>
#include <limits>
#include <vector>

#include "mql4grec/catalog/split.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/metrics/ranking_metrics.hpp"
#include "mql4grec/metrics/report.hpp"
#include "mql4grec/metrics/save.hpp"
#include "mql4grec/pipeline/dataset.hpp"
#include "mql4grec/pipeline/model_metadata.hpp"
#include "mql4grec/rank/from_beams.hpp"
#include "mql4grec/rank/fusion.hpp"
#include "mql4grec/search/beam_search.hpp"
#include "mql4grec/seq2seq/decoding.hpp"

namespace mql4grec {

/// Options of an evaluation.
struct evaluation_options {
  split part = split::test;                             ///< valid or test
  beam_options search = {};                             ///< options of the beam search
  index_t users = std::numeric_limits<index_t>::max();  ///< only the first so many users are evaluated
};

/// The lists of one user.
struct user_result {
  user_id user;                   ///< the user
  item_id target;                 ///< the held-out item
  ranking text, image, ensemble;  ///< the lists of both modalities, and the fused one
};

/// The result of an evaluation.
struct evaluation {
  report result;                         ///< the metrics
  saved_search saved_text, saved_image;  ///< the search results in the released code's format
  std::vector<user_result> examples;     ///< the lists of the first users
};

namespace detail {

/// The place of the target's sequence in a list of items, where every sequence counts once.
placement sequence_place(ranking const& list, item_id target, token_table const& table);

/// Searches one modality for the users' histories. Finds nothing if the dataset or the model lacks the modality.
template <class B, class T, class Progress>
beams search_modality(B& backend, frozen_t5<B, T> const& model, model_metadata const& metadata, dataset const& data,
                      item_trie const& trie, modality kind, std::span<user_id const> users,
                      evaluation_options const& options, Progress&& progress) {
  if (trie.leaves() == 0) {
    beams nothing;
    nothing.offsets.resize(users.size() + 1, 0);
    return nothing;
  }
  batch queries;
  auto const mix = mixture_named(metadata.tasks);
  for (auto const user : users)
    mix.query(kind).write_query(history(data.interactions, user, options.part), data.table(kind), metadata.vocab,
                                queries);
  return beam_search(backend, model, trie, queries, {.options = options.search, .progress = progress});
}

/// Appends a user's search results.
void save_user(saved_search& out, beams const& found, index_t query, item_trie const& trie, token_table const& table,
               user_id user, item_id target, vocabulary const& vocab);

}  // namespace detail

/// Evaluates a model on a dataset. `progress(users done, users in total)` is called first with 0; a user is done when
/// both modalities are. `fusion` combines the two lists.
template <class B, class T, FusionPolicy Fusion = average_plus_one, class Progress>
evaluation evaluate(B& backend, frozen_t5<B, T> const& model, model_metadata const& metadata, dataset const& data,
                    evaluation_options const& options, Progress&& progress, Fusion const& fusion = {}) {
  constexpr std::size_t shown = 12;
  auto users = evaluated_users(data.interactions);
  users.resize(std::min(users.size(), to_size(std::max<index_t>(0, options.users))));
  auto const n = std::ssize(users);
  auto const started = std::chrono::steady_clock::now();
  progress(0, n);
  item_trie const tries[] = {item_trie(data.table(modality::text)), item_trie(data.table(modality::image))};
  auto const found_text = detail::search_modality(backend, model, metadata, data, tries[0], modality::text, users,
                                                  options, [&](index_t done) { progress(done / 2, n); });
  auto const found_image = detail::search_modality(backend, model, metadata, data, tries[1], modality::image, users,
                                                   options, [&](index_t done) { progress((n + done) / 2, n); });
  metric_accumulator text, image, ensemble, item_text, item_image, item_ensemble;
  evaluation out;
  for (index_t q = 0; q < n; ++q) {
    auto const user = users[to_size(q)];
    auto const right = target(data.interactions, user, options.part);
    ranking const lists[] = {ranking_of(found_text, q, tries[0]), ranking_of(found_image, q, tries[1])};
    ranking const fused = fusion.fuse(lists);
    text.add(detail::sequence_place(lists[0], right, data.table(modality::text)));
    image.add(detail::sequence_place(lists[1], right, data.table(modality::image)));
    ensemble.add(detail::sequence_place(fused, right, data.table(modality::text)));
    item_text.add(expected_place_of(lists[0], right));
    item_image.add(expected_place_of(lists[1], right));
    item_ensemble.add(expected_place_of(fused, right));
    detail::save_user(out.saved_text, found_text, q, tries[0], data.table(modality::text), user, right, metadata.vocab);
    detail::save_user(out.saved_image, found_image, q, tries[1], data.table(modality::image), user, right,
                      metadata.vocab);
    if (out.examples.size() < shown) out.examples.push_back({user, right, lists[0], lists[1], fused});
  }
  double const seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  bool const has_text = tries[0].leaves() > 0, has_image = tries[1].leaves() > 0;
  auto const mean_of = [&](metric_accumulator const& values, bool present) {
    return present && n > 0 ? std::optional(values.mean()) : std::nullopt;
  };
  out.result = {.dataset = data.name,
                .split = name_of(options.part),
                .users = n,
                .beams = options.search.beams,
                .text = mean_of(text, has_text),
                .image = mean_of(image, has_image),
                .ensemble = mean_of(ensemble, true),
                .item_text = mean_of(item_text, has_text),
                .item_image = mean_of(item_image, has_image),
                .item_ensemble = mean_of(item_ensemble, true),
                .seconds = seconds,
                .users_per_second = seconds > 0 ? static_cast<double>(n) / seconds : 0};
  return out;
}

}  // namespace mql4grec

#if !MQL4GREC_COMPILED
#include "mql4grec/pipeline/evaluate.inl.hpp"
#endif
