#pragma once
// The tasks of Section 3.2, Figure 2 of the paper. A task is a value that lists its examples once, as numbers, and
// writes the tokens of one when it is asked to; no sequence is ever stored.
//
// Missing modality: an example whose target has no sequence doesn't exist; items of the history without one are left
// out of the input (the window of the last `max_history` items is taken first), and when none is left neither does the
// example.
#include <algorithm>
#include <concepts>
#include <functional>
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

namespace mql4grec {

/// One data set as the tasks see it: who took what, and each item's sequence in every modality.
struct domain {
  interactions histories;
  std::vector<token_table> tables;  // by modality; all with items() = histories.item_count

  token_table const& table(modality kind) const {
    expects(index(kind) >= 0 && index(kind) < std::ssize(tables), "modality ", index(kind), " of a domain with ",
            tables.size(), " modalities");
    return tables[static_cast<std::size_t>(kind)];
  }
};

/// Where an example comes from: a user's item at a position, or an item by itself (position 0).
struct example_place {
  std::int32_t row;
  std::int32_t position;
  bool operator==(example_place const&) const = default;
};
using example_sink = std::function<void(example_place)>;

/// What a mixture asks of a task. `write` adds one whole sequence pair; the stream is its only source of chance.
template <class T>
concept Task = std::copy_constructible<T> &&
    requires(T const& task, domain const& data, vocabulary const& words, split part, example_sink const& sink,
             example_place place, random_stream& random, batch& out) {
  { task.each_example(data, part, sink) } -> std::same_as<void>;
  { task.write(data, words, place, random, out) } -> std::same_as<void>;
};

/// The tokens that tell a task from the others; none for count 0.
struct prompt_range {
  index_t first = 0;
  index_t count = 0;

  void write(vocabulary const& words, batch& out) const {
    for (index_t i = 0; i < count; ++i) out.add_input(words.prompt(first + i));
  }
  bool operator==(prompt_range const&) const = default;
};

/// A history told in one modality → the next item in the same (symmetric) or in another (asymmetric).
struct next_item {
  modality from = modality::text;
  modality to = modality::text;
  prompt_range prompt = {};
  index_t max_history = default_max_history;
  double history_dropout = 0;  ///< probability that training leaves an item of the history out; one item always stays

  /// Training: every item but the first of each user's training part. Otherwise: the part's one target of each user.
  void each_example(domain const& data, split part, example_sink const& sink) const {
    for (index_t u = 0; u < data.histories.users(); ++u) {
      auto const user = user_id(u);
      bool const training = part == split::train;
      if (!training && !is_evaluated(data.histories, user)) continue;
      auto const first = training ? 1 : target_position(data.histories, user, part);
      auto const last = training ? std::ssize(training_items(data.histories, user)) : first + 1;
      for (index_t p = first; p < last; ++p)
        if (exists(data, user, p)) sink({static_cast<std::int32_t>(u), static_cast<std::int32_t>(p)});
    }
  }

  void write(domain const& data, vocabulary const& words, example_place place, random_stream& random,
             batch& out) const {
    auto const items = data.histories.of(user_id(place.row));
    auto const window = window_before(items, place.position, max_history);
    auto const& told = data.table(from);
    prompt.write(words, out);
    auto const begin = out.inputs.size();
    for (auto const item : window)
      if (history_dropout == 0 || random.uniform() >= history_dropout) out.add_input(told.of(item));
    auto const can_be_told = [&](item_id item) { return told.has(item); };
    if (out.inputs.size() == begin)  // everything was dropped: the newest item that can be told stays
      out.add_input(told.of(*std::find_if(window.rbegin(), window.rend(), can_be_told)));
    out.close_input();
    out.add_target(data.table(to).of(items[static_cast<std::size_t>(place.position)]));
    out.close_target();
  }

  /// The question alone, for searching: the last `max_history` items of any history. Items that are unknown or have no
  /// sequence are left out; an empty history leaves the prompt and </s>.
  void write_query(std::span<item_id const> history, token_table const& table, vocabulary const& words,
                   batch& out) const {
    expects(table.kind() == from, "a history of modality ", index(table.kind()), " for a task that reads modality ",
            index(from));
    prompt.write(words, out);
    for (auto const item : window_before(history, std::ssize(history), max_history)) out.add_input(table.of(item));
    out.close_input();
  }

  /// Whether the target and something of the history before it can be told.
  bool exists(domain const& data, user_id user, index_t position) const {
    auto const items = data.histories.of(user);
    auto const window = window_before(items, position, max_history);
    auto const& told = data.table(from);
    return data.table(to).has(items[static_cast<std::size_t>(position)]) &&
           std::ranges::any_of(window, [&](item_id item) { return told.has(item); });
  }

  bool operator==(next_item const&) const = default;
};

/// An item in one modality → the same item in another. Training only.
struct alignment {
  modality from = modality::text;
  modality to = modality::image;
  prompt_range prompt = {};

  void each_example(domain const& data, split part, example_sink const& sink) const {
    if (part != split::train) return;
    for (auto const item : data.table(from).present())
      if (data.table(to).has(item)) sink({static_cast<std::int32_t>(item), 0});
  }

  void write(domain const& data, vocabulary const& words, example_place place, random_stream&, batch& out) const {
    prompt.write(words, out);
    out.add_input(data.table(from).of(item_id(place.row)));
    out.close_input();
    out.add_target(data.table(to).of(item_id(place.row)));
    out.close_target();
  }

  bool operator==(alignment const&) const = default;
};

/// One of two tasks by a fair coin for each example and epoch, as the released code's FusionSeqRecDataset. Where
/// only one of them exists (a missing modality), it is that one.
struct coin_toss {
  next_item heads;
  next_item tails;

  void each_example(domain const& data, split part, example_sink const& sink) const {
    if (part != split::train) return;
    for (index_t u = 0; u < data.histories.users(); ++u) {
      auto const last = std::ssize(training_items(data.histories, user_id(u)));
      for (index_t p = 1; p < last; ++p)
        if (heads.exists(data, user_id(u), p) || tails.exists(data, user_id(u), p))
          sink({static_cast<std::int32_t>(u), static_cast<std::int32_t>(p)});
    }
  }

  void write(domain const& data, vocabulary const& words, example_place place, random_stream& random,
             batch& out) const {
    bool const up = random.uniform() >= 0.5;
    auto const& chosen = up ? heads : tails;
    auto const& other = up ? tails : heads;
    (chosen.exists(data, user_id(place.row), place.position) ? chosen : other).write(data, words, place, random, out);
  }

  bool operator==(coin_toss const&) const = default;
};

}  // namespace mql4grec
