// One model, searched in different ways: beams, length of histories, and rules that fuse the lists of both modalities.
#include <algorithm>
#include <memory>
#include <utility>

#include "experiments.hpp"
#include "mql4grec/metrics/ranking_metrics.hpp"

namespace mql4grec::experiments {

namespace {

/// A fusion rule that keeps the lists of every user, so that many rules can be compared after one search.
struct recorded_lists {
  std::shared_ptr<std::vector<std::vector<rank::ranking>>> users =
      std::make_shared<std::vector<std::vector<rank::ranking>>>();

  rank::ranking fuse(std::span<rank::ranking const> lists) const {
    users->emplace_back(lists.begin(), lists.end());
    return rank::average_plus_one().fuse(lists);
  }
  bool operator==(recorded_lists const&) const = default;
};

/// The places of the target items under a rule, by user.
std::vector<metrics::placement> places_of(rank::any_fusion const& rule,
                                          std::vector<std::vector<rank::ranking>> const& lists,
                                          std::vector<item_id> const& targets) {
  std::vector<metrics::placement> out;
  for (std::size_t u = 0; u < lists.size(); ++u)
    out.push_back(metrics::expected_place_of(rule.fuse(lists[u]), targets[u]));
  return out;
}

/// The mean of a metric at k over all users.
double mean(std::vector<metrics::placement> const& places, double (*metric)(metrics::placement, index_t), index_t k) {
  double sum = 0;
  for (auto const place : places) sum += metric(place, k);
  return places.empty() ? 0 : sum / static_cast<double>(places.size());
}

std::vector<item_id> targets_of(tasks::dataset const& data, catalog::split part) {
  std::vector<item_id> out;
  for (auto const user : catalog::evaluated_users(data.interactions, part))
    out.push_back(catalog::target(data.interactions, user, part));
  return out;
}

/// The lists of all users in a part, from one search per modality.
std::vector<std::vector<rank::ranking>> lists_of(lab const& l, finished_model const& model, tasks::dataset const& data,
                                                 catalog::split part) {
  recorded_lists const record;
  static_cast<void>(l.evaluate(model, data, {.part = part, .fusion = record}));
  return *record.users;
}

/// The weight of the text list, in tenths, with the highest NDCG@10 on the validation items.
double learned_weight(std::vector<std::vector<rank::ranking>> const& lists, std::vector<item_id> const& targets) {
  std::vector<std::pair<double, double>> tried;  // (NDCG, weight)
  for (int tenth = 0; tenth <= 10; ++tenth) {
    double const weight = tenth / 10.0;
    rank::calibrated const rule{.sharpness = 5, .weights = {weight, 1 - weight}};
    tried.emplace_back(mean(places_of(rule, lists, targets), metrics::expected_ndcg, 10), weight);
  }
  return std::ranges::max(tried).second;
}

finished_model trained(lab const& l, index_t seed) { return l.from_scratch(l.target_path(), "all", seed); }

row_result searched(lab const& l, index_t seed, pipeline::evaluation_options const& options) {
  auto out = l.judge(trained(l, seed), l.target(), options);
  out.values.erase("train_loss");
  out.values.erase("valid_loss");
  out.values.erase("examples");
  out.values.erase("seconds");
  return out;
}

row_result fused(lab const& l, index_t seed, std::string const& rule) {
  auto const model = trained(l, seed);
  auto const data = l.target();
  auto const lists = lists_of(l, model, data, catalog::split::test);
  rank::any_fusion chosen;
  row_result out;
  if (rule == "calibrated") chosen = rank::calibrated{.sharpness = 5};
  if (rule == "learned weight") {
    double const weight =
        learned_weight(lists_of(l, model, data, catalog::split::valid), targets_of(data, catalog::split::valid));
    out.values["text_weight"] = weight;
    chosen = rank::calibrated{.sharpness = 5, .weights = {weight, 1 - weight}};
  }
  auto const places = places_of(chosen, lists, targets_of(data, catalog::split::test));
  for (auto const place : places) out.by_user.push_back(metrics::expected_ndcg(place, 10));
  out.values["ndcg@10"] = mean(places, metrics::expected_ndcg, 10);
  out.values["hit@1"] = mean(places, metrics::expected_hit, 1);
  out.values["hit@10"] = mean(places, metrics::expected_hit, 10);
  return out;
}

std::vector<planned_row> plan(lab& l) {
  expect_both_modalities(l, "search");
  double const users = static_cast<double>(l.target().interactions.users());
  std::vector<planned_row> rows;
  for (auto const& name : l.seeds()) {
    index_t const seed = std::stoi(name);
    bool first = true;  // the row that trains the model
    auto const add = [&](std::string const& varied, std::string const& value, double searches, auto measure) {
      rows.push_back({.key = {varied, value, name},
                      .examples = std::exchange(first, false) ? static_cast<double>(l.budget()) : 0,
                      .searches = searches,
                      .measure = measure,
                      .base = {"beams", "20", name}});
    };
    for (index_t const beams : {20, 1, 5, 10, 50, 100})
      add("beams", std::to_string(beams), users * static_cast<double>(beams) / 10,
          [&l, seed, beams] { return searched(l, seed, {.search = {.beams = beams}}); });
    for (index_t const items : {1, 2, 3, 5, 10, 20})
      add("history", std::to_string(items), 2 * users,
          [&l, seed, items] { return searched(l, seed, {.max_history = items}); });
    for (std::string const rule : {"paper", "calibrated", "learned weight"})
      add("fusion", rule, 2 * users, [&l, seed, rule] { return fused(l, seed, rule); });
    for (auto const& [label, kind] : {std::pair("vocabulary", search::normalization::vocabulary),
                                      std::pair("trie", search::normalization::children)})
      add("normalization", label, 2 * users,
          [&l, seed, kind = kind] { return searched(l, seed, {.search = {.normalize = kind}}); });
  }
  return rows;
}

}  // namespace

experiment search_settings() {
  return {
      .about = {.name = "search",
                .title = "Search and fusion",
                .question = "How do the number of beams, the length of histories and the fusion rule change the lists "
                            "of one model?",
                .keys = {"varied", "value", "seed"},
                .measured = {"ndcg@10", "difference", "difference_low", "difference_high", "hit@1", "hit@10",
                             "text_ndcg@10", "image_ndcg@10", "sequence_ndcg@10", "text_weight"},
                .plots = {{.kind = "bar", .title = "NDCG@10", .x = "value", .y = "ndcg@10", .series = "varied"}}},
      .plan = plan};
}

}  // namespace mql4grec::experiments
