#pragma once
// Fills in the absent language: an item that has tokens in one modality only gets tokens in the other one from the
// model, which has learnt to translate between the languages by the alignment tasks. Histories that contain such items
// can then be written completely. The generated tokens are those of an item that exists, since the search reads valid
// sequences; they say what the item is like, and must not be used to recommend it.
#include <algorithm>
#include <functional>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "mql4grec/language/token_table.hpp"
#include "mql4grec/pipeline/shared_search.hpp"
#include "mql4grec/seq2seq/decoding.hpp"
#include "mql4grec/tasks/model_tasks.hpp"

namespace mql4grec::pipeline {

/// Options of fill_in_language().
struct fill_in_options {
  std::optional<search::item_list> items = {};  ///< only these items are filled in; without a list, all
  search::beam_options search = {.beams = 5};   ///< options of the search; the best sequence counts
  std::function<void(index_t)> progress = {};   ///< receives the number of items done in one modality
  train::host_communicator ranks = {};          ///< share the items out; all call with the same arguments
};

namespace detail {

inline void expect_alignment(tasks::model_tasks const& about) {
  expects(!about.tasks.alignments.empty(),
          "fill in: the model has learnt no alignment task, expected align-text-image or align-image-text among its "
          "tasks");
}

/// The items with a sequence in `from` and none in `to`, in ascending order.
inline std::vector<item_id> items_to_fill(language::token_table const& from, language::token_table const& to,
                                          fill_in_options const& options) {
  std::vector<item_id> items;
  if (options.items)
    items = *options.items;
  else
    items.assign(from.present().begin(), from.present().end());
  std::ranges::sort(items);
  items.erase(std::unique(items.begin(), items.end()), items.end());
  std::erase_if(items, [&](item_id item) { return !from.has(item) || to.has(item); });
  return items;
}

/// A table with the sequences of both; they have no item in common.
inline language::token_table united(language::token_table const& one, language::token_table const& other) {
  std::vector<item_id> items;
  std::ranges::merge(one.present(), other.present(), std::back_inserter(items));
  language::token_table all(one.kind(), one.items(), one.levels());
  for (auto const item : items) all.set(item, one.has(item) ? one.of(item) : other.of(item));
  return all;
}

}  // namespace detail

/// The tokens of all items, and generated ones for those that lack a modality and have another: `tokens` has one table
/// per modality. An item keeps the tokens that it has. For each alignment task of the model, the best sequence of the
/// other modality among those in `tokens` is taken. Throws error if the model has learnt no alignment task, and for
/// invalid options of the search.
template <class B, class T>
[[nodiscard]] std::vector<language::token_table> fill_in_language(B& backend, seq2seq::frozen_t5<B, T> const& model,
                                                                  tasks::model_tasks const& about,
                                                                  std::vector<language::token_table> const& tokens,
                                                                  fill_in_options const& options = {}) {
  detail::expect_alignment(about);
  auto filled = tokens;
  tasks::query_context const context{.tables = tokens, .vocab = about.vocab};
  for (auto const& task : about.tasks.alignments) {
    if (!about.vocab.has(task.from) || !about.vocab.has(task.to)) continue;
    auto const& valid = context.table(task.to);
    auto& out = filled[to_size(task.to)];
    auto const items = detail::items_to_fill(context.table(task.from), out, options);
    search::item_trie const trie(valid);
    if (items.empty() || trie.leaves() == 0) continue;
    auto const mine = detail::own_queries(options.ranks, std::ssize(items), options.search);
    tasks::batch queries;
    for (index_t i = mine.first; i < mine.first + mine.count; ++i) {
      about.begin_query(queries);
      task.write_query(items[to_size(i)], context, queries);
    }
    auto const found = detail::gather(
        options.ranks,
        search::beam_search(backend, model, trie, queries, {.options = options.search, .progress = options.progress}));
    language::token_table generated(task.to, valid.items(), valid.levels());
    for (std::size_t i = 0; i < items.size(); ++i)
      if (auto const leaves = found.leaves_of(static_cast<index_t>(i)); !leaves.empty())
        generated.set(items[i], valid.of(trie.items(leaves.front()).front()));
    out = detail::united(out, generated);
  }
  return filled;
}

}  // namespace mql4grec::pipeline
