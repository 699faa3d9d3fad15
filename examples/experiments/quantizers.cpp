// How items are turned into tokens: the number and the sizes of levels, the quantizer, and what separates items that
// share a sequence. Text alone, so that nothing else tells items apart.
#include <utility>

#include "experiments.hpp"
#include "report/text.hpp"
#include "translations.hpp"

namespace mql4grec::experiments {

namespace {

struct configuration {
  std::vector<index_t> codes;
  std::string quantizer, collisions;
};

std::vector<configuration> configurations_of(lab const& l) {
  auto const k = codes_of_level(l);
  std::vector<std::vector<index_t>> const levels = {
      {k, k, k, k}, {k, k, k}, {k, k, k, k, k}, {k / 4, k / 2, k}, {k / 4, k / 2, k, 2 * k}};
  std::vector<configuration> out;
  for (std::string const quantizer : {"RQ-VAE", "residual k-means"})
    for (auto const& codes : levels)
      for (std::string const policy : {"reallocate", "none", "match", "suffix"})
        if (codes == levels.front() || policy == "reallocate" || policy == "none")
          out.push_back({codes, quantizer, policy});
  return out;
}

row_result measured(lab const& l, configuration const& c, std::string const& seed) {
  auto const codes = text_of(c.codes);
  auto const found = translate(l, {.name = file_name("quantizer", {c.quantizer, codes, seed}),
                                   .features = features_of(l),
                                   .quantizer = c.quantizer,
                                   .codes = c.codes,
                                   .seed = std::stoi(seed),
                                   .collisions = c.collisions});
  auto const data = with_codes(l, found.catalog.codes);
  auto const name = file_name("quantizers", {c.quantizer, codes, c.collisions, seed});
  auto out = l.judge(l.train(name, l.run("next-text", std::stoi(seed)), data), data.datasets.front());
  add_measurements(out, found);
  return out;
}

std::vector<planned_row> plan(lab& l) {
  std::vector<planned_row> rows;
  double const users = static_cast<double>(l.target().interactions.users());
  static_cast<void>(features_of(l));  // without them no row can be measured
  auto const configurations = configurations_of(l);
  auto const& first = configurations.front();
  for (auto const& seed : l.seeds())
    for (auto const& c : configurations)
      rows.push_back({.key = {c.quantizer, text_of(c.codes), c.collisions, seed},
                      .examples = static_cast<double>(l.budget()),
                      .searches = users,
                      .measure = [&l, c, seed] { return measured(l, c, seed); },
                      .base = {first.quantizer, text_of(first.codes), first.collisions, seed}});
  return rows;
}

/// What the handling of collisions changes, from rows that differ in nothing else.
std::string reading(std::vector<table_row> const& rows) {
  double least = 1, most = 0, change = 0;
  index_t pairs = 0;
  for (auto const& with : rows)
    for (auto const& without : rows) {
      auto key = without.key;
      if (std::exchange(key[2], "reallocate") != "none" || key != with.key) continue;
      double const rate = without.values.at("collision_rate");
      least = std::min(least, rate);
      most = std::max(most, rate);
      if (rate == 0) continue;  // nothing to reallocate: the same codes
      change += with.values.at("ndcg@10") - without.values.at("ndcg@10");
      ++pairs;
    }
  if (pairs == 0) return "";
  return "Without handling, " + program::fixed(100 * least, 1) + " to " + program::fixed(100 * most, 1) +
         " % of the items have a sequence that an earlier item has. Reallocation changes NDCG@10 by " +
         program::fixed(change / static_cast<double>(pairs), 4) + " in the mean of " + program::counted(pairs, "pair") +
         ".";
}

}  // namespace

experiment quantizer_choices() {
  auto columns = recommender_columns();
  for (auto const& column : translation_columns()) columns.push_back(column);
  return {
      .about = {.name = "quantizers",
                .title = "Levels, quantizers and collisions",
                .question = "How do the sizes of the levels, the quantizer and the handling of collisions change the "
                            "codes and NDCG@10 by item, from text features alone?",
                .keys = {"quantizer", "codes", "collisions", "seed"},
                .measured = columns,
                .plots = {{.kind = "heatmap",
                           .title = "NDCG@10",
                           .x = "collisions",
                           .y = "",
                           .series = "quantizer",
                           .row = "codes",
                           .value = "ndcg@10"},
                          {.kind = "heatmap",
                           .title = "Share of items with a sequence of another",
                           .x = "collisions",
                           .y = "",
                           .series = "quantizer",
                           .row = "codes",
                           .value = "collision_rate"},
                          {.kind = "scatter",
                           .title = "NDCG@10 by error of the quantizer",
                           .x = "error",
                           .y = "ndcg@10",
                           .series = "collisions"}},
                .reading = reading},
      .plan = plan};
}

}  // namespace mql4grec::experiments
