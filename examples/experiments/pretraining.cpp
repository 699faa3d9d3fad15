// Pre-training, once for all tables.
#include "pretraining.hpp"

namespace mql4grec::experiments {

std::string names_of(std::vector<std::filesystem::path> const& datasets) {
  std::string out;
  for (auto const& path : datasets) out += (out.empty() ? "" : " + ") + catalog::dataset_paths(path).name();
  return out;
}

namespace {

std::string run_name(std::vector<std::filesystem::path> const& sources, index_t seed) {
  return file_name("pretrained", {names_of(sources), std::to_string(seed)});
}

std::vector<tasks::dataset> read_all(lab const& l, std::vector<std::filesystem::path> const& sources) {
  std::vector<tasks::dataset> out;
  for (auto const& path : sources) out.push_back(l.read(path));
  return out;
}

}  // namespace

finished_model best_pretrained(lab const& l, std::vector<std::filesystem::path> const& sources, index_t seed) {
  auto run = l.run("next", seed);
  run.training.epochs = kept_epochs.back();
  run.training.curve = seq2seq::learning_curve::constant;
  run.training.warmup = 1;
  run.keep_epochs.assign(kept_epochs.begin(), kept_epochs.end());
  return l.train(run_name(sources, seed), run, read_all(l, sources));
}

double pretraining_costs::of_first_use(std::vector<std::filesystem::path> const& sources, index_t seed) {
  auto const name = run_name(sources, seed);
  if (!known_.insert(name).second || lab_.is_trained(name)) return 0;
  return static_cast<double>(kept_epochs.back()) *
         lab_.examples_of(lab_.run("next", seed), {.datasets = read_all(lab_, sources), .vocab = lab_.vocab()});
}

finished_model pretrained(lab const& l, std::vector<std::filesystem::path> const& sources, index_t epochs,
                          index_t seed) {
  auto model = best_pretrained(l, sources, seed);
  model.directory /= "epoch-" + std::to_string(epochs);
  return model;
}

}  // namespace mql4grec::experiments
