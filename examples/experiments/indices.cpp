// The token indices of one catalog beside each other: files Name.index_*.json with words of text. Where an index gives
// several items one sequence, metrics on sequences are inflated; those on items are comparable.
#include "experiments.hpp"
#include "mql4grec/language/read.hpp"
#include "mql4grec/pipeline/dataset.hpp"

namespace mql4grec::experiments {

namespace {

/// "published" for Name.index_lemb.published.json, "lemb" for Name.index_lemb.json.
std::string short_name(std::filesystem::path const& index) {
  auto const name = index.stem().string();
  return name.substr(name.find(".index_") + 7);
}

/// The target with another text index and without images.
tasks::dataset with_index(lab const& l, std::filesystem::path const& index) {
  auto data = without(l.target(), language::modality::image);
  data.tokens.front() =
      language::read_token_table(index, l.vocab(), language::modality::text, data.interactions.item_count);
  return data;
}

row_result measure(lab const& l, std::filesystem::path const& index, std::string const& seed) {
  auto const data = with_index(l, index);
  auto const name = file_name("indices", {short_name(index), seed});
  auto out = l.judge(l.train(name, l.run("next-text", std::stoi(seed)), {data}), data);
  auto const& table = data.table(language::modality::text);
  out.values["items"] = static_cast<double>(items_with_sequence(table));
  out.values["shared"] = static_cast<double>(duplicate_items(table));
  return out;
}

std::vector<planned_row> plan(lab& l) {
  std::vector<planned_row> rows;
  auto const users = static_cast<double>(l.target().interactions.users());
  auto const indices = text_indices(l);
  for (auto const& seed : l.seeds())
    for (auto const& index : indices)
      rows.push_back({.key = {short_name(index), seed},
                      .examples = static_cast<double>(l.budget()),
                      .searches = users,
                      .measure = [&l, index, seed] { return measure(l, index, seed); },
                      .base = {short_name(indices.front()), seed}});
  return rows;
}

}  // namespace

experiment token_indices() {
  auto columns = recommender_columns();
  columns.insert(columns.end(), {"items", "shared"});
  return {.about = {.name = "indices",
                    .title = "Token indices of one catalog",
                    .question = "How much do figures depend on the token index, and on items that share a sequence?",
                    .keys = {"index", "seed"},
                    .measured = columns,
                    .plots = {{.kind = "bar", .title = "NDCG@10 of items", .x = "index", .y = "ndcg@10"}}},
          .plan = plan};
}

}  // namespace mql4grec::experiments
