// The command pretrain: trains a model on several datasets.
#include "commands.hpp"
#include "mql4grec/core/detail/words.hpp"
#include "training.hpp"

namespace mql4grec::program {

namespace {
struct pretrain_options {
  training_request request;
  common_options common;
  std::string datasets;
};

/// Pre-training as in Section 4.1 of the paper: next items of all datasets, a constant learning rate after one epoch of
/// warm-up, no early stopping.
seq2seq::training_options as_in_the_paper() {
  return {.epochs = 30,
          .batch_size = 4096,
          .learning_rate = 1e-3,
          .curve = seq2seq::learning_curve::constant,
          .warmup = 1,
          .patience = 0};
}

int pretrain(pretrain_options& options) {
  for (auto const& name : core::detail::split_at_commas(options.datasets)) {
    if (name.empty())
      throw CLI::ValidationError("--datasets", "'" + options.datasets + "' has an empty name, expected D1,D2,...");
    options.request.datasets.emplace_back(name);
  }
  if (options.request.datasets.empty()) throw CLI::ValidationError("--datasets", "expected D1,D2,...");
  return run_training(options.request, options.common);
}
}  // namespace

void add_pretrain(CLI::App& program, int& status) {
  auto const options = std::make_shared<pretrain_options>();
  options->request.run.tasks = "next";
  options->request.run.training = as_in_the_paper();
  auto& command = *program.add_subcommand("pretrain", "train a model on several datasets, for finetune to start from");
  command.add_option("--datasets", options->datasets, "dataset directories, with commas between them")->required();
  command
      .add_option("--tasks", options->request.run.tasks,
                  "next items only, all six tasks, or the released code's: its whole mixture, or its next items, which "
                  "have no prompts; or a list as for finetune")
      ->check(known_tasks())
      ->capture_default_str();
  add_training_options(command, options->request);
  add_common_options(command, options->common);
  command.callback([options, &status] { status = pretrain(*options); });
}

}  // namespace mql4grec::program
