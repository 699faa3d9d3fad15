// Content that is missing: a share of the images, or of the texts, vanishes from training and test alike.
#include <cmath>

#include "experiments.hpp"
#include "mql4grec/core/random.hpp"
#include "report/text.hpp"

namespace mql4grec::experiments {

namespace {

constexpr std::array<index_t, 4> percentages = {0, 20, 50, 80};

/// What is done about it. With a modality dropout above 0 a model reads items that lack a modality in the one that they
/// have; so small a rate that nothing is dropped separates the two effects.
struct treatment {
  char const* name;
  double dropout = 0;  ///< of the modality
  bool fill_in = false;
};
constexpr std::array<treatment, 4> treatments = {
    {{"skipped"}, {"filled in", 0, true}, {"mixed histories", 1e-300}, {"modality dropout", 0.2}}};

struct configuration {
  language::modality kind;  ///< what is missing
  index_t percent;
  treatment how;
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
  if (c.percent == 0 && c.how.dropout == 0)
    return l.judge(l.from_scratch(l.target_path(), "all", std::stoi(seed)), data, {.fill_in = c.how.fill_in});
  auto run = l.run("all", std::stoi(seed));
  run.modality_dropout = c.how.dropout;
  std::vector<std::string> key = {c.how.dropout > 0 ? c.how.name : "plain", std::to_string(c.percent), seed};
  if (c.percent > 0) key.push_back(items_of(c.kind));
  auto const model = l.train(file_name("missing", key), run, {data});
  return l.judge(model, data, {.fill_in = c.how.fill_in});
}

std::vector<planned_row> plan(lab& l) {
  expect_both_modalities(l, "missing");
  std::vector<planned_row> rows;
  double const users = static_cast<double>(l.target().interactions.users());
  for (auto const& seed : l.seeds())
    for (auto const kind : {language::modality::image, language::modality::text})
      for (auto const percent : percentages)
        for (auto const& how : treatments) {
          bool const trained = how.fill_in || (percent == 0 && kind == language::modality::text);
          bool const complete = percent == 0 || &how == treatments.data();  // else: what does the treatment change?
          rows.push_back(
              {.key = {items_of(kind), std::to_string(percent), how.name, seed},
               .examples = trained ? 0 : static_cast<double>(l.budget()),
               .searches = 2 * users,
               .measure = [&l, c = configuration{kind, percent, how}, seed] { return measured(l, c, seed); },
               .base = {items_of(kind), complete ? "0" : std::to_string(percent), treatments.front().name, seed}});
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
    for (auto const& how : treatments) {
      double const ndcg = mean_ndcg(rows, {items_of(kind), most, how.name});
      if (std::isfinite(ndcg)) values += (values.empty() ? "" : ", ") + program::fixed(ndcg, 4) + " (" + how.name + ")";
    }
    double const complete = mean_ndcg(rows, {items_of(kind), "0", treatments.front().name});
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
