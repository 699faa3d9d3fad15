#include <doctest/doctest.h>

#include <vector>

#include "catalog/scratch.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/metrics/json.hpp"
#include "mql4grec/metrics/save.hpp"

using namespace mql4grec;

TEST_CASE("report: JSON keys are those of the command line's contract") {
  metrics::report const r{
      .dataset = "Arts",
      .users = 3,
      .by_modality = {{.sequence = metrics::metric_values{.at = {{1, 1, 1}, {5, 2, 4}, {10, 3, 5}}}}},
      .seconds = 2,
      .users_per_second = 1.5};
  json const j = r;
  std::vector<std::string> names;
  for (auto const& [name, value] : j.items()) names.push_back(name);
  CHECK(names == std::vector<std::string>{"dataset", "split", "users", "beams", "text", "image", "ensemble",
                                          "item_text", "item_image", "item_ensemble", "seconds", "users_per_second"});
  CHECK(j["text"].dump() == R"({"hit@1":1.0,"hit@5":2.0,"hit@10":3.0,"ndcg@5":4.0,"ndcg@10":5.0})");
  CHECK(j["image"].is_null());  // no user was evaluated, or the modality doesn't exist
  CHECK(j["split"] == "test");
  CHECK(j["beams"] == 20);
}

TEST_CASE("report: with a split by time, the metrics of warm and cold targets have the same keys") {
  metrics::metric_values const some{.at = {{1, 1, 1}}};
  json const j =
      metrics::report{.dataset = "Arts",
                      .split = "time",
                      .users = 3,
                      .until = 5,
                      .groups = {{.name = "warm", .users = 3, .ensemble = {.sequence = some}}, {.name = "cold"}}};
  CHECK(j["until"] == 5);
  CHECK(j["warm"]["users"] == 3);
  CHECK(j["warm"]["ensemble"]["hit@1"] == 1.0);
  CHECK(j["cold"]["users"] == 0);
  CHECK(j["cold"]["item_ensemble"].is_null());
  CHECK(j["cold"].size() == 7);
}

TEST_CASE("saved_search: the released code's format, flat lists with the results of consecutive users") {
  language::vocabulary const vocab({.modalities = {{"a", {9, 9}}}, .prompts = 0});
  auto const sequence = [&](int a, int b) {
    return std::vector{vocab.token(language::modality::text, 0, code_t(a)),
                       vocab.token(language::modality::text, 1, code_t(b))};
  };
  auto two = sequence(1, 2);
  for (auto const token : sequence(3, 4)) two.push_back(token);
  metrics::saved_search saved;
  auto const add = [&](user_id user, std::vector<double> const& scores, std::vector<token_t> const& target) {
    saved.add({.user = user, .sequences = two, .scores = scores, .target = target}, vocab);
  };
  add(user_id{0}, {-0.5, -0.75}, sequence(3, 4));
  add(user_id{5}, {-0.1, -0.2}, sequence(0, 0));
  test::scratch const here;
  metrics::write_saved_search(here / "save_seqrec_2.json", saved);
  CHECK(read_file(here / "save_seqrec_2.json") ==
        R"({"all_outputs":["<a_1><b_2>","<a_3><b_4>","<a_1><b_2>","<a_3><b_4>"],"all_scores":[-0.5,-0.75,-0.1,-0.2],)"
        R"("all_targets":["<a_3><b_4>","<a_0><b_0>"],"all_users":[0,5]})");
  CHECK_THROWS_AS(add(user_id{0}, {-0.5}, sequence(3, 4)), error);
}
