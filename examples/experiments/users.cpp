// How many users of the target must one have seen? From random parameters and after pre-training, down to none.
#include <algorithm>

#include "experiments.hpp"
#include "laws.hpp"
#include "pretraining.hpp"

namespace mql4grec::experiments {

namespace {

constexpr std::array<double, 5> shares = {0.01, 0.05, 0.1, 0.5, 1};
constexpr index_t pretraining_epochs = 3;  ///< one of kept_epochs

std::string percent(double share) { return std::to_string(static_cast<int>(share * 100)); }

/// Training examples: of few users fewer, so that none is seen more than ten times as often as in a training on all.
double examples_of(lab const& l, double share) { return static_cast<double>(l.budget()) * std::min(1.0, 10 * share); }

/// The parameters of a start, "random" or "pretrained", trained on a share of the target's users; 0: not at all.
row_result measure(lab const& l, std::string const& start, double share, index_t seed) {
  auto const data = l.target();
  auto run = l.run("next", seed);
  finished_model model;
  if (start == "pretrained") {
    model = pretrained(l, {l.source_paths(), seed}, pretraining_epochs);
    run.init = model.directory;
  }
  if (start == "random" && share == 1) {
    model = l.from_scratch(l.target_path(), "next", seed);
  } else if (share > 0) {
    run.training_users = catalog::random_users{.share = share, .seed = static_cast<std::uint64_t>(seed)};
    l.set_length(run, {.datasets = {data}, .vocab = l.vocab()}, examples_of(l, share));
    model = l.train(file_name("users", {start, percent(share), std::to_string(seed)}), run, {data});
  }
  auto out = l.judge(model, data);
  if (share == 0)  // the model's measurements are of the sources
    for (auto const* name : {"train_loss", "valid_loss", "examples", "seconds"}) out.values.erase(name);
  return out;
}

std::vector<planned_row> plan(lab& l) {
  std::vector<planned_row> rows;
  auto const users = static_cast<double>(l.target().interactions.users());
  pretraining_costs costs(l);
  for (auto const& seed : l.seeds())
    for (std::string const start : {"random", "pretrained"}) {
      if (start == "pretrained" && l.source_paths().empty()) continue;
      if (start == "pretrained")
        rows.push_back({.key = {start, "0", seed},
                        .examples = costs.of_first_use({l.source_paths(), std::stoi(seed)}),
                        .searches = 2 * users,
                        .measure = [&l, start, seed] { return measure(l, start, 0, std::stoi(seed)); },
                        .base = {"random", percent(shares.front()), seed}});
      for (auto const share : shares)
        rows.push_back({.key = {start, percent(share), seed},
                        .examples = examples_of(l, share),
                        .searches = 2 * users,
                        .measure = [&l, start, share, seed] { return measure(l, start, share, std::stoi(seed)); },
                        .base = {"random", percent(share), seed}});
    }
  return rows;
}

std::string reading(std::vector<table_row> const& rows) {
  std::string text;
  for (std::string const start : {"random", "pretrained"}) {
    std::vector<std::pair<double, double>> points;
    for (auto const& row : rows)
      if (row.key[0] == start) points.emplace_back(std::stod(row.key[1]), row.values.at("ndcg@10"));
    if (auto const law = text_of(fit_power_law(points), "u"); !law.empty())
      text += (text.empty() ? "" : ", ") + law + " (" + start + " parameters)";
  }
  return text.empty() ? "" : "NDCG@10 grows with the number of users u as " + text + ".";
}

}  // namespace

experiment few_users() {
  return {
      .about = {.name = "users",
                .title = "Zero-shot and few-shot",
                .question = "How many of the target's users must a model have seen, and how many does pre-training on "
                            "other domains replace?",
                .keys = {"start", "percent", "seed"},
                .measured = recommender_columns(),
                .plots = {{.kind = "line",
                           .title = "NDCG@10 by share of users",
                           .x = "percent",
                           .y = "ndcg@10",
                           .series = "start"}},
                .reading = reading},
      .plan = plan};
}

}  // namespace mql4grec::experiments
