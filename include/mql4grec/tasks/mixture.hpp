#pragma once
// Mixtures: the tasks that a model is trained on, and the queries it is evaluated with.
#include <concepts>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/tasks/task.hpp"

namespace mql4grec::tasks {

namespace detail {

/// Whether a task has OrderedExamples; one that wraps another task decides at run time.
template <class T>
bool has_ordered_examples(T const& task) {
  if constexpr (requires {
                  { task.has_ordered_examples() } -> std::same_as<bool>;
                })
    return task.has_ordered_examples();
  else
    return OrderedExamples<T>;
}
/// example_from() of a task that has it.
template <class T>
std::optional<example_place> example_from(T const& task, dataset const& data, catalog::split part, example_place from) {
  if constexpr (OrderedExamples<T>)
    return task.example_from(data, part, from);
  else
    raise("this task finds its examples only one after another");
}

}  // namespace detail

/// A Task of any type. With it, a mixture can be chosen at run time and contain tasks that the library doesn't define.
/// Copies share the task.
class any_task {
 public:
  /// Implicit, so that a task can be used wherever an any_task is expected.
  template <class T>
    requires(!std::same_as<std::remove_cvref_t<T>, any_task>)
  any_task(T task) : task_(std::make_shared<model<T>>(std::move(task))) {  // NOLINT
    static_assert(Task<T>,
                  "a task has each_example(dataset, split, sink) and write(task_context, place, random, batch); see "
                  "tasks/task.hpp");
  }

  /// See Task.
  void each_example(dataset const& data, catalog::split part, example_sink const& sink) const {
    task_->each_example(data, part, sink);
  }
  /// Whether the task has OrderedExamples.
  bool has_ordered_examples() const { return task_->has_ordered_examples(); }
  /// See OrderedExamples. Throws error when the task doesn't have them.
  std::optional<example_place> example_from(dataset const& data, catalog::split part, example_place from) const {
    return task_->example_from(data, part, from);
  }
  /// See Task.
  void write(task_context const& context, example_place place, random_stream& random, batch& out) const {
    task_->write(context, place, random, out);
  }

 private:
  struct interface {
    virtual ~interface() = default;
    virtual void each_example(dataset const&, catalog::split, example_sink const&) const = 0;
    virtual bool has_ordered_examples() const = 0;
    virtual std::optional<example_place> example_from(dataset const&, catalog::split, example_place) const = 0;
    virtual void write(task_context const&, example_place, random_stream&, batch&) const = 0;
  };
  template <class T>
  struct model final : interface {
    explicit model(T t) : task(std::move(t)) {}
    void each_example(dataset const& data, catalog::split part, example_sink const& sink) const override {
      task.each_example(data, part, sink);
    }
    bool has_ordered_examples() const override { return detail::has_ordered_examples(task); }
    std::optional<example_place> example_from(dataset const& data, catalog::split part,
                                              example_place from) const override {
      return detail::example_from(task, data, part, from);
    }
    void write(task_context const& context, example_place place, random_stream& random, batch& out) const override {
      task.write(context, place, random, out);
    }
    T task;
  };
  std::shared_ptr<interface const> task_;  // immutable, so copies may share it
};

/// A QueryTask of any type. Copies share the task.
class any_query_task {
 public:
  /// Implicit, so that a task can be used wherever an any_query_task is expected.
  template <class T>
    requires(!std::same_as<std::remove_cvref_t<T>, any_query_task>)
  any_query_task(T task) : task_(std::make_shared<model<T>>(std::move(task))) {  // NOLINT
    static_assert(QueryTask<T>,
                  "a task of queries has the modality `to`, each_example(dataset, split, sink) and "
                  "write_query(history, query_context, batch); see tasks/task.hpp");
  }

  /// The modality of the items that the query recommends.
  language::modality to() const { return task_->to(); }
  /// See QueryTask.
  void each_example(dataset const& data, catalog::split part, example_sink const& sink) const {
    task_->each_example(data, part, sink);
  }
  /// Whether the task has OrderedExamples.
  bool has_ordered_examples() const { return task_->has_ordered_examples(); }
  /// See OrderedExamples. Throws error when the task doesn't have them.
  std::optional<example_place> example_from(dataset const& data, catalog::split part, example_place from) const {
    return task_->example_from(data, part, from);
  }
  /// See QueryTask.
  void write_query(std::span<item_id const> history, query_context const& context, batch& out) const {
    task_->write_query(history, context, out);
  }

 private:
  struct interface {
    virtual ~interface() = default;
    virtual language::modality to() const = 0;
    virtual void each_example(dataset const&, catalog::split, example_sink const&) const = 0;
    virtual bool has_ordered_examples() const = 0;
    virtual std::optional<example_place> example_from(dataset const&, catalog::split, example_place) const = 0;
    virtual void write_query(std::span<item_id const>, query_context const&, batch&) const = 0;
  };
  template <class T>
  struct model final : interface {
    explicit model(T t) : task(std::move(t)) {}
    language::modality to() const override { return task.to; }
    void each_example(dataset const& data, catalog::split part, example_sink const& sink) const override {
      task.each_example(data, part, sink);
    }
    bool has_ordered_examples() const override { return detail::has_ordered_examples(task); }
    std::optional<example_place> example_from(dataset const& data, catalog::split part,
                                              example_place from) const override {
      return detail::example_from(task, data, part, from);
    }
    void write_query(std::span<item_id const> history, query_context const& context, batch& out) const override {
      task.write_query(history, context, out);
    }
    T task;
  };
  std::shared_ptr<interface const> task_;  // immutable, so copies may share it
};

/// The tasks of training and the queries of evaluation.
struct mixture {
  std::vector<any_task> tasks;                 ///< every epoch contains the examples of all of them
  std::vector<any_query_task> queries;         ///< by modality: the task that recommends in this modality
  std::vector<any_query_task> validated = {};  ///< the tasks of the validation loss; empty: the queries
  std::vector<alignment> alignments = {};      ///< those of `tasks` that are alignment tasks

  /// The query of a modality. Throws error when the mixture has none.
  any_query_task const& query(language::modality kind) const {
    expects(index(kind) >= 0 && index(kind) < std::ssize(queries), "modality ", index(kind),
            " of a mixture with queries of ", queries.size());
    return queries[static_cast<std::size_t>(kind)];
  }
};

/// Options of the next-item tasks of a mixture.
struct mixture_options {
  index_t max_history = catalog::default_max_history;  ///< see next_item
  double history_dropout = 0;                          ///< see next_item
  double modality_dropout = 0;                         ///< see next_item
};

namespace detail {
inline next_item next_with(language::modality from, language::modality to, prompt_range prompt,
                           mixture_options options) {
  return {.from = from,
          .to = to,
          .prompt = prompt,
          .max_history = options.max_history,
          .history_dropout = options.history_dropout,
          .modality_dropout = options.modality_dropout};
}
inline std::vector<alignment> paper_alignments() {
  return {{language::modality::text, language::modality::image, {12, 3}},
          {language::modality::image, language::modality::text, {15, 3}}};
}
}  // namespace detail

/// The two symmetric next-item tasks, as in the paper's pre-training.
[[nodiscard]] inline mixture next_only(mixture_options options = {}) {
  auto const text = detail::next_with(language::modality::text, language::modality::text, {0, 3}, options);
  auto const image = detail::next_with(language::modality::image, language::modality::image, {3, 3}, options);
  return {.tasks = {text, image}, .queries = {text, image}};
}

/// All six tasks, as in the paper's fine-tuning, each with three prompt tokens of its own.
[[nodiscard]] inline mixture all_tasks(mixture_options options = {}) {
  auto mix = next_only(options);
  mix.tasks.push_back(detail::next_with(language::modality::text, language::modality::image, {6, 3}, options));
  mix.tasks.push_back(detail::next_with(language::modality::image, language::modality::text, {9, 3}, options));
  mix.alignments = detail::paper_alignments();
  mix.tasks.insert(mix.tasks.end(), mix.alignments.begin(), mix.alignments.end());
  return mix;
}

/// Some of the six tasks of all_tasks, with the same prompts. `names` contains any of next-text, next-image,
/// text-to-image, image-to-text, align-text-image and align-image-text; a name that occurs twice counts twice. The
/// validation loss is that of the listed next-text and next-image, or of both when the list has neither. Throws error
/// for an unknown name and for an empty list.
[[nodiscard]] mixture listed_tasks(std::vector<std::string> const& names, mixture_options options = {});

/// The mixture of the authors' released code: next-item tasks without a prompt, and one asymmetric task that chooses
/// its direction at random, with one prompt for both directions.
[[nodiscard]] inline mixture released_mixture(mixture_options options = {}) {
  auto const text = detail::next_with(language::modality::text, language::modality::text, {}, options);
  auto const image = detail::next_with(language::modality::image, language::modality::image, {}, options);
  auto const to_image = detail::next_with(language::modality::text, language::modality::image, {6, 3}, options);
  auto const to_text = detail::next_with(language::modality::image, language::modality::text, {6, 3}, options);
  mixture mix{.tasks = {text, image, coin_toss{to_image, to_text}},
              .queries = {text, image},
              .alignments = detail::paper_alignments()};
  mix.tasks.insert(mix.tasks.end(), mix.alignments.begin(), mix.alignments.end());
  return mix;
}

/// The pre-training of the released code: the two symmetric next-item tasks without a prompt.
[[nodiscard]] inline mixture released_next_only(mixture_options options = {}) {
  auto mix = released_mixture(options);
  mix.tasks.erase(mix.tasks.begin() + std::ssize(mix.queries), mix.tasks.end());  // the first tasks are the queries
  mix.alignments.clear();
  return mix;
}

}  // namespace mql4grec::tasks

#if !MQL4GREC_COMPILED
#include "mql4grec/tasks/mixture.inl.hpp"
#endif
