#include "mql4grec/tasks/training_set.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>

#include "catalog/scratch.hpp"
#include "mql4grec/catalog/dataset_paths.hpp"
#include "mql4grec/catalog/packed_interactions.hpp"
#include "mql4grec/catalog/read.hpp"
#include "mql4grec/catalog/split.hpp"
#include "mql4grec/catalog/training_users.hpp"
#include "mql4grec/language/read.hpp"
#include "mql4grec/pipeline/dataset.hpp"
#include "support/data.hpp"

using namespace mql4grec;

namespace {

/// One code per level identifies the item: item i is <a_i><b_i> in text and <A_i> in images.
language::vocabulary const& vocab() {
  static language::vocabulary const small({.modalities = {{"a", {9, 9}}, {"A", {9}}}});
  return small;
}

tasks::dataset small_dataset(std::vector<std::vector<int>> const& users, std::set<int> no_text = {},
                             std::set<int> no_image = {}) {
  tasks::dataset data;
  for (auto const& user : users) {
    std::vector<item_id> items;
    for (auto const i : user) items.push_back(item_id(i));
    data.interactions.add_user(std::to_string(data.interactions.users()), items);
  }
  auto const n = data.interactions.item_count;
  data.tokens = {{language::modality::text, n, 2}, {language::modality::image, n, 1}};
  for (index_t i = 0; i < n; ++i) {
    auto const code = code_t(i);
    auto const word = [&](language::modality m, index_t level) { return vocab().token(m, level, code); };
    if (!no_text.contains(static_cast<int>(i)))
      data.tokens[0].set(item_id(i), std::vector{word(language::modality::text, 0), word(language::modality::text, 1)});
    if (!no_image.contains(static_cast<int>(i)))
      data.tokens[1].set(item_id(i), std::vector{word(language::modality::image, 0)});
  }
  return data;
}

std::string text_of(tasks::batch const& b, index_t i = 0) {
  return vocab().text(b.input(i)) + " → " + vocab().text(b.target(i));
}

/// The texts of all examples of a set, in order.
std::vector<std::string> all_texts(tasks::example_set const& set, std::uint64_t seed = 1, std::uint64_t epoch = 0) {
  std::vector<std::string> lines;
  for (index_t i = 0; i < set.size(); ++i) {
    tasks::batch b;
    set.write(i, seed, epoch, b);
    lines.push_back(text_of(b));
  }
  return lines;
}

}  // namespace

TEST_CASE("training_set: every prefix of the training part predicts its next item, in each of the six tasks") {
  tasks::training_set const set(tasks::all_tasks(), {small_dataset({{0, 1, 2, 3, 4}})},
                                vocab());  // the training items are 0, 1, 2
  auto const lines = all_texts(set);
  std::vector<std::string> const expected = {
      "<*_0><*_1><*_2><a_0><b_0></s> → <a_1><b_1></s>", "<*_0><*_1><*_2><a_0><b_0><a_1><b_1></s> → <a_2><b_2></s>",
      "<*_3><*_4><*_5><A_0></s> → <A_1></s>",           "<*_3><*_4><*_5><A_0><A_1></s> → <A_2></s>",
      "<*_6><*_7><*_8><a_0><b_0></s> → <A_1></s>",      "<*_6><*_7><*_8><a_0><b_0><a_1><b_1></s> → <A_2></s>",
      "<*_9><*_10><*_11><A_0></s> → <a_1><b_1></s>",    "<*_9><*_10><*_11><A_0><A_1></s> → <a_2><b_2></s>"};
  REQUIRE(lines.size() == 8 + 2 * 5);
  for (std::size_t i = 0; i < expected.size(); ++i) CHECK(lines[i] == expected[i]);
  CHECK(lines[8] == "<*_12><*_13><*_14><a_0><b_0></s> → <A_0></s>");
  CHECK(lines[17] == "<*_15><*_16><*_17><A_4></s> → <a_4><b_4></s>");
}

TEST_CASE("training_set: validation and test items are never read, neither as history nor as target") {
  tasks::training_set const set(tasks::next_only(), {small_dataset({{0, 1, 2, 3, 4}, {0, 1, 3, 4}, {2, 3, 4}})},
                                vocab());
  CHECK(set.size() == 2 * (2 + 1 + 0));
  for (auto const& line : all_texts(set))
    for (auto const* held_out : {"_3><b", "<a_4", "<A_3", "<A_4"}) CHECK(!test::has(line, held_out));
}

TEST_CASE("training_set: with a split by time nothing from that time on is read, not even the words of new items") {
  auto data = small_dataset({{0, 1, 2, 3, 4}, {0, 1, 5}, {2, 6}});
  catalog::split_by_time(data.interactions, std::vector<double>{1, 2, 3, 4, 5, 1, 2, 3, 4, 5}, 4);
  tasks::training_set const train(tasks::all_tasks(), {data}, vocab());
  // the first user has two items for training and one for validation, the second one likewise, the third has none
  CHECK(train.size() == 4 * (1 + 1) + 2 * 4);
  for (auto const& line : all_texts(train))
    for (auto const* later : {"_3>", "_4>", "_6>"})
      CHECK_MESSAGE(!test::has(line.substr(line.rfind("<*_")).substr(6), later), line);
  auto const valid = all_texts(tasks::validation_set(tasks::next_only(), {data}, vocab()));
  CHECK(valid == std::vector<std::string>{"<*_0><*_1><*_2><a_0><b_0><a_1><b_1></s> → <a_2><b_2></s>",
                                          "<*_0><*_1><*_2><a_0><b_0><a_1><b_1></s> → <a_5><b_5></s>",
                                          "<*_3><*_4><*_5><A_0><A_1></s> → <A_2></s>",
                                          "<*_3><*_4><*_5><A_0><A_1></s> → <A_5></s>"});
}

TEST_CASE("training_set: the history is truncated to its last items") {
  tasks::training_set const set(tasks::next_only({.max_history = 2}), {small_dataset({{0, 1, 2, 3, 4, 5}})}, vocab());
  CHECK(all_texts(set)[2] == "<*_0><*_1><*_2><a_1><b_1><a_2><b_2></s> → <a_3><b_3></s>");
}

TEST_CASE("training_set: users with two items have an example, users with fewer have none") {
  CHECK(tasks::training_set(tasks::next_only(), {small_dataset({{0, 1}})}, vocab()).size() == 2);
  CHECK(tasks::training_set(tasks::next_only(), {small_dataset({{0}, {}})}, vocab()).size() == 0);
  CHECK(tasks::training_set(tasks::next_only(), {}, vocab()).size() == 0);
}

TEST_CASE("training_set: datasets are concatenated, each with its own items") {
  tasks::training_set const set(tasks::next_only(), {small_dataset({{0, 1, 2, 3}}), small_dataset({{5, 6, 7, 8}})},
                                vocab());
  REQUIRE(set.size() == 4);
  CHECK(all_texts(set)[2] == "<*_0><*_1><*_2><a_5><b_5></s> → <a_6><b_6></s>");
  CHECK(set.origin(2, 0, 0).dataset == 1);
}

TEST_CASE("training_set: items without a modality are omitted from its histories, targets and alignments") {
  tasks::training_set const set(tasks::all_tasks(), {small_dataset({{0, 1, 2, 3, 4}}, {1}, {0})}, vocab());
  std::vector<std::string> const expected = {
      "<*_0><*_1><*_2><a_0><b_0></s> → <a_2><b_2></s>",  // item 1 is neither a target nor in a history
      "<*_3><*_4><*_5><A_1></s> → <A_2></s>",            // the first pair has no history
      "<*_6><*_7><*_8><a_0><b_0></s> → <A_1></s>",       //
      "<*_6><*_7><*_8><a_0><b_0></s> → <A_2></s>",       //
      "<*_9><*_10><*_11><A_1></s> → <a_2><b_2></s>",     //
      "<*_12><*_13><*_14><a_2><b_2></s> → <A_2></s>",    // items 0 and 1 lack a modality
  };
  auto const lines = all_texts(set);
  REQUIRE(lines.size() == 5 + 2 * 3);
  for (std::size_t i = 0; i < expected.size(); ++i) CHECK(lines[i] == expected[i]);
}

TEST_CASE("released_mixture: next-item tasks have no prompt, and the asymmetric task draws its direction at random") {
  tasks::training_set const set(tasks::released_mixture(), {small_dataset({{0, 1, 2, 3}})}, vocab());
  REQUIRE(set.size() == 3 + 2 * 4);
  auto const lines = all_texts(set);
  CHECK(lines[0] == "<a_0><b_0></s> → <a_1><b_1></s>");
  CHECK(lines[1] == "<A_0></s> → <A_1></s>");
  std::map<std::string, int> directions;
  for (std::uint64_t epoch = 0; epoch < 1000; ++epoch) {
    tasks::batch b;
    set.write(2, 7, epoch, b);
    ++directions[text_of(b)];
  }
  CHECK(directions.size() == 2);
  CHECK(std::abs(directions["<*_6><*_7><*_8><a_0><b_0></s> → <A_1></s>"] - 500) < 80);
  CHECK(all_texts(set, 3, 4) == all_texts(set, 3, 4));
}

TEST_CASE("released_mixture: if only one direction exists, it is used") {
  tasks::training_set const set(tasks::released_mixture(), {small_dataset({{0, 1, 2, 3}}, {}, {0})}, vocab());
  for (std::uint64_t epoch = 0; epoch < 20; ++epoch) {
    tasks::batch b;
    set.write(1, 7, epoch, b);  // example 0 is the next-text example; there is no next-image example
    CHECK(text_of(b) == "<*_6><*_7><*_8><a_0><b_0></s> → <A_1></s>");
  }
}

TEST_CASE("training_set: history dropout removes items, never all of them, and never from a query") {
  auto const mix = tasks::next_only({.history_dropout = 0.9});
  tasks::training_set const set(mix, {small_dataset({{0, 1, 2, 3, 4, 5, 6}})}, vocab());
  std::set<std::string> seen;
  for (std::uint64_t epoch = 0; epoch < 200; ++epoch) {
    tasks::batch b;
    set.write(3, 1, epoch, b);
    CHECK(b.input(0).size() > 3 + 1);
    seen.insert(text_of(b));
  }
  CHECK(seen.size() > 4);
  CHECK(seen.contains("<*_0><*_1><*_2><a_3><b_3></s> → <a_4><b_4></s>"));
  tasks::validation_set const queries(mix, {small_dataset({{0, 1, 2, 3}})}, vocab());
  CHECK(all_texts(queries)[0] == "<*_0><*_1><*_2><a_0><b_0><a_1><b_1></s> → <a_2><b_2></s>");
}

TEST_CASE("training_set: modality dropout writes items of the history in their other language, never the target") {
  auto const data = small_dataset({{0, 1, 2, 3, 4, 5, 6}}, {}, {1});
  tasks::training_set const set(tasks::next_only({.modality_dropout = 0.5}), {data}, vocab());
  auto const find = [&](tasks::example_set const& in, std::uint64_t seed) {
    auto const lines = all_texts(in, seed);
    return lines[3];  // the text task's last example: 0 1 2 3 → 4
  };
  std::set<std::string> seen;
  for (std::uint64_t seed = 0; seed < 200; ++seed) seen.insert(find(set, seed));
  CHECK(seen.size() == 8);  // each of 0, 2 and 3 in either language; 1 has one only
  for (auto const& line : seen) {
    CHECK(test::has(line, "<a_1><b_1>"));
    CHECK(line.ends_with("</s> → <a_4><b_4></s>"));
    CHECK(line.starts_with("<*_0><*_1><*_2>"));
  }
  CHECK(seen.contains("<*_0><*_1><*_2><A_0><a_1><b_1><A_2><A_3></s> → <a_4><b_4></s>"));
  CHECK(seen.contains("<*_0><*_1><*_2><a_0><b_0><a_1><b_1><a_2><b_2><a_3><b_3></s> → <a_4><b_4></s>"));
  tasks::training_set const always(tasks::next_only({.modality_dropout = 1}), {data}, vocab());
  CHECK(find(always, 1) == "<*_0><*_1><*_2><A_0><a_1><b_1><A_2><A_3></s> → <a_4><b_4></s>");
  // epochs differ, and an example is a function of seed and epoch
  CHECK(all_texts(set, 1, 0) != all_texts(set, 1, 1));
  CHECK(all_texts(set, 1, 1) == all_texts(set, 1, 1));
}

TEST_CASE("modality dropout: histories whose items lack the language are read in the one that they have") {
  // item 0 has images only, 1 text only, 2 neither, 3 and 4 both
  auto const data = small_dataset({{0, 1, 2, 3, 4, 3, 4}, {0, 3, 4, 3}, {2, 3, 4, 3}}, {0, 2}, {1, 2});
  auto const mixed = tasks::next_only({.modality_dropout = 1e-9});
  auto const plain = tasks::next_only();
  auto const lines = all_texts(tasks::training_set(mixed, {data}, vocab()));
  CHECK(lines == std::vector<std::string>{
                     "<*_0><*_1><*_2><A_0></s> → <a_1><b_1></s>",  // doesn't exist without modality dropout
                     "<*_0><*_1><*_2><A_0><a_1><b_1></s> → <a_3><b_3></s>",
                     "<*_0><*_1><*_2><A_0><a_1><b_1><a_3><b_3></s> → <a_4><b_4></s>",
                     "<*_0><*_1><*_2><A_0></s> → <a_3><b_3></s>",  // likewise; nobody knows item 2 of the third user
                     "<*_3><*_4><*_5><A_0><a_1><b_1></s> → <A_3></s>",
                     "<*_3><*_4><*_5><A_0><a_1><b_1><A_3></s> → <A_4></s>", "<*_3><*_4><*_5><A_0></s> → <A_3></s>"});
  CHECK(all_texts(tasks::training_set(plain, {data}, vocab())).size() == 5);
  auto const query = [&](tasks::mixture const& mix, language::modality kind, std::vector<item_id> const& history) {
    tasks::batch b;
    mix.query(kind).write_query(history, {.tables = data.tokens, .vocab = vocab()}, b);
    return vocab().text(b.input(0));
  };
  std::vector const history = {item_id{0}, item_id{1}, item_id{2}, item_id{99}, item_id{3}};
  CHECK(query(mixed, language::modality::text, history) == "<*_0><*_1><*_2><A_0><a_1><b_1><a_3><b_3></s>");
  CHECK(query(mixed, language::modality::image, history) == "<*_3><*_4><*_5><A_0><a_1><b_1><A_3></s>");
  CHECK(query(plain, language::modality::text, history) == "<*_0><*_1><*_2><a_1><b_1><a_3><b_3></s>");
  CHECK(query(plain, language::modality::text, {item_id{0}, item_id{2}}) == "<*_0><*_1><*_2></s>");
  CHECK(query(mixed, language::modality::text, {item_id{2}}) == "<*_0><*_1><*_2></s>");
}

TEST_CASE("validation_set: each evaluated user has an example of the next text and one of the next image") {
  std::vector<tasks::dataset> const data = {small_dataset({{0, 1, 2, 3}, {4, 5}, {6, 7, 8}})};
  tasks::validation_set const valid(tasks::all_tasks(), data, vocab());
  CHECK(all_texts(valid) == std::vector<std::string>{"<*_0><*_1><*_2><a_0><b_0><a_1><b_1></s> → <a_2><b_2></s>",
                                                     "<*_0><*_1><*_2><a_6><b_6></s> → <a_7><b_7></s>",
                                                     "<*_3><*_4><*_5><A_0><A_1></s> → <A_2></s>",
                                                     "<*_3><*_4><*_5><A_6></s> → <A_7></s>"});
  tasks::validation_set const last(tasks::released_mixture(), data, vocab(), catalog::split::test);
  CHECK(all_texts(last)[0] == "<a_0><b_0><a_1><b_1><a_2><b_2></s> → <a_3><b_3></s>");
}

TEST_CASE("write_query: a query is the input of a validation example without its target") {
  auto const data = small_dataset({{0, 1, 2, 3}}, {1});
  auto const mix = tasks::all_tasks();
  tasks::batch b;
  mix.query(language::modality::text)
      .write_query(catalog::history(data.interactions, user_id{0}, catalog::split::test), {data.tokens, vocab()}, b);
  CHECK(vocab().text(b.input(0)) == "<*_0><*_1><*_2><a_0><b_0><a_2><b_2></s>");
  CHECK(b.targets.empty());
  CHECK_THROWS_AS(mix.query(language::modality::image).write_query({}, {std::span(data.tokens).first(1), vocab()}, b),
                  error);
  CHECK_THROWS_AS(mix.query(language::modality{2}), error);
}

TEST_CASE(
    "write_query: an empty history and unknown items give only the prompt; long histories are truncated to their end") {
  auto const data = small_dataset({{0, 1, 2, 3, 4}});
  auto const query = tasks::next_only({.max_history = 3}).query(language::modality::image);
  tasks::batch b;
  query.write_query({}, {data.tokens, vocab()}, b);
  query.write_query(std::vector{item_id{99}, item_id{-1}}, {data.tokens, vocab()}, b);
  query.write_query(std::vector{item_id{0}, item_id{1}, item_id{2}, item_id{3}}, {data.tokens, vocab()}, b);
  CHECK(vocab().text(b.input(0)) == "<*_3><*_4><*_5></s>");
  CHECK(vocab().text(b.input(1)) == "<*_3><*_4><*_5></s>");
  CHECK(vocab().text(b.input(2)) == "<*_3><*_4><*_5><A_1><A_2><A_3></s>");
}

TEST_CASE("mixture: a task defined outside the library can be used") {
  struct echo {
    void each_example(tasks::dataset const&, catalog::split, tasks::example_sink const& sink) const { sink({5, 0}); }
    void write(tasks::task_context const& context, tasks::example_place place, random_stream&,
               tasks::batch& out) const {
      auto const& v = context.vocab;
      auto const word = v.token(language::modality::text, 0, code_t(place.row));
      out.append(std::span(&word, 1), std::span(&word, 1));
    }
  };
  auto mix = tasks::next_only();
  mix.tasks = {echo{}};
  CHECK(all_texts(tasks::training_set(mix, {small_dataset({})}, vocab())) ==
        std::vector<std::string>{"<a_5></s> → <a_5></s>"});
  static_assert(tasks::Task<echo> && !tasks::Task<int>);
}

TEST_CASE("training users: only they have examples of training and validation; alignments are those of all items") {
  auto data = small_dataset({{0, 1, 2, 3}, {4, 5, 6, 7}, {7, 3, 1, 8}});
  catalog::keep_training_users(data.interactions, catalog::first_users{1});
  tasks::training_set const next(tasks::next_only(), {data}, vocab());
  CHECK(next.size() == 2);
  for (index_t i = 0; i < next.size(); ++i) CHECK(next.origin(i, 0, 0).place.row == 0);
  tasks::validation_set const valid(tasks::all_tasks(), {data}, vocab());
  CHECK(valid.size() == 2);
  for (index_t i = 0; i < valid.size(); ++i) CHECK(valid.origin(i, 0, 0).place.row == 0);
  CHECK(tasks::training_set(tasks::all_tasks(), {data}, vocab()).size() == 4 + 2 * 9);
  tasks::training_set const released(tasks::released_mixture(), {data}, vocab());
  CHECK(released.size() == 3 + 2 * 9);
}

TEST_CASE("validation_set: a query defined outside the library, which reads two modalities, is validated as it asks") {
  struct both_modalities {
    language::modality to = language::modality::image;
    void each_example(tasks::dataset const& data, catalog::split part, tasks::example_sink const& sink) const {
      tasks::next_item{}.each_example(data, part, sink);
    }
    void write_query(std::span<item_id const> history, tasks::query_context const& context, tasks::batch& out) const {
      for (auto const kind : {language::modality::text, language::modality::image})
        for (auto const item : history) out.add_input(context.table(kind).of(item));
      out.close_input();
    }
  };
  auto mix = tasks::next_only();
  mix.queries = {both_modalities{}};
  CHECK(mix.query(language::modality::text).to() == language::modality::image);
  CHECK(all_texts(tasks::validation_set(mix, {small_dataset({{0, 1, 2, 3}, {4, 5}})}, vocab())) ==
        std::vector<std::string>{"<a_0><b_0><a_1><b_1><A_0><A_1></s> → <A_2></s>"});
  static_assert(tasks::QueryTask<both_modalities> && !tasks::Task<both_modalities>);
  static_assert(tasks::QueryTask<tasks::next_item> && tasks::Task<tasks::next_item>);
  static_assert(!tasks::QueryTask<tasks::alignment> && !tasks::QueryTask<tasks::coin_toss>);
}

TEST_CASE("training_set: tables that don't belong to the interactions are refused") {
  auto data = small_dataset({{0, 1, 2, 3}});
  data.tokens[1] = language::token_table(language::modality::image, 2, 1);
  CHECK_THROWS_AS(tasks::training_set(tasks::next_only(), {data}, vocab()), error);
  data.tokens.pop_back();
  CHECK_THROWS_AS(tasks::training_set(tasks::next_only(), {data}, vocab()), error);
  std::swap(data.tokens[0], data.tokens.emplace_back(language::modality::image, 4, 1));
  CHECK_THROWS_AS(tasks::training_set(tasks::next_only(), {data}, vocab()), error);
  tasks::batch out;
  CHECK_THROWS_AS(tasks::training_set(tasks::next_only(), {}, vocab()).write(0, 1, 1, out), error);
}

TEST_CASE("Instruments gives 352,060 examples of all tasks and 267,170 of the released mixture") {
  auto const directory = test::real_dataset("Instruments");
  if (!directory) return;
  catalog::dataset_paths const paths(*directory);
  language::vocabulary const paper;
  tasks::dataset data{catalog::read_interactions(paths.interactions()), {}};
  auto const n = data.interactions.item_count;
  data.tokens.push_back(language::read_token_table(pipeline::index_path(paths, language::modality::text), paper,
                                                   language::modality::text, n));
  data.tokens.push_back(language::read_token_table(pipeline::index_path(paths, language::modality::image), paper,
                                                   language::modality::image, n));
  CHECK(tasks::training_set(tasks::next_only(), {data}, paper).size() == 2 * 84890);
  CHECK(tasks::training_set(tasks::all_tasks(), {data}, paper).size() == 352060);
  CHECK(tasks::training_set(tasks::released_mixture(), {data}, paper).size() == 267170);
  CHECK(tasks::validation_set(tasks::all_tasks(), {data}, paper).size() == 2 * 17112);
}

namespace {

/// A task whose examples are found one after another only, so that sets store them all.
struct stored_next : tasks::next_item {
  std::optional<tasks::example_place> example_from() const = delete;
};
static_assert(tasks::OrderedExamples<tasks::next_item> && tasks::OrderedExamples<tasks::coin_toss>);
static_assert(tasks::Task<stored_next> && !tasks::OrderedExamples<stored_next> &&
              !tasks::OrderedExamples<tasks::alignment>);

/// Many users with histories of very different lengths, some items without text or without an image.
tasks::dataset many_users() {
  random_stream random(3, 1);
  std::vector<std::vector<int>> users;
  for (int u = 0; u < 400; ++u) {
    users.emplace_back();
    for (auto n = u == 200 ? 500 : random.below(7); n > 0; --n)
      users.back().push_back(static_cast<int>(random.below(9)));
  }
  return small_dataset(users, {1, 5}, {0, 5});
}

}  // namespace

TEST_CASE("training_set: examples that are found again are those that are stored, in any order of reading") {
  auto by_time = many_users();
  std::vector<double> times(by_time.interactions.items.size());
  for (std::size_t i = 0; i < times.size(); ++i) times[i] = static_cast<double>(i);
  for (std::size_t u = 0; u < 400; ++u)  // every user's times begin at 0
    for (auto i = by_time.interactions.offsets[u + 1] - 1; i >= by_time.interactions.offsets[u]; --i)
      times[to_size(i)] -= times[to_size(by_time.interactions.offsets[u])];
  catalog::split_by_time(by_time.interactions, times, 3);
  auto some_users = many_users();
  catalog::keep_training_users(some_users.interactions, catalog::random_users{.share = 0.3, .seed = 1});
  for (auto const& data : {many_users(), by_time, some_users})
    for (double const mixed : {0.0, 0.5}) {
      auto const ordered = tasks::all_tasks({.max_history = 3, .modality_dropout = mixed});
      auto stored = ordered;
      for (std::size_t t = 0; t < 4; ++t)
        stored.tasks[t] = stored_next{{.from = language::modality(t == 1 || t == 3),
                                       .to = language::modality(t == 1 || t == 2),
                                       .prompt = {3 * static_cast<index_t>(t), 3},
                                       .max_history = 3,
                                       .modality_dropout = mixed}};
      for (std::size_t q = 0; q < 2; ++q)
        stored.validated.emplace_back(stored_next{{.from = language::modality(q),
                                                   .to = language::modality(q),
                                                   .prompt = {3 * static_cast<index_t>(q), 3},
                                                   .max_history = 3,
                                                   .modality_dropout = mixed}});
      tasks::training_set const once(ordered, {data, data}, vocab()), again(stored, {data, data}, vocab());
      CHECK(once.size() > 1000);
      CHECK(std::ranges::equal(once.groups(), again.groups()));
      CHECK(all_texts(once, 5, 2) == all_texts(again, 5, 2));
      for (index_t i = once.size() - 1; i >= 0; i -= 7) CHECK(once.origin(i, 0, 0) == again.origin(i, 0, 0));
      CHECK(all_texts(tasks::validation_set(ordered, {data}, vocab())) ==
            all_texts(tasks::validation_set(stored, {data}, vocab())));
    }
  tasks::training_set const released(tasks::released_mixture(), {many_users()}, vocab());
  index_t count = 0;
  tasks::coin_toss const toss{{.from = language::modality::text, .to = language::modality::image},
                              {.from = language::modality::image, .to = language::modality::text}};
  toss.each_example(many_users(), catalog::split::train, [&](tasks::example_place place) {
    CHECK(released.origin(released.groups()[2].first + count++, 0, 0).place == place);
  });
  CHECK(released.groups()[2].count == count);
}

TEST_CASE("training_set: the examples of packed interactions are those of the same interactions in memory") {
  test::scratch const here;
  auto const data = many_users();
  {
    catalog::packed_writer to(here / "f");
    for (index_t u = 0; u < data.interactions.users(); ++u)
      to.add_user(data.interactions.user_keys[to_size(u)], data.interactions.of(user_id(u)));
    to.commit();
  }
  auto mapped = data;
  mapped.interactions = catalog::read_packed_interactions(here / "f").data;
  CHECK(mapped.interactions.items.is_mapped());
  for (auto const& mix : {tasks::all_tasks(), tasks::released_mixture()})
    CHECK(all_texts(tasks::training_set(mix, {data}, vocab()), 9, 4) ==
          all_texts(tasks::training_set(mix, {mapped}, vocab()), 9, 4));
}
