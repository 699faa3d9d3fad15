// How quality grows with the size of the model.
#include "experiments.hpp"
#include "laws.hpp"

namespace mql4grec::experiments {

namespace {

finished_model trained(lab const& l, seq2seq::model_size const& size, index_t seed) {
  if (size.name == "whole") return l.from_scratch(l.target_path(), "all", seed);
  return l.train(file_name("growth", {std::string(size.name), std::to_string(seed)}), l.run("all", seed, size),
                 {l.target()});
}

std::string reading(std::vector<table_row> const& rows) {
  std::vector<std::pair<double, double>> points;
  for (auto const& row : rows) points.emplace_back(row.values.at("parameters"), row.values.at("valid_loss"));
  if (points.size() < 3) return "";
  return "The validation loss changes as " + text_of(fit_power_law(points), "N") +
         " with the number of parameters N, at an equal number of examples.";
}

std::vector<planned_row> plan(lab& l) {
  expect_whole_models(l, "growth");
  std::vector<planned_row> rows;
  double const users = static_cast<double>(l.target().interactions.users());
  for (auto const& seed : l.seeds())
    for (auto const& size : seq2seq::model_sizes)
      rows.push_back({.key = {std::string(size.name), seed},
                      .examples = static_cast<double>(l.budget()) * size.widths * size.widths,
                      .searches = 2 * users,
                      .measure =
                          [&l, &size, seed] {
                            auto const model = trained(l, size, std::stoi(seed));
                            auto out = l.judge(model, l.target());
                            out.values["parameters"] = static_cast<double>(model.parameters);
                            return out;
                          },
                      .base = {"whole", seed}});
  return rows;
}

}  // namespace

experiment model_growth() {
  auto columns = recommender_columns();
  columns.push_back("parameters");
  return {
      .about = {.name = "growth",
                .title = "Size of the model",
                .question = "How do the validation loss and NDCG@10 change with the number of parameters, at an equal "
                            "number of training examples?",
                .keys = {"size", "seed"},
                .measured = columns,
                .plots = {{.kind = "line",
                           .title = "Validation loss by parameters",
                           .x = "parameters",
                           .y = "valid_loss",
                           .log_x = true},
                          {.kind = "line",
                           .title = "NDCG@10 by parameters",
                           .x = "parameters",
                           .y = "ndcg@10",
                           .log_x = true}},
                .reading = reading},
      .plan = plan};
}

}  // namespace mql4grec::experiments
