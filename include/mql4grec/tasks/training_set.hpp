#pragma once
// A mixture over one or several domains as a list of numbered examples. What example i says in epoch e is a function of
// (seed, e, i) alone, so any number of threads, any batch size and a resumed run read the same tokens.
#include <cstdint>
#include <limits>
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

namespace mql4grec {

/// Which task of the mixture, on which domain, from where: 12 bytes instead of the sequences.
struct example {
  std::uint16_t domain;
  std::uint16_t task;
  example_place place;
  bool operator==(example const&) const = default;
};
static_assert(sizeof(example) <= 16);

namespace detail {
/// Streams of one seed that never meet: the purpose in the top byte, then 20 bits of epoch and 36 of example.
inline random_stream example_stream(std::uint64_t seed, std::uint64_t epoch, std::uint64_t number) {
  constexpr std::uint64_t purpose = 0x72;
  return {seed, purpose << 56 | (epoch & 0xfffff) << 36 | (number & 0xfffffffff)};
}
}  // namespace detail

/// What training and validation sets share. Owns its domains, so that it may outlive the reader of the files.
class example_set {
 public:
  index_t size() const { return static_cast<index_t>(examples_.size()); }

  /// Adds the tokens of example i to a batch.
  void write(index_t i, std::uint64_t seed, std::uint64_t epoch, batch& out) const {
    expects(i >= 0 && i < size(), "example ", i, " of ", size());
    auto const& e = examples_[static_cast<std::size_t>(i)];
    auto random = detail::example_stream(seed, epoch, static_cast<std::uint64_t>(i));
    tasks_[e.task].write(domains_[e.domain], words_, e.place, random, out);
  }

  std::span<example const> examples() const { return examples_; }
  std::vector<domain> const& domains() const { return domains_; }
  vocabulary const& words() const { return words_; }

 protected:
  example_set(std::vector<any_task> tasks, std::vector<domain> domains, vocabulary words, split part)
      : tasks_(std::move(tasks)), domains_(std::move(domains)), words_(std::move(words)) {
    constexpr auto limit = std::numeric_limits<std::uint16_t>::max();
    expects(tasks_.size() <= limit && domains_.size() <= limit, "a mixture of ", tasks_.size(), " tasks over ",
            domains_.size(), " domains, expected at most ", limit, " of each");
    for (auto const& data : domains_) check(data);
    for (std::size_t d = 0; d < domains_.size(); ++d)
      for (std::size_t t = 0; t < tasks_.size(); ++t)
        tasks_[t].each_example(domains_[d], part, [&](example_place place) {
          examples_.push_back({static_cast<std::uint16_t>(d), static_cast<std::uint16_t>(t), place});
        });
  }

 private:
  void check(domain const& data) const {
    for (std::size_t m = 0; m < data.tables.size(); ++m) {
      auto const& table = data.tables[m];
      expects(table.kind() == modality(m), "table ", m, " of a domain holds modality ", index(table.kind()));
      expects(table.items() == data.histories.item_count, "the table of modality ", m, " has ", table.items(),
              " items, but the interactions have ", data.histories.item_count);
    }
  }

  std::vector<any_task> tasks_;
  std::vector<domain> domains_;
  vocabulary words_;
  std::vector<example> examples_;
};

class training_set : public example_set {
 public:
  training_set(mixture const& mix, std::vector<domain> domains, vocabulary words)
      : example_set(mix.tasks, std::move(domains), std::move(words), split::train) {}
};

/// Every evaluated user's held-out item, asked for once in each modality.
class validation_set : public example_set {
 public:
  validation_set(mixture const& mix, std::vector<domain> domains, vocabulary words, split part = split::valid)
      : example_set(tasks_of(mix), std::move(domains), std::move(words), part) {}

 private:
  static std::vector<any_task> tasks_of(mixture const& mix) {
    std::vector<any_task> tasks;
    for (auto query : mix.queries) {
      query.history_dropout = 0;  // chance belongs to training
      tasks.emplace_back(query);
    }
    return tasks;
  }
};

}  // namespace mql4grec
