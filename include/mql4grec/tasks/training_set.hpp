#pragma once
// The examples of a mixture over one or several datasets, as a numbered list. The tokens of example i in epoch e are a
// function of (seed, e, i) alone. So the number of threads, the batch size and resuming a run don't change them.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/ids.hpp"
#include "mql4grec/core/random.hpp"
#include "mql4grec/language/vocabulary.hpp"
#include "mql4grec/tasks/batch.hpp"
#include "mql4grec/tasks/mixture.hpp"
#include "mql4grec/tasks/task.hpp"

namespace mql4grec::tasks {

/// A task of the mixture, a dataset, and the source of the example in it. Its sequences are not stored.
struct example {
  std::uint16_t dataset;  ///< index of the dataset
  std::uint16_t task;     ///< index of the task in the mixture
  example_place place;    ///< the example's source in the dataset
  bool operator==(example const&) const = default;
};

/// The examples of one task in one dataset, which have consecutive numbers.
struct example_group {
  std::uint16_t dataset;  ///< index of the dataset
  std::uint16_t task;     ///< index of the task in the mixture
  index_t first;          ///< number of the first example
  index_t count;          ///< how many there are; may be 0
  bool operator==(example_group const&) const = default;
};

namespace detail {
/// The random numbers of an example. Streams of one seed never overlap: the top byte is the purpose, then follow 20
/// bits of the epoch and 36 bits of the example's number.
inline random_stream example_stream(std::uint64_t seed, std::uint64_t epoch, std::uint64_t number) {
  constexpr std::uint64_t purpose = 0x72;
  return {seed, purpose << 56 | (epoch & 0xfffff) << 36 | (number & 0xfffffffff)};
}
}  // namespace detail

namespace detail {
/// The examples of a query for the validation loss: the query after the items before the target, then the target.
struct validated_query {
  any_query_task query;

  void each_example(dataset const& data, catalog::split part, example_sink const& sink) const {
    query.each_example(data, part, [&](example_place place) {
      if (catalog::is_training_user(data.interactions, user_id(place.row))) sink(place);
    });
  }
  bool has_ordered_examples() const { return query.has_ordered_examples(); }
  std::optional<example_place> example_from(dataset const& data, catalog::split part, example_place from) const {
    auto place = query.example_from(data, part, from);
    while (place && !catalog::is_training_user(data.interactions, user_id(place->row)))
      place = query.example_from(data, part, {place->row + 1, 0});
    return place;
  }
  void write(task_context const& context, example_place place, random_stream&, batch& out) const {
    auto const& data = context.data;
    auto const items = data.interactions.of(user_id(place.row));
    auto const target = to_size(place.position);
    query.write_query(items.first(target), {.tables = data.tokens, .vocab = context.vocab}, out);
    out.add_target(data.table(query.to()).of(items[target]));
    out.close_target();
  }
};
}  // namespace detail

/// The common base of training and validation sets. Owns its datasets, the tasks and the vocabulary. Const member
/// functions may be called from several threads at once.
///
/// Memory: an eighth of a byte for each example of a task with OrderedExamples, but 8 bytes if it has fewer examples
/// than an eighth of the users, which would be far from one another; and 8 bytes for each example of another task.
class example_set {
 public:
  /// The number of examples.
  index_t size() const { return groups_.empty() ? 0 : groups_.back().first + groups_.back().count; }

  /// Appends the tokens of example i to a batch. Throws error when i is out of range.
  void write(index_t i, std::uint64_t seed, std::uint64_t epoch, batch& out) const {
    auto random = detail::example_stream(seed, epoch, static_cast<std::uint64_t>(i));
    write(i, random, out);
  }
  /// The same, with the random choices of a given stream.
  void write(index_t i, random_stream& random, batch& out) const {
    auto const e = origin(i, 0, 0);
    auto const& data = datasets_[e.dataset];
    if (data.prefix) out.add_input(*data.prefix);
    tasks_[e.task].write({.data = data, .vocab = vocab_}, e.place, random, out);
  }

  /// The task and the dataset of example i in an epoch. Throws error when i is out of range.
  example origin(index_t i, std::uint64_t, std::uint64_t) const {
    expects(i >= 0 && i < size(), "example ", i, " of ", size());
    auto const after = std::ranges::upper_bound(groups_, i, {}, &example_group::first);
    auto const which = to_size(after - groups_.begin()) - 1;  // the last one that begins at i or before: not empty
    auto const& group = groups_[which];
    return {group.dataset, group.task, place_in(which, i - group.first)};
  }
  /// The examples by dataset, then by task: a group for each of both, in the order of the examples.
  std::span<example_group const> groups() const { return groups_; }
  /// The datasets.
  std::vector<dataset> const& datasets() const { return datasets_; }

 protected:
  /// Finds the examples of the tasks. Throws error for a table that doesn't fit its dataset.
  example_set(std::vector<any_task> tasks, std::vector<dataset> datasets, language::vocabulary vocab,
              catalog::split part)
      : tasks_(std::move(tasks)), datasets_(std::move(datasets)), vocab_(std::move(vocab)), part_(part) {
    constexpr auto limit = std::numeric_limits<std::uint16_t>::max();
    expects(tasks_.size() <= limit && datasets_.size() <= limit, "a mixture of ", tasks_.size(), " tasks over ",
            datasets_.size(), " datasets, expected at most ", limit, " of each");
    for (auto const& data : datasets_) check(data);
    for (std::size_t d = 0; d < datasets_.size(); ++d)
      for (std::size_t t = 0; t < tasks_.size(); ++t) find_examples(d, t);
  }

 private:
  static constexpr index_t stride = 64;  // of the stored places of ordered examples

  void find_examples(std::size_t d, std::size_t t) {
    auto const& task = tasks_[t];
    auto const few = std::max(stride, datasets_[d].interactions.users() / 8);
    index_t const first = size();
    index_t count = 0;
    auto& places = places_.emplace_back();
    auto& every = strides_.emplace_back(1);
    task.each_example(datasets_[d], part_, [&](example_place place) {
      if (count++ % every == 0) places.push_back(place);
      if (every > 1 || count <= few || !task.has_ordered_examples()) return;
      every = stride;
      for (index_t i = 0; i * stride < count; ++i) places[to_size(i)] = places[to_size(i * stride)];
      places.resize(to_size((count + stride - 1) / stride));
    });
    groups_.push_back({static_cast<std::uint16_t>(d), static_cast<std::uint16_t>(t), first, count});
  }
  example_place place_in(std::size_t which, index_t number) const {
    auto const& task = tasks_[groups_[which].task];
    auto const every = strides_[which];
    auto place = places_[which][to_size(number / every)];
    for (index_t i = number % every; i > 0; --i) {
      auto const next = task.example_from(datasets_[groups_[which].dataset], part_, {place.row, place.position + 1});
      expects(next.has_value(), "example ", number,
              " of a task isn't found again: its example_from() and each_example() "
              "differ");
      place = *next;
    }
    return place;
  }
  void check(dataset const& data) const {
    for (std::size_t m = 0; m < data.tokens.size(); ++m) {
      auto const& table = data.tokens[m];
      expects(table.kind() == language::modality(m), "table ", m, " of a dataset contains modality ",
              index(table.kind()));
      expects(table.items() == data.interactions.item_count, "the table of modality ", m, " has ", table.items(),
              " items, but the interactions have ", data.interactions.item_count);
    }
  }

  std::vector<any_task> tasks_;
  std::vector<dataset> datasets_;
  language::vocabulary vocab_;
  catalog::split part_;
  std::vector<example_group> groups_;
  std::vector<std::vector<example_place>> places_;  // of each group: of every example whose number strides_ divides
  std::vector<index_t> strides_;                    // of each group: 1 or stride
};

/// All training examples of a mixture's tasks. The constructor throws error when a token table doesn't have the
/// dataset's number of items or isn't at the index of its modality.
class training_set : public example_set {
 public:
  /// Finds the examples of all tasks of `mix` in all datasets.
  training_set(mixture const& mix, std::vector<dataset> datasets, language::vocabulary vocab)
      : example_set(mix.tasks, std::move(datasets), std::move(vocab), catalog::split::train) {}
};

/// The target of every evaluated user after the query of the history, once per validated task of the mixture. Users
/// that models aren't trained on are left out: who has few users has few to choose a model by. The constructor throws
/// error under the same conditions as training_set.
class validation_set : public example_set {
 public:
  /// Finds the examples of `part` in all datasets.
  validation_set(mixture const& mix, std::vector<dataset> datasets, language::vocabulary vocab,
                 catalog::split part = catalog::split::valid)
      : example_set(tasks_of(mix), std::move(datasets), std::move(vocab), part) {}

 private:
  static std::vector<any_task> tasks_of(mixture const& mix) {
    std::vector<any_task> tasks;
    for (auto const& query : mix.validated.empty() ? mix.queries : mix.validated)
      tasks.emplace_back(detail::validated_query{query});
    return tasks;
  }
};

}  // namespace mql4grec::tasks
