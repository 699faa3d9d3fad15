// Which source domain helps which target, and for how long should one pre-train? Every domain at hand is the target of
// every other one, and of all others together.
#include <algorithm>
#include <set>

#include "experiments.hpp"
#include "pretraining.hpp"

namespace mql4grec::experiments {

namespace {

constexpr char const* all_others = "all others";

std::string name_of(std::filesystem::path const& dataset) { return catalog::dataset_paths(dataset).name(); }

std::vector<std::filesystem::path> domains_of(lab const& l) {
  std::vector<std::filesystem::path> all = {l.target_path()};
  all.insert(all.end(), l.source_paths().begin(), l.source_paths().end());
  return all;
}

/// The sources of a name: one domain, or all but the target.
std::vector<std::filesystem::path> sources_of(lab const& l, std::string const& target, std::string const& source) {
  auto paths = domains_of(l);
  std::erase_if(paths, [&](auto const& path) {
    return source == all_others ? name_of(path) == target : name_of(path) != source;
  });
  return paths;
}

/// The share of the target's items whose first two codes an item of the sources has too.
double overlap(std::vector<tasks::dataset> const& sources, tasks::dataset const& target, language::modality kind) {
  auto const prefix = [](language::token_table const& table, item_id item) {
    auto const tokens = table.of(item).first(std::min<std::size_t>(2, table.of(item).size()));
    return std::vector<token_t>(tokens.begin(), tokens.end());
  };
  std::set<std::vector<token_t>> known;
  for (auto const& source : sources)
    for (auto const item : source.table(kind).present()) known.insert(prefix(source.table(kind), item));
  auto const& table = target.table(kind);
  auto const shared =
      std::ranges::count_if(table.present(), [&](item_id i) { return known.contains(prefix(table, i)); });
  return static_cast<double>(shared) / static_cast<double>(std::max<index_t>(1, items_with_sequence(table)));
}

struct transfer {
  std::filesystem::path target;
  std::string source;  ///< empty: random parameters
  index_t epochs = 0;
  std::string seed;

  std::vector<std::string> key() const {
    return {name_of(target), source.empty() ? "none" : source, std::to_string(epochs), seed};
  }
};

row_result measure(lab const& l, transfer const& t) {
  auto const data = l.read(t.target);
  index_t const seed = std::stoi(t.seed);
  if (t.source.empty()) return l.judge(l.from_scratch(t.target, "all", seed), data);
  auto const paths = sources_of(l, name_of(t.target), t.source);
  auto run = l.run("all", seed);
  run.init = pretrained(l, {paths, seed}, t.epochs).directory;
  std::vector<tasks::dataset> sources;
  for (auto const& path : paths) sources.push_back(l.read(path));
  auto out = l.judge(l.train(file_name("domains", t.key()), run, {data}), data);
  out.values["text_overlap"] = overlap(sources, data, language::modality::text);
  out.values["image_overlap"] = overlap(sources, data, language::modality::image);
  return out;
}

std::vector<planned_row> plan(lab& l) {
  std::vector<planned_row> rows;
  auto const domains = domains_of(l);
  pretraining_costs costs(l);
  for (auto const& seed : l.seeds())
    for (auto const& target : domains) {
      auto const users = static_cast<double>(l.read(target).interactions.users());
      transfer const base{.target = target, .source = {}, .seed = seed};
      std::vector<transfer> all = {base};
      std::vector<std::string> sources;
      for (auto const& source : domains)
        if (source != target) sources.push_back(name_of(source));
      if (sources.size() > 1) sources.push_back(all_others);
      for (auto const& source : sources)
        for (auto const epochs : kept_epochs) all.push_back({target, source, epochs, seed});
      for (auto const& t : all)
        rows.push_back({.key = t.key(),
                        .examples = static_cast<double>(l.budget()) +
                                    (t.source.empty() ? 0
                                                      : costs.of_first_use({sources_of(l, name_of(target), t.source),
                                                                            std::stoi(seed)})),
                        .searches = 2 * users,
                        .measure = [&l, t] { return measure(l, t); },
                        .base = base.key()});
    }
  return rows;
}

}  // namespace

experiment domain_transfer() {
  auto columns = recommender_columns();
  columns.insert(columns.end(), {"text_overlap", "image_overlap"});
  return {
      .about = {.name = "domains",
                .title = "Transfer between domains",
                .question = "Which source domains help which target after 1, 3 and 10 epochs of pre-training, and does "
                            "the overlap of their codes tell?",
                .keys = {"target", "source", "epochs", "seed"},
                .measured = columns,
                .plots = {{.kind = "heatmap",
                           .title = "Change of NDCG@10 by pre-training",
                           .x = "source",
                           .y = "",
                           .series = "epochs",
                           .row = "target",
                           .value = "difference"},
                          {.kind = "line",
                           .title = "NDCG@10 by epochs of pre-training",
                           .x = "epochs",
                           .y = "ndcg@10",
                           .series = "source"}}},
      .plan = plan};
}

}  // namespace mql4grec::experiments
