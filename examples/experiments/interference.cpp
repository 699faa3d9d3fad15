// Pre-training can make the target worse (the paper's open question on Games). Remedies while fine-tuning, after 1, 3
// and 10 epochs of pre-training: is the improvement monotonic in the epochs with one of them?
#include "experiments.hpp"
#include "pretraining.hpp"

namespace mql4grec::experiments {

namespace {

/// What a remedy changes.
struct remedy {
  char const* name;
  double replay_share = 0;  ///< examples of the sources, as a share of the target's
  double layer_decay = 1;   ///< of the learning rate from layer to layer, from the top
  seq2seq::gradient_groups surgery = seq2seq::gradient_groups::none;
  bool domain_tokens = false;  ///< inputs begin with a token of their domain, in the pre-training too
};
constexpr std::array<remedy, 8> remedies = {
    {{"none"},
     {"replay 20 %", 0.2},
     {"replay 50 %", 0.5},
     {"layer-wise rates .8", 0, 0.8},
     {"replay 20 %, layer-wise rates .8", 0.2, 0.8},
     {"domain tokens", 0, 1, seq2seq::gradient_groups::none, true},
     {"surgery between tasks", 0, 1, seq2seq::gradient_groups::tasks},
     {"replay 20 %, surgery between domains", 0.2, 1, seq2seq::gradient_groups::datasets}}};

/// Without epochs: from random parameters. "best": after the epoch with the lowest validation loss on the sources.
row_result measure(lab const& l, remedy const& r, std::string const& epochs, std::string const& seed) {
  auto const data = l.target();
  index_t const number = std::stoi(seed);
  if (epochs == "0") return l.judge(l.from_scratch(l.target_path(), "all", number), data);
  auto run = l.run("all", number);
  pipeline::training_data read{.datasets = {data}, .vocab = l.vocab()};
  pretraining const before{.sources = l.source_paths(), .seed = number, .domain_tokens = r.domain_tokens};
  run.init = (epochs == "best" ? best_pretrained(l, before) : pretrained(l, before, std::stoi(epochs))).directory;
  if (r.domain_tokens) {
    read.vocab = with_domain_tokens(l, before);
    read.domains = domain_names(before);
    read.domains.push_back(data.name);
  }
  run.training.layer_decay = r.layer_decay;
  run.training.surgery = r.surgery;
  run.replay_share = r.replay_share;
  if (r.replay_share > 0)
    for (auto const& path : l.source_paths()) read.replayed.push_back(l.read(path));
  return l.judge(l.train(file_name("interference", {r.name, epochs, seed}), run, std::move(read)), data);
}

std::vector<planned_row> plan(lab& l) {
  std::vector<planned_row> rows;
  if (l.source_paths().empty()) raise("interference: needs --sources, the datasets of the pre-training");
  auto const users = static_cast<double>(l.target().interactions.users());
  pretraining_costs costs(l);
  auto const add = [&](remedy const& r, std::string const& epochs, std::string const& seed) {
    rows.push_back({.key = {r.name, epochs, seed},
                    .examples = static_cast<double>(l.budget()) * (1 + r.replay_share) +
                                (epochs == "0" ? 0
                                               : costs.of_first_use({.sources = l.source_paths(),
                                                                     .seed = std::stoi(seed),
                                                                     .domain_tokens = r.domain_tokens})),
                    .searches = 2 * users,
                    .measure = [&l, &r, epochs, seed] { return measure(l, r, epochs, seed); },
                    .base = {remedies.front().name, "0", seed}});
  };
  for (auto const& seed : l.seeds()) {
    add(remedies.front(), "0", seed);
    for (auto const& r : remedies)
      for (auto const epochs : kept_epochs) add(r, std::to_string(epochs), seed);
    add(remedies.front(), "best", seed);
  }
  return rows;
}

}  // namespace

experiment interference_remedies() {
  return {.about = {.name = "interference",
                    .title = "Remedies against negative transfer",
                    .question = "Does NDCG@10 grow with the epochs of pre-training, and which remedy makes it so?",
                    .keys = {"remedy", "epochs", "seed"},
                    .measured = recommender_columns(),
                    .plots = {{.kind = "line",
                               .title = "NDCG@10 by epochs of pre-training",
                               .x = "epochs",
                               .y = "ndcg@10",
                               .series = "remedy"}}},
          .plan = plan};
}

}  // namespace mql4grec::experiments
