#pragma once
// The tasks of the paper (Section 3.2, Figure 2). A task is a value that enumerates its examples as numbers and writes
// the tokens of an example on demand; sequences are never stored.
//
// Missing modalities: an example whose target has no sequence doesn't exist. Items of the history without a sequence
// are omitted from the input, after the window of the last `max_history` items has been selected. An example without
// any remaining item in its history doesn't exist. A model that is trained with modality dropout can read histories in
// mixed languages: there, an item is omitted only if it has no sequence in any modality.
#include <algorithm>
#include <concepts>
#include <functional>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "mql4grec/catalog/interactions.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/ids.hpp"
#include "mql4grec/core/random.hpp"
#include "mql4grec/language/token_table.hpp"
#include "mql4grec/language/vocabulary.hpp"
#include "mql4grec/tasks/batch.hpp"
#include "mql4grec/tasks/dataset.hpp"

namespace mql4grec::tasks {

/// The source of an example: a user and the position of an item in the user's history, or an item alone (position 0).
struct example_place {
  std::int32_t row;       ///< a user, or an item
  std::int32_t position;  ///< of the target in the user's history; 0 for an item alone
  bool operator==(example_place const&) const = default;
};
/// The tokens that a task writes with: those of a dataset's items, and the vocabulary that they belong to.
struct task_context {
  dataset const& data;                ///< interactions and token tables
  language::vocabulary const& vocab;  ///< prompts
};
/// What a query is written with: the tokens of the items, and the vocabulary that they belong to.
struct query_context {
  std::span<language::token_table const> tables;  ///< by modality
  language::vocabulary const& vocab;              ///< prompts

  /// The tokens of a modality. Throws error when there is no table of this modality.
  language::token_table const& table(language::modality kind) const {
    expects(index(kind) >= 0 && index(kind) < std::ssize(tables) && tables[to_size(kind)].kind() == kind,
            "a query reads modality ", index(kind), ", which isn't among the ", tables.size(), " token tables");
    return tables[to_size(kind)];
  }
};
/// The callback that receives examples.
using example_sink = std::function<void(example_place)>;

/// The requirements of a mixture on a task. each_example() calls the sink for every example of a part. write() appends
/// one sequence pair to a batch; its random_stream argument is its only source of randomness.
template <class T>
concept Task = std::copy_constructible<T> &&
    requires(T const& task, dataset const& data, task_context const& context, catalog::split part,
             example_sink const& sink, example_place place, random_stream& random, batch& out) {
  { task.each_example(data, part, sink) } -> std::same_as<void>;
  { task.write(context, place, random, out) } -> std::same_as<void>;
};

/// A task whose examples are ordered by user, then by position, and can be found from any place on. A set of examples
/// of other tasks stores all of them; of these, one of 64. So their sets may have billions of examples.
///
/// - example_from() returns the first example of a part that is at a place or after it, where places are
///   ordered by row, then by position; nothing after the last example.
/// - each_example() calls its sink with the same examples in the same order.
template <class T>
concept OrderedExamples = requires(T const& task, dataset const& data, catalog::split part, example_place from) {
  { task.example_from(data, part, from) } -> std::same_as<std::optional<example_place>>;
};

/// Calls the sink for every example of a task with OrderedExamples.
template <OrderedExamples T>
void each_ordered_example(T const& task, dataset const& data, catalog::split part, example_sink const& sink) {
  for (auto place = task.example_from(data, part, {0, 0}); place;
       place = task.example_from(data, part, {place->row, place->position + 1}))
    sink(*place);
}

namespace detail {

/// The positions first … last − 1 of a user's history that may be the target of an example: in the training part, the
/// training items except the first; in other parts, the target of an evaluated user.
struct target_range {
  index_t first = 0, last = 0;
};
inline target_range targets_of(catalog::interactions const& data, user_id user, catalog::split part) {
  if (part == catalog::split::train) return {1, std::ssize(catalog::training_items(data, user))};
  if (!catalog::has_target(data, user, part)) return {};
  auto const target = catalog::target_position(data, user, part);
  return {target, target + 1};
}

/// The first place from `from` on whose user and position may be an example, and where one exists(user, position).
template <class Exists>
std::optional<example_place> first_example(dataset const& data, catalog::split part, example_place from,
                                           Exists const& exists) {
  index_t least = from.position;
  for (index_t u = from.row; u < data.interactions.users(); ++u, least = 0) {
    auto const range = targets_of(data.interactions, user_id(u), part);
    for (index_t p = std::max(range.first, least); p < range.last; ++p)
      if (exists(user_id(u), p)) return example_place{static_cast<std::int32_t>(u), static_cast<std::int32_t>(p)};
  }
  return std::nullopt;
}

}  // namespace detail

/// The requirements of a mixture on a task that a model is validated, evaluated and served with.
///
/// - `to` is the modality of the target, and of the items that a search for the query recommends.
/// - write_query() appends one input without a target to a batch. The history, oldest item first, may be empty and may
///   contain items that are unknown or have no sequence.
/// - each_example() is that of Task; the place of every example is a user and a position in the user's history. The
///   validation loss is that of the item at this position after the query of all items before it.
///
/// A task may read the history in any number of modalities. If a model is trained on the task too, it is also a Task,
/// and write() writes the same input.
template <class T>
concept QueryTask = std::copy_constructible<T> &&
    requires(T const& task, dataset const& data, catalog::split part, example_sink const& sink,
             std::span<item_id const> history, query_context const& context, batch& out) {
  { task.to } -> std::convertible_to<language::modality>;
  { task.each_example(data, part, sink) } -> std::same_as<void>;
  { task.write_query(history, context, out) } -> std::same_as<void>;
};

/// The prompt tokens that mark a task: prompts first … first + count − 1 of the vocabulary. None when count is 0.
struct prompt_range {
  index_t first = 0;  ///< number of the first prompt token
  index_t count = 0;  ///< number of prompt tokens

  /// Appends the prompt tokens to the open input.
  void write(language::vocabulary const& vocab, batch& out) const {
    for (index_t i = 0; i < count; ++i) out.add_input(vocab.prompt(first + i));
  }
  bool operator==(prompt_range const&) const = default;
};

/// The next item after a history. The input is the history encoded in one modality; the target is the next item in the
/// same modality (symmetric) or in another (asymmetric).
struct next_item {
  /// The modality of the history.
  language::modality from = language::modality::text;
  /// The modality of the next item.
  language::modality to = language::modality::text;
  prompt_range prompt = {};  ///< the prompt tokens before the input
  index_t max_history =
      catalog::default_max_history;  ///< the input contains at most so many items, the most recent ones
  double history_dropout = 0;  ///< probability that write() omits an item of the history; at least one item is kept
  /// Probability that write() treats the sequence of an item of the history as missing. If it is more than 0, an item
  /// whose sequence in `from` is missing is written with its sequence in the first other modality that it has one in,
  /// by write() and by write_query(). An item without another sequence keeps its own.
  double modality_dropout = 0;

  /// In the training part: one example per training item of each user, except the first. In other parts: the target of
  /// each evaluated user. Examples that don't exist (see the top of this file) are skipped.
  void each_example(dataset const& data, catalog::split part, example_sink const& sink) const {
    each_ordered_example(*this, data, part, sink);
  }
  /// See OrderedExamples.
  [[nodiscard]] std::optional<example_place> example_from(dataset const& data, catalog::split part,
                                                          example_place first) const {
    return detail::first_example(data, part, first,
                                 [&](user_id user, index_t position) { return exists(data, user, position); });
  }

  /// Appends the example to the batch.
  void write(task_context const& context, example_place place, random_stream& random, batch& out) const {
    auto const& [data, vocab] = context;
    auto const items = data.interactions.of(user_id(place.row));
    auto const window = catalog::window_before(items, place.position, max_history);
    history_words const words(data.table(from), data.tokens, modality_dropout > 0);
    prompt.write(vocab, out);
    auto const begin = out.inputs.size();
    for (auto const item : window) {
      if (history_dropout > 0 && random.uniform() < history_dropout) continue;
      bool const dropped = modality_dropout > 0 && random.uniform() < modality_dropout;
      out.add_input(dropped ? words.in_another(item) : words.of(item));
    }
    auto const has_tokens = [&](item_id item) { return !words.of(item).empty(); };
    // All items were dropped: keep the most recent one that has a sequence.
    if (out.inputs.size() == begin) out.add_input(words.of(*std::find_if(window.rbegin(), window.rend(), has_tokens)));
    out.close_input();
    out.add_target(data.table(to).of(items[to_size(place.position)]));
    out.close_target();
  }

  /// Appends the input alone, for a search: the last `max_history` items of any history. Items that are unknown or have
  /// no sequence are omitted; for an empty history, the input is the prompt and </s>. Throws error when there is no
  /// table of modality `from`.
  void write_query(std::span<item_id const> history, query_context const& context, batch& out) const {
    history_words const words(context.table(from), context.tables, modality_dropout > 0);
    prompt.write(context.vocab, out);
    for (auto const item : catalog::window_before(history, std::ssize(history), max_history))
      out.add_input(words.of(item));
    out.close_input();
  }

  /// Whether the target and at least one item of the history before it have sequences.
  [[nodiscard]] bool exists(dataset const& data, user_id user, index_t position) const {
    auto const items = data.interactions.of(user);
    auto const window = catalog::window_before(items, position, max_history);
    history_words const words(data.table(from), data.tokens, modality_dropout > 0);
    return data.table(to).has(items[to_size(position)]) &&
           std::ranges::any_of(window, [&](item_id item) { return !words.of(item).empty(); });
  }

  bool operator==(next_item const&) const = default;

 private:
  /// The sequences that histories are written with.
  class history_words {
   public:
    history_words(language::token_table const& own, std::span<language::token_table const> tables, bool mixed)
        : own_(own), tables_(tables), mixed_(mixed) {}

    /// The item's own sequence, otherwise one in another modality if histories may be mixed.
    std::span<token_t const> of(item_id item) const {
      auto const own = own_.of(item);
      return own.empty() && mixed_ ? in_another(item) : own;
    }
    /// The item's sequence in the first other modality that has one, otherwise its own.
    std::span<token_t const> in_another(item_id item) const {
      for (auto const& table : tables_)
        if (table.kind() != own_.kind() && table.has(item)) return table.of(item);
      return own_.of(item);
    }

   private:
    language::token_table const& own_;
    std::span<language::token_table const> tables_;
    bool mixed_;
  };
};

/// The tokens of an item in one modality, predicted from its tokens in another. Exists in the training part only.
struct alignment {
  /// The modality of the input.
  language::modality from = language::modality::text;
  /// The modality of the target.
  language::modality to = language::modality::image;
  prompt_range prompt = {};  ///< the prompt tokens before the input

  /// One example per item that has a sequence in both modalities. With a split by time, only items that somebody has
  /// interacted with before that time: the others aren't known yet.
  void each_example(dataset const& data, catalog::split part, example_sink const& sink) const {
    if (part != catalog::split::train) return;
    auto const known = data.interactions.time ? catalog::interacted_items(data.interactions) : std::vector<item_id>();
    for (auto const item : data.table(from).present())
      if (data.table(to).has(item) && (!data.interactions.time || std::ranges::binary_search(known, item)))
        sink({static_cast<std::int32_t>(item), 0});
  }

  /// Appends the example to the batch.
  void write(task_context const& context, example_place place, random_stream&, batch& out) const {
    auto const& [data, vocab] = context;
    prompt.write(vocab, out);
    out.add_input(data.table(from).of(item_id(place.row)));
    out.close_input();
    out.add_target(data.table(to).of(item_id(place.row)));
    out.close_target();
  }

  /// Appends the input alone, for a search of the item's tokens in `to`. Throws error when there is no table of
  /// modality `from`.
  void write_query(item_id item, query_context const& context, batch& out) const {
    prompt.write(context.vocab, out);
    out.add_input(context.table(from).of(item));
    out.close_input();
  }

  bool operator==(alignment const&) const = default;
};

/// One of two next-item tasks with equal probability, chosen anew for each example and epoch, as FusionSeqRecDataset of
/// the released code. When only one of the two exists because of a missing modality, it is that one.
struct coin_toss {
  next_item heads;  ///< the task in one half of the cases
  next_item tails;  ///< the task in the other half

  /// One example per training item of each user, except the first, for which at least one of the tasks exists. Training
  /// part only.
  void each_example(dataset const& data, catalog::split part, example_sink const& sink) const {
    each_ordered_example(*this, data, part, sink);
  }
  /// See OrderedExamples.
  [[nodiscard]] std::optional<example_place> example_from(dataset const& data, catalog::split part,
                                                          example_place first) const {
    if (part != catalog::split::train) return std::nullopt;
    return detail::first_example(data, part, first, [&](user_id user, index_t position) {
      return heads.exists(data, user, position) || tails.exists(data, user, position);
    });
  }

  /// Appends the example to the batch.
  void write(task_context const& context, example_place place, random_stream& random, batch& out) const {
    bool const up = random.uniform() >= 0.5;
    auto const& chosen = up ? heads : tails;
    auto const& other = up ? tails : heads;
    bool const exists = chosen.exists(context.data, user_id(place.row), place.position);
    (exists ? chosen : other).write(context, place, random, out);
  }

  bool operator==(coin_toss const&) const = default;
};

}  // namespace mql4grec::tasks
