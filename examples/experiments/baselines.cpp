// What simple recommenders reach on the same splits: popularity, transitions from the last item, SASRec.
#include <cmath>

#include "commands/evaluation.hpp"
#include "experiments.hpp"
#include "pretraining.hpp"

namespace mql4grec::experiments {

namespace {

row_result result_of(std::optional<metrics::metric_values> const& m) {
  if (!m) return {};
  return {.values = {{"ndcg@10", m->ndcg(10)}, {"hit@1", m->hit(1)}, {"hit@10", m->hit(10)}}};
}

/// Our model with the lab's number of examples, the same columns.
row_result ours(lab const& l, std::filesystem::path const& dataset) {
  auto const data = l.read(dataset);
  auto const found = l.judge(l.from_scratch(dataset, "all", 1), data);
  row_result out;
  for (auto const* column : {"ndcg@10", "hit@1", "hit@10", "examples"}) out.values[column] = found.values.at(column);
  return out;
}

row_result measure(lab const& l, std::filesystem::path const& dataset, std::string const& name) {
  if (name == "mql4grec") return ours(l, dataset);
  auto const data = l.read(dataset);
  pipeline::evaluation_options const options;
  if (name == "popularity") return result_of(program::evaluate_popularity(data, options));
  if (name == "markov") return result_of(program::evaluate_markov(data, options));
  auto const run = l.run_path(file_name("sasrec", {data.name}));
  pipeline::model_metadata const metadata{.vocab = l.vocab()};
  return result_of(program::evaluate_sasrec(
      l.on(), {.model = run, .metadata = metadata, .data = data, .options = options}, run, l.log()));
}

std::vector<planned_row> plan(lab& l) {
  std::vector<planned_row> rows;
  auto datasets = l.source_paths();
  datasets.insert(datasets.begin(), l.target_path());
  for (auto const& dataset : datasets) {
    auto const users = static_cast<double>(l.read(dataset).interactions.users());
    for (std::string const name : {"popularity", "markov", "sasrec", "mql4grec"})
      rows.push_back({.key = {names_of({dataset}), name},
                      .examples = name == "mql4grec" ? static_cast<double>(l.budget())
                                  : name == "sasrec" ? 10 * users
                                                     : 0,
                      .searches = name == "mql4grec" ? 2 * users : 0,
                      .measure = [&l, dataset, name] { return measure(l, dataset, name); }});
  }
  return rows;
}

}  // namespace

experiment simple_baselines() {
  return {.about =
              {.name = "baselines",
               .title = "Baselines",
               .question = "What do popularity, a table of transitions and SASRec reach on the same users?",
               .keys = {"dataset", "recommender"},
               .measured = {"ndcg@10", "hit@1", "hit@10", "examples"},
               .plots = {{.kind = "bar", .title = "NDCG@10", .x = "recommender", .y = "ndcg@10", .series = "dataset"}}},
          .plan = plan};
}

}  // namespace mql4grec::experiments
