// What simple recommenders reach on the same splits: popularity, transitions from the last item, SASRec.
#include <array>
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
row_result ours(lab const& l, std::filesystem::path const& dataset, index_t seed) {
  auto const data = l.read(dataset);
  auto const found = l.judge(l.from_scratch(dataset, "all", seed), data);
  row_result out;
  for (auto const* column : {"ndcg@10", "hit@1", "hit@10", "examples"}) out.values[column] = found.values.at(column);
  return out;
}

/// What SASRec is tuned over.
struct sasrec_setting {
  index_t width;
  double dropout;
};
constexpr std::array<sasrec_setting, 4> sasrec_settings = {{{64, 0.2}, {128, 0.2}, {64, 0.5}, {128, 0.5}}};

/// SASRec with the setting whose NDCG@10 on the validation items is the highest with the first seed.
row_result tuned_sasrec(lab const& l, tasks::dataset const& data, index_t seed) {
  pipeline::model_metadata const metadata{.vocab = l.vocab()};
  auto const train = [&](sasrec_setting const& with, index_t number) {
    sasrec::run_options run;
    run.out =
        l.run_path(file_name("sasrec", {data.name, std::to_string(with.width),
                                        std::to_string(std::lround(100 * with.dropout)), std::to_string(number)}));
    run.model.width = with.width;
    run.training.dropout = with.dropout;
    run.training.seed = static_cast<std::uint64_t>(number);
    return program::evaluate_sasrec(l.on(), {.model = run.out, .metadata = metadata, .data = data, .options = {}}, run,
                                    l.log());
  };
  auto const* best = &sasrec_settings.front();
  double highest = -1;
  for (auto const& each : sasrec_settings)
    if (double const valid = train(each, 1).valid_ndcg; valid > highest) {
      highest = valid;
      best = &each;
    }
  auto const found = train(*best, seed);
  auto out = result_of(found.evaluated);
  out.values["valid_ndcg@10"] = found.valid_ndcg;
  out.values["width"] = static_cast<double>(best->width);
  out.values["dropout"] = best->dropout;
  return out;
}

row_result measure(lab const& l, std::filesystem::path const& dataset, std::string const& name, index_t seed) {
  if (name == "mql4grec") return ours(l, dataset, seed);
  auto const data = l.read(dataset);
  if (name == "popularity") return result_of(program::evaluate_popularity(data, {}));
  if (name == "markov") return result_of(program::evaluate_markov(data, {}));
  return tuned_sasrec(l, data, seed);
}

std::vector<planned_row> plan(lab& l) {
  std::vector<planned_row> rows;
  auto datasets = l.source_paths();
  datasets.insert(datasets.begin(), l.target_path());
  for (auto const& dataset : datasets) {
    auto const users = static_cast<double>(l.read(dataset).interactions.users());
    auto const add = [&](std::string const& name, std::string const& seed, double examples, double searches) {
      rows.push_back({.key = {names_of({dataset}), name, seed},
                      .examples = examples,
                      .searches = searches,
                      .measure = [&l, dataset, name, seed] { return measure(l, dataset, name, std::stoi(seed)); }});
    };
    add("popularity", "1", 0, 0);
    add("markov", "1", 0, 0);
    for (auto const& seed : l.seeds()) {
      add("sasrec", seed, 10 * users * (seed == "1" ? static_cast<double>(sasrec_settings.size()) : 1), 0);
      add("mql4grec", seed, static_cast<double>(l.budget()), 2 * users);
    }
  }
  return rows;
}

}  // namespace

experiment simple_baselines() {
  return {
      .about =
          {.name = "baselines",
           .title = "Baselines",
           .question = "What do popularity, a table of transitions and SASRec, whose width and dropout are tuned on "
                       "the validation items, reach on the same users?",
           .keys = {"dataset", "recommender", "seed"},
           .measured = {"ndcg@10", "hit@1", "hit@10", "examples", "valid_ndcg@10", "width", "dropout"},
           .plots = {{.kind = "bar", .title = "NDCG@10", .x = "recommender", .y = "ndcg@10", .series = "dataset"}}},
      .plan = plan};
}

}  // namespace mql4grec::experiments
