// Pre-training, once for all tables.
#include "pretraining.hpp"

namespace mql4grec::experiments {

std::string names_of(std::vector<std::filesystem::path> const& datasets) {
  std::string out;
  for (auto const& path : datasets) out += (out.empty() ? "" : " + ") + catalog::dataset_paths(path).name();
  return out;
}

finished_model best_pretrained(lab const& l, std::vector<std::filesystem::path> const& sources, index_t seed) {
  auto run = l.run("next", seed);
  run.training.epochs = kept_epochs.back();
  run.training.curve = seq2seq::learning_curve::constant;
  run.training.warmup = 1;
  run.keep_epochs.assign(kept_epochs.begin(), kept_epochs.end());
  std::vector<tasks::dataset> datasets;
  for (auto const& path : sources) datasets.push_back(l.read(path));
  return l.train(file_name("pretrained", {names_of(sources), std::to_string(seed)}), run, std::move(datasets));
}

finished_model pretrained(lab const& l, std::vector<std::filesystem::path> const& sources, index_t epochs,
                          index_t seed) {
  auto model = best_pretrained(l, sources, seed);
  model.directory /= "epoch-" + std::to_string(epochs);
  return model;
}

}  // namespace mql4grec::experiments
