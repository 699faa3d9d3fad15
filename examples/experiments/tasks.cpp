// Which tasks are worth training? Each of the paper's task groups is added to the next-item tasks, and each modality is
// trained alone.
#include "experiments.hpp"

namespace mql4grec::experiments {

namespace {

struct configuration {
  char const* name;
  char const* tasks;  ///< see pipeline::mixture_named
  std::optional<language::modality> missing = {};
};

constexpr std::array<configuration, 7> configurations = {{
    {"next", "next"},
    {"next + asymmetric", "next-text,next-image,text-to-image,image-to-text"},
    {"next + alignment", "next-text,next-image,align-text-image,align-image-text"},
    {"all", "all"},
    {"released", "released"},
    {"text alone", "next-text", language::modality::image},
    {"images alone", "next-image", language::modality::text},
}};

std::vector<planned_row> plan(lab& l) {
  expect_both_modalities(l, "tasks");
  std::vector<planned_row> rows;
  auto const target = l.target();
  for (auto const& seed : l.seeds())
    for (auto const& c : configurations) {
      auto const measure = [&l, &c, seed] {
        index_t const number = std::stoi(seed);
        if (!c.missing) return l.judge(l.from_scratch(l.target_path(), c.tasks, number), l.target());
        auto const data = without(l.target(), *c.missing);
        return l.judge(l.train(file_name("tasks", {c.name, seed}), l.run(c.tasks, number), {data}), data);
      };
      rows.push_back({.key = {c.name, seed},
                      .examples = static_cast<double>(l.budget()),
                      .searches = 2.0 * static_cast<double>(target.interactions.users()),
                      .measure = measure,
                      .base = {configurations.front().name, seed}});
    }
  return rows;
}

}  // namespace

experiment task_ablation() {
  return {
      .about = {.name = "tasks",
                .title = "Tasks and modalities",
                .question = "Do the asymmetric and the alignment tasks help beyond having two modalities, at an equal "
                            "number of training examples?",
                .keys = {"tasks", "seed"},
                .measured = recommender_columns(),
                .plots = {{.kind = "bar", .title = "NDCG@10 by tasks", .x = "tasks", .y = "ndcg@10"}}},
      .plan = plan};
}

}  // namespace mql4grec::experiments
