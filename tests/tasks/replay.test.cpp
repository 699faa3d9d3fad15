#include "mql4grec/tasks/replay.hpp"

#include <doctest/doctest.h>

#include <map>
#include <string>

using namespace mql4grec;

namespace {

language::vocabulary const& vocab() {
  static language::vocabulary const small({.modalities = {{"a", {9}}, {"A", {9}}}});
  return small;
}

/// Users whose items are first … first + 3.
tasks::dataset users_of(index_t users, index_t first) {
  tasks::dataset data;
  for (index_t u = 0; u < users; ++u)
    data.interactions.add_user(std::to_string(u),
                               std::vector{item_id(first), item_id(first + 1), item_id(first + 2), item_id(first + 3)});
  data.interactions.item_count = 9;
  for (auto kind : {language::modality::text, language::modality::image}) {
    auto& table = data.tokens.emplace_back(kind, 9, 1);
    for (index_t i = 0; i < 9; ++i) table.set(item_id(i), std::vector{vocab().token(kind, 0, code_t(i))});
  }
  return data;
}

std::string text_of(tasks::replayed_set const& set, index_t i, std::uint64_t epoch, std::uint64_t seed = 1) {
  tasks::batch b;
  set.write(i, seed, epoch, b);
  return vocab().text(b.input(0)) + "->" + vocab().text(b.target(0));
}

}  // namespace

TEST_CASE("replay: all examples of the target, then random ones of the source, another choice in every epoch") {
  auto const mix = tasks::next_only();
  tasks::training_set const target(mix, {users_of(10, 0)}, vocab());
  tasks::training_set const source(mix, {users_of(3, 4), users_of(1, 5)}, vocab());
  tasks::replayed_set const both(target, source, 0.25);
  REQUIRE(target.size() == 20);
  REQUIRE(both.replayed() == 5);
  CHECK(both.size() == 25);
  CHECK(text_of(both, 3, 0) == "<*_0><*_1><*_2><a_0></s>-><a_1></s>");
  std::map<std::string, int> drawn;
  for (std::uint64_t epoch = 0; epoch < 400; ++epoch)
    for (index_t i = 20; i < 25; ++i) ++drawn[text_of(both, i, epoch)];
  CHECK(drawn.size() == 4);                  // a text and an image example of items 4, 5 and of items 5, 6
  for (auto const& [text, times] : drawn) {  // of 2000, three quarters are of the larger dataset
    bool const larger = text.find("<a_4>") != text.npos || text.find("<A_4>") != text.npos;
    CHECK(times > (larger ? 650 : 200));
    CHECK(times < (larger ? 850 : 300));
  }
  std::string first, again, later, other_seed;
  for (index_t i = 20; i < 25; ++i) {
    first += text_of(both, i, 7);
    later += text_of(both, i, 8);
    other_seed += text_of(both, i, 7, 2);
    again += text_of(tasks::replayed_set(target, source, 0.25), i, 7);
  }
  CHECK(first == again);
  for (index_t i = 0; i < 25; ++i) {  // origin() names the dataset and the task that write() writes
    auto const from = both.origin(i, 1, 7);
    auto const text = text_of(both, i, 7);
    bool const larger = text.find("<a_4>") != text.npos || text.find("<A_4>") != text.npos;
    CHECK(from.dataset == (i < 20 ? 0 : larger ? 1 : 2));
    CHECK(from.task == (text.starts_with("<*_0>") ? 0 : 1));
  }
  CHECK(first != later);
  CHECK(first != other_seed);
  tasks::batch b;
  CHECK_THROWS_AS(both.write(25, 1, 0, b), error);
  CHECK_THROWS_AS(both.write(-1, 1, 0, b), error);
}

TEST_CASE("replay: without a share the source isn't needed; a share needs examples") {
  auto const mix = tasks::next_only();
  tasks::training_set const target(mix, {users_of(10, 0)}, vocab());
  tasks::training_set const none(mix, {}, vocab());
  CHECK(tasks::replayed_set(target, none, 0).size() == target.size());
  CHECK(tasks::replayed_set(target, target, 1.5).size() == 50);
  CHECK_THROWS_AS(tasks::replayed_set(target, none, 0.1), error);
  CHECK_THROWS_AS(tasks::replayed_set(target, target, -0.1), error);
}
