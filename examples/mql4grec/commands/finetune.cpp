// The command finetune: trains a model on one dataset.
#include "commands.hpp"
#include "training.hpp"

namespace mql4grec::program {

namespace {
struct finetune_options {
  training_request request;
  common_options common;
  std::filesystem::path dataset, init;
  std::string recipe = "paper", replay;
};

constexpr std::string_view small = "small";

seq2seq::training_options recipe_named(std::string_view name) {
  return name == small ? seq2seq::small_recipe() : name == "fast" ? seq2seq::fast_recipe() : seq2seq::paper_recipe();
}

/// Sets what the recipe determines and the command line doesn't.
void apply_recipe(CLI::App const& command, finetune_options& options) {
  auto const recipe = recipe_named(options.recipe);
  auto& training = options.request.run.training;
  auto const is_free = [&](char const* option) { return command.get_option(option)->count() == 0; };
  if (is_free("--epochs")) training.epochs = recipe.epochs;
  if (is_free("--batch-size")) training.batch_size = recipe.batch_size;
  if (is_free("--lr")) training.learning_rate = recipe.learning_rate;
  if (is_free("--optimizer")) training.hidden_optimizer = recipe.hidden_optimizer;
  if (is_free("--dropout")) training.dropout = recipe.dropout;
  if (options.recipe == small && is_free("--model-size"))
    options.request.run.model = seq2seq::resized({}, seq2seq::model_size_named("quarter"));
}

int finetune(finetune_options& options) {
  options.request.datasets = {options.dataset};
  options.request.replayed = paths_of(options.replay, "--replay");
  if (options.replay.empty()) options.request.run.replay_share = 0;
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
  command
      .add_option(
          "--recipe", options->recipe,
          "paper: AdamW, 200 epochs, batches of 1024, rate 5e-4; fast: Muon, 20 epochs, batches of 256, rate "
          "2e-3; small, for a CPU: a quarter of the widths without dropout, Muon, 30 epochs, batches of 64, rate "
          "4e-3. Other options override it")
      ->check(CLI::IsMember({"paper", "fast", "small"}))
      ->capture_default_str();
  auto* const replay =
      command.add_option("--replay", options->replay,
                         "dataset directories with commas between them, for example those of pretrain: random examples "
                         "of theirs are learnt as well");
  options->request.run.replay_share = 0.2;
  command
      .add_option("--replay-share", options->request.run.replay_share,
                  "replayed examples in an epoch, as a share of the dataset's")
      ->check(CLI::PositiveNumber)
      ->needs(replay)
      ->capture_default_str();
  add_training_options(command, options->request);
  add_common_options(command, options->common);
  command.callback([options, &command, &status] {
    apply_recipe(command, *options);
    status = finetune(*options);
  });
}

}  // namespace mql4grec::program
