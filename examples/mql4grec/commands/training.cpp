// A training command: datasets in, a run in a directory, progress, the result.
#include "training.hpp"

#include <array>
#include <cmath>
#include <utility>

#include "mql4grec/core/json.hpp"
#include "mql4grec/seq2seq/config_json.hpp"
#include "mql4grec/seq2seq/training_state.hpp"
#include "report/report.hpp"
#include "report/text.hpp"
#include "signals.hpp"
#include "training_bar.hpp"
#include "warnings.hpp"

namespace mql4grec::program {

namespace {

/// A validation loss, or a dash when there were no users to validate.
std::string loss_text(double loss) { return std::isfinite(loss) ? fixed(loss, 4) : "-"; }

/// The line after an epoch.
std::string epoch_line(seq2seq::training_progress const& p, std::string const& epoch) {
  auto const& last = p.history.back();
  double const before = p.history.size() > 1 ? p.history[p.history.size() - 2].seconds : 0;
  return epoch + ": train loss " + fixed(last.train_loss, 4) + ", valid loss " + loss_text(last.valid_loss) +
         (p.best_epoch == p.epoch && std::isfinite(last.valid_loss) ? " (best)" : "") + ", " +
         fixed(last.seconds - before, 1) + " s, " + clock_time(last.seconds) + " in all";
}

/// The model that was kept: of the best epoch, or the latest one before the first epoch has ended.
seq2seq::epoch_record kept(seq2seq::training_progress const& p) {
  if (p.best_epoch > 0) return p.history.at(static_cast<std::size_t>(p.best_epoch - 1));
  return {.train_loss = p.mean_epoch_loss(), .valid_loss = std::nan(""), .seconds = p.seconds};  // JSON: null
}

json as_json(seq2seq::training_progress const& p, seq2seq::training_progress const& before) {
  auto const model = kept(p);
  double const seconds = p.seconds - before.seconds;
  return {{"epochs", p.epoch},
          {"steps", p.step},
          {"examples", p.examples},
          {"seconds", p.seconds},
          {"examples_per_second", seconds > 0 ? static_cast<double>(p.examples - before.examples) / seconds : 0.0},
          {"train_loss", model.train_loss},
          {"valid_loss", model.valid_loss},
          {"best_epoch", p.best_epoch}};
}

std::string as_text(seq2seq::training_progress const& p, json const& result, std::filesystem::path const& out) {
  auto const row = [](std::string name, std::string const& value) {
    name.resize(20, ' ');
    return name + value + "\n";
  };
  auto const model = kept(p);
  return row("model", out.string()) + row("epochs", std::to_string(p.epoch)) + row("steps", grouped(p.step)) +
         row("examples", grouped(p.examples)) + row("time", clock_time(p.seconds)) +
         row("examples/s", grouped(static_cast<index_t>(result.at("examples_per_second").get<double>()))) +
         row("best epoch", p.best_epoch > 0 ? std::to_string(p.best_epoch) : "none yet") +
         row("  train loss", fixed(model.train_loss, 4)) + row("  valid loss", loss_text(model.valid_loss));
}

/// The vocabulary of the run to resume, else of the model to start from, else the one that the datasets need.
language::vocabulary vocabulary_for_run(training_request const& request) {
  auto const& run = request.run;
  if (run.resume && std::filesystem::exists(run.out / "mql4grec.json"))
    return pipeline::read_model_metadata(run.out).vocab;
  if (run.init) return pipeline::read_model_metadata(*run.init).vocab;
  auto all = request.datasets;
  all.insert(all.end(), request.replayed.begin(), request.replayed.end());
  return pipeline::vocabulary_of(all, {.prompts = language::paper_prompts + request.domain_prefixes});
}

/// The domains of the run to resume, else of the model to start from with the new datasets, else the datasets.
std::vector<std::string> domains_for_run(training_request const& request, pipeline::training_data const& data) {
  auto const& run = request.run;
  if (run.resume && std::filesystem::exists(run.out / "mql4grec.json"))
    return pipeline::read_model_metadata(run.out).domains;
  pipeline::model_metadata before{.vocab = data.vocab};
  if (run.init) before.domains = pipeline::read_model_metadata(*run.init).domains;
  if (before.domains.empty() && request.domain_prefixes == 0) return {};
  std::vector<std::string> names;
  for (auto const* some : {&data.datasets, &data.replayed})
    for (auto const& one : *some) names.push_back(one.name);
  try {
    return pipeline::extended_domains(before, names);
  } catch (error const& e) {
    if (!run.init) throw;
    raise(run.init->string(), ": ", e.what(), "; pre-train with a larger --domain-prefixes");
  }
}

/// "tokens: <a…> 3 levels of 6, 6, 6 codes, <A…> 4 levels of 256, 256, 256, 256 codes"
std::string shape_of(language::vocabulary const& vocab) {
  std::string text = "tokens:";
  for (index_t m = 0; m < vocab.modalities(); ++m) {
    auto const kind = language::modality(m);
    text += std::string(m > 0 ? ", " : " ") + "<" + vocab.options().modalities[static_cast<std::size_t>(m)].prefix +
            "…> " + counted(vocab.levels(kind), "level") + " of";
    for (index_t l = 0; l < vocab.levels(kind); ++l)
      text += (l > 0 ? ", " : " ") + std::to_string(vocab.codes(kind, l));
    text += " codes";
  }
  return text;
}

/// Warns when a new run uses other prompts than the model that it starts from was trained with.
void warn_of_prompts(pipeline::run_options const& run, progress_log& log) {
  if (!run.init || (run.resume && std::filesystem::exists(run.out / "mql4grec.json"))) return;
  auto const before = pipeline::read_model_metadata(*run.init).tasks;
  if (pipeline::query_prompts(before) != pipeline::query_prompts(run.tasks))
    log.warn(run.init->string() + ": has learnt the next item with " + pipeline::query_prompts(before) + " (tasks " +
             before + "), but --tasks " + run.tasks + " uses " + pipeline::query_prompts(run.tasks));
}

/// Sets the shape of a new model. Throws error if the model of --init, or of a run that is resumed, has another one.
void set_model_size(training_request& request) {
  if (request.model_size.empty()) return;
  auto& run = request.run;
  run.model = seq2seq::resized({}, seq2seq::model_size_named(request.model_size));
  bool const resumed = run.resume && std::filesystem::exists(run.out / "config.json");
  if (!resumed && !run.init) return;
  auto const path = (resumed ? run.out : *run.init) / "config.json";
  auto const found = seq2seq::read_t5_config(path);
  auto const shape = [](seq2seq::t5_config const& c) {
    return std::array{c.model_width, c.inner_width, c.heads, c.encoder_layers, c.decoder_layers};
  };
  expects_file(shape(found) == shape(run.model), path, "has widths ", found.model_width, " and ", found.inner_width,
               ", ", counted(found.heads, "head"), " and ", found.encoder_layers, " + ", found.decoder_layers,
               " layers, expected those of --model-size ", request.model_size, ": ", run.model.model_width, ", ",
               run.model.inner_width, ", ", run.model.heads, " and ", run.model.encoder_layers, " + ",
               run.model.decoder_layers);
}

/// The selection of --train-users; the seed of a random one is set later.
catalog::user_selection parsed_users(std::string const& text) {
  double number = 0;
  auto const percent = text.ends_with('%') ? text.substr(0, text.size() - 1) : "";
  if (!percent.empty() && CLI::detail::lexical_cast(percent, number))
    return catalog::random_users{.share = number / 100};
  index_t count = 0;
  expects(CLI::detail::lexical_cast(text, count), "'", text, "', expected a number of users, or a share such as 5%");
  return catalog::first_users{count};
}

std::string complaint_about_users(std::string const& text) {
  try {
    catalog::validate(parsed_users(text));
    return {};
  } catch (error const& e) {
    return e.what();
  }
}

/// The progress of the run that is resumed; zeros for a new one.
seq2seq::training_progress before_resuming(pipeline::run_options const& run) {
  return run.resume ? saved_progress(run.out).value_or(seq2seq::training_progress{}) : seq2seq::training_progress{};
}

}  // namespace

CLI::Validator known_tasks() {
  auto const complaint = [](std::string const& name) {
    try {
      static_cast<void>(pipeline::mixture_named(name));
      return std::string();
    } catch (error const& e) {
      return std::string(e.what());
    }
  };
  return {complaint, "all|next|released|released-next|LIST"};
}

CLI::Validator known_model_sizes() {
  std::vector<std::string> names;
  for (auto const& size : seq2seq::model_sizes) names.emplace_back(size.name);
  return CLI::IsMember(names);
}

void add_training_options(CLI::App& command, training_request& request) {
  auto& training = request.run.training;
  command.add_option("--out", request.run.out, "directory of the model and of the run")->required();
  command.add_option("--epochs", training.epochs, "epochs at most")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  command
      .add_option("--epoch-updates", training.epoch_updates,
                  "updates of an epoch at most, so that models are validated more often; 0: one pass over the examples")
      ->check(CLI::Range(0, 1'000'000'000))
      ->capture_default_str();
  command.add_option("--batch-size", training.batch_size, "examples in an update")
      ->check(CLI::Range(1, 1 << 24))
      ->capture_default_str();
  command.add_option("--lr", training.learning_rate, "learning rate at its height")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command
      .add_option_function<std::string>(
          "--optimizer",
          [&training](std::string const& name) {
            training.hidden_optimizer = name == "muon" ? std::optional(optim::muon()) : std::nullopt;
          },
          "of the matrices of attention and feed-forward layers; the other parameters are updated by AdamW")
      ->check(CLI::IsMember({"adamw", "muon"}))
      ->default_str("adamw");
  command.add_option("--dropout", training.dropout, "rate of dropout, at least 0 and less than 1")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command
      .add_option("--model-size", request.model_size,
                  "widths and layers of a new model, relative to the paper's (default: whole)")
      ->check(known_model_sizes());
  command
      .add_option("--layer-decay", training.layer_decay,
                  "the learning rate of a layer is this factor of that of the layer above it; 1: all have the same")
      ->check(CLI::Range(0.0, 1.0) & CLI::PositiveNumber)
      ->capture_default_str();
  command
      .add_option_function<std::string>(
          "--gradient-surgery",
          [&training](std::string const& name) {
            using seq2seq::gradient_groups;
            training.surgery = name == "tasks"      ? gradient_groups::tasks
                               : name == "datasets" ? gradient_groups::datasets
                                                    : gradient_groups::none;
          },
          "keep the gradients of tasks or of datasets apart, and project those that conflict")
      ->check(CLI::IsMember({"none", "tasks", "datasets"}))
      ->default_str("none");
  command
      .add_option("--gradient-shards", training.gradient_shards,
                  "parts of a batch whose gradients are added in a fixed order, to the same bits for any number of "
                  "ranks and threads; 0: one for each thread of each rank")
      ->check(CLI::Range(0, 1 << 16))
      ->capture_default_str();
  command.add_flag("--sharded-moments", training.sharded_moments,
                   "each rank keeps AdamW's moments of a part of the parameters, to the same bits with less memory");
  add_rank_timeout(command, request.rank_timeout);
  command
      .add_option("--patience", training.patience,
                  "epochs without a better validation loss before stopping, 0: never stop")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
  command.add_option("--seed", training.seed, "of parameters, order and dropout")->capture_default_str();
  command
      .add_option("--keep-epochs", request.run.keep_epochs,
                  "also keep the models after these epochs, such as 1,3,10, in OUT/epoch-1, OUT/epoch-3, ...")
      ->delimiter(',')
      ->check(CLI::Range(1, 1'000'000));
  command.add_option("--max-seconds", request.run.limits.max_seconds, "stop training after so long; --resume goes on")
      ->check(CLI::PositiveNumber);
  command
      .add_option(
          "--modality-dropout", request.run.modality_dropout,
          "probability that an item of a history is written in its other modality; above 0 the model reads items "
          "that lack a modality in the one that they have")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command
      .add_option_function<std::string>(
          "--train-users", [&request](std::string const& text) { request.run.training_users = parsed_users(text); },
          "train and validate on these users only: N, the first ones, or P%, a random part that --seed determines")
      ->check(CLI::Validator(complaint_about_users, "N|P%"));
  command
      .add_option("--domain-prefixes", request.domain_prefixes,
                  "tokens for the names of so many datasets in the vocabulary of a new model, 0: none; every input "
                  "begins with that of its dataset. With --init, the vocabulary is that model's")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
  command.add_option("--until", request.until,
                     "train and validate on interactions before this time only, for evaluate --split time; in the unit "
                     "of Name.times.json");
  command.add_flag("--resume", request.run.resume,
                   "go on with the run in --out, to the same bits; start it if there is none");
  command.add_option("--report", request.report, "write a report as one HTML file");
}

std::optional<seq2seq::training_progress> saved_progress(std::filesystem::path const& run) {
  auto const path = run / train::state_file_name;
  if (!std::filesystem::exists(path)) return std::nullopt;
  return train::state_file(path).progress<seq2seq::training_progress>();
}

pipeline::run_result train_with_progress(compute const& compute, pipeline::run_options const& run,
                                         pipeline::training_data data, progress_log& log, rank_of_command& rank) {
  training_bar bar(log, "examples", run.training.epochs, run.limits.max_seconds);
  pipeline::run_observer const observer{
      .on_step =
          [&](auto const& p, double loss, std::int64_t steps) {
            rank.step = p.step;
            bar.draw(p, {.seen = p.examples, .steps_per_epoch = steps, .loss = fixed(loss, 4)});
          },
      .on_epoch = [&](auto const& p, bool) { log.milestone(epoch_line(p, bar.epoch_text(p.epoch))); },
      .interrupted =
          [&] {
            log.begin();  // at the first call everything has been read, and the run's directory exists
            return interrupted();
          },
      .on_changed_settings = [&](auto const& changes) { warn_of_changes(changes, log); }};
  return compute.train_model(run, std::move(data), observer, rank.communicator);
}

namespace {
int train_on(rank_of_command& rank, training_request request, common_options const& requested) {
  rank.step = 0;
  auto const common = options_of(rank, requested);
  if (auto& users = request.run.training_users; users && std::holds_alternative<catalog::random_users>(*users))
    std::get<catalog::random_users>(*users).seed = request.run.training.seed;
  set_model_size(request);
  auto const compute = open_compute(common);
  if (rank.speaks()) check_json(common);
  if (rank.speaks() && !request.report.empty()) check_writable(request.report);
  progress_log log({.quiet = common.quiet});
  warn_of_precision(*compute, log);
  pipeline::training_data data{.datasets = {}, .vocab = vocabulary_for_run(request)};
  warn_of_prompts(request.run, log);
  if (data.vocab.options() != language::vocabulary_options{}) log.stage(shape_of(data.vocab));
  std::vector<std::string> names;
  auto const read = [&](std::filesystem::path const& path) {
    auto dataset = pipeline::read_dataset(path, data.vocab);
    if (request.until) pipeline::split_by_time(dataset, path, *request.until);
    warn_of(dataset, log);
    log.stage(summary(dataset));
    return dataset;
  };
  for (auto const& path : request.datasets) {
    data.datasets.push_back(read(path));
    names.push_back(data.datasets.back().name);
  }
  for (auto const& path : request.replayed) data.replayed.push_back(read(path));
  data.domains = domains_for_run(request, data);
  auto const before = before_resuming(request.run);
  auto const result = train_with_progress(*compute, request.run, std::move(data), log, rank);
  log.clear();
  auto const& p = result.progress;
  if (result.status == train::run_status::interrupted) {
    log.stage("mql4grec: interrupted at step " + grouped(p.step) + "; the state is in " + request.run.out.string() +
              ", --resume goes on");
    return interrupted_by_signal;
  }
  if (!rank.speaks()) return done;
  if (result.status == train::run_status::out_of_time)
    log.stage("out of time at step " + grouped(p.step) + "; --resume goes on");
  auto const summary_json = as_json(p, before);
  put_result(common, summary_json, as_text(p, summary_json, request.run.out));
  if (!request.report.empty()) write_report(request.report, training_report(names, request.run.out, p));
  return done;
}
}  // namespace

int run_training(training_request const& request, common_options const& common) {
  return on_ranks([&](rank_of_command& rank) { return train_on(rank, request, common); }, request.rank_timeout);
}

}  // namespace mql4grec::program
