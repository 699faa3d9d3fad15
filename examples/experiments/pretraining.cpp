// Pre-training, once for all tables.
#include "pretraining.hpp"

namespace mql4grec::experiments {

std::string names_of(std::vector<std::filesystem::path> const& datasets) {
  std::string out;
  for (auto const& path : datasets) out += (out.empty() ? "" : " + ") + catalog::dataset_paths(path).name();
  return out;
}

namespace {

std::string run_name(pretraining const& how) {
  std::vector<std::string> key = {names_of(how.sources), std::to_string(how.seed)};
  if (how.domain_tokens) key.push_back("domain tokens");
  return file_name("pretrained", key);
}

std::vector<tasks::dataset> read_all(lab const& l, std::vector<std::filesystem::path> const& sources) {
  std::vector<tasks::dataset> out;
  for (auto const& path : sources) out.push_back(l.read(path));
  return out;
}

}  // namespace

std::vector<std::string> domain_names(pretraining const& how) {
  std::vector<std::string> out;
  for (auto const& path : how.sources) out.push_back(catalog::dataset_paths(path).name());
  return out;
}

language::vocabulary with_domain_tokens(lab const& l, pretraining const& how) {
  auto options = l.vocab().options();  // prompts are the last tokens: the ids of the others stay
  options.prompts += static_cast<index_t>(how.sources.size()) + 1;
  return language::vocabulary(options);
}

finished_model best_pretrained(lab const& l, pretraining const& how) {
  auto run = l.run("next", how.seed);
  run.training.epochs = kept_epochs.back();
  run.training.curve = seq2seq::learning_curve::constant;
  run.training.warmup = 1;
  run.keep_epochs.assign(kept_epochs.begin(), kept_epochs.end());
  pipeline::training_data data{.datasets = read_all(l, how.sources), .vocab = l.vocab()};
  if (how.domain_tokens) {
    data.vocab = with_domain_tokens(l, how);
    data.domains = domain_names(how);
  }
  return l.train(run_name(how), run, std::move(data));
}

double pretraining_costs::of_first_use(pretraining const& how) {
  auto const name = run_name(how);
  if (!known_.insert(name).second || lab_.is_trained(name)) return 0;
  return static_cast<double>(kept_epochs.back()) *
         lab_.examples_of(lab_.run("next", how.seed), {.datasets = read_all(lab_, how.sources), .vocab = lab_.vocab()});
}

finished_model pretrained(lab const& l, pretraining const& how, index_t epochs) {
  auto model = best_pretrained(l, how);
  model.directory /= "epoch-" + std::to_string(epochs);
  return model;
}

}  // namespace mql4grec::experiments
