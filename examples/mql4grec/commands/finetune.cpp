// The command finetune: trains a model on one dataset.
#include "commands.hpp"
#include "training.hpp"

namespace mql4grec::program {

namespace {
struct finetune_options {
  training_request request;
  common_options common;
  std::filesystem::path dataset, init;
};

int finetune(finetune_options& options) {
  options.request.datasets = {options.dataset};
  if (!options.init.empty()) options.request.run.init = options.init;
  return run_training(options.request, options.common);
}
}  // namespace

void add_finetune(CLI::App& program, int& status) {
  auto const options = std::make_shared<finetune_options>();
  auto& command = *program.add_subcommand("finetune", "train a model on one dataset");
  command.add_option("--dataset", options->dataset, "dataset directory .../Name")->required();
  command.add_option("--init", options->init, "model directory to start from, for example pretrain's");
  command
      .add_option("--tasks", options->request.run.tasks,
                  "all six tasks, next items only, the released code's mixture, or a list of next-text, next-image, "
                  "text-to-image, image-to-text, align-text-image, align-image-text")
      ->check(known_tasks())
      ->capture_default_str();
  add_training_options(command, options->request);
  add_common_options(command, options->common);
  command.callback([options, &status] { status = finetune(*options); });
}

}  // namespace mql4grec::program
