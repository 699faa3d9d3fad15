// Content that is missing: a share of the images, or of the texts, vanishes from training and test alike.
#include <cmath>

#include "experiments.hpp"
#include "mql4grec/core/random.hpp"
#include "report/text.hpp"

namespace mql4grec::experiments {

namespace {

constexpr double dropout = 0.2;  // of the modality, where a model is trained with it
constexpr std::array<index_t, 4> percentages = {0, 20, 50, 80};
constexpr std::array<char const*, 3> treatments = {"skipped", "filled in", "modality dropout"};

struct configuration {
  language::modality kind;  ///< what is missing
  index_t percent;
  std::string treatment;
};

std::string items_of(language::modality kind) { return kind == language::modality::text ? "texts" : "images"; }

/// The dataset without the sequences of a share of the items. Whoever lacks 20 % lacks them at 50 % too. An item whose
/// only sequence it is keeps it.
tasks::dataset with_missing(tasks::dataset data, language::modality kind, index_t percent) {
  auto const other = kind == language::modality::text ? language::modality::image : language::modality::text;
  auto const& all = data.table(kind);
  language::token_table kept(kind, all.items(), all.levels());
  for (auto const item : all.present()) {
    random_stream random(11, static_cast<std::uint64_t>(index(item)));
    if (!data.table(other).has(item) || 100 * random.uniform() >= static_cast<double>(percent))
      kept.set(item, all.of(item));
  }
  data.tokens[to_size(kind)] = std::move(kept);
  return data;
}

row_result measured(lab const& l, configuration const& c, std::string const& seed) {
  auto const data = with_missing(l.target(), c.kind, c.percent);
  auto run = l.run("all", std::stoi(seed));
  if (c.treatment == "modality dropout") run.modality_dropout = dropout;
  std::vector<std::string> key = {run.modality_dropout > 0 ? "dropout" : "plain", std::to_string(c.percent), seed};
  if (c.percent > 0) key.push_back(items_of(c.kind));
  auto const model = l.train(file_name("missing", key), run, {data});
  return l.judge(model, data, {.fill_in = c.treatment == "filled in"});
}

std::vector<planned_row> plan(lab& l) {
  std::vector<planned_row> rows;
  double const users = static_cast<double>(l.target().interactions.users());
  for (auto const& seed : l.seeds())
    for (auto const kind : {language::modality::image, language::modality::text})
      for (auto const percent : percentages)
        for (std::string const treatment : treatments) {
          bool const trained = treatment == "filled in" || (percent == 0 && kind == language::modality::text);
          rows.push_back(
              {.key = {items_of(kind), std::to_string(percent), treatment, seed},
               .examples = trained ? 0 : static_cast<double>(l.budget()),
               .searches = 2 * users,
               .measure = [&l, c = configuration{kind, percent, treatment}, seed] { return measured(l, c, seed); },
               .base = {items_of(kind), "0", treatments.front(), seed}});
        }
  return rows;
}

double mean_ndcg(std::vector<table_row> const& rows, std::vector<std::string> const& key) {
  double sum = 0;
  index_t n = 0;
  for (auto const& row : rows)
    if (std::equal(key.begin(), key.end(), row.key.begin())) sum += row.values.at("ndcg@10"), ++n;
  return n == 0 ? std::nan("") : sum / static_cast<double>(n);
}

std::string reading(std::vector<table_row> const& rows) {
  auto const most = std::to_string(percentages.back());
  std::string text;
  for (auto const kind : {language::modality::image, language::modality::text}) {
    std::string values;
    for (auto const* const treatment : treatments) {
      double const ndcg = mean_ndcg(rows, {items_of(kind), most, treatment});
      if (std::isfinite(ndcg))
        values += (values.empty() ? "" : ", ") + program::fixed(ndcg, 4) + " (" + treatment + ")";
    }
    double const complete = mean_ndcg(rows, {items_of(kind), "0", treatments.front()});
    if (values.empty() || !std::isfinite(complete)) continue;
    text += std::string(text.empty() ? "" : " ") + "Without " + most + " % of the " + items_of(kind) + " NDCG@10 is " +
            values + ", with all of them " + program::fixed(complete, 4) + ".";
  }
  return text;
}

}  // namespace

experiment missing_content() {
  return {
      .about = {.name = "missing",
                .title = "Missing content",
                .question = "What does the ensemble lose when a share of the images, or of the texts, is missing in "
                            "training and test, and what restores it?",
                .keys = {"missing", "percent", "treatment", "seed"},
                .measured = recommender_columns(),
                .plots = {{.kind = "line",
                           .title = "NDCG@10",
                           .x = "percent",
                           .y = "ndcg@10",
                           .series = "treatment",
                           .row = "missing"}},
                .reading = reading},
      .plan = plan};
}

}  // namespace mql4grec::experiments
