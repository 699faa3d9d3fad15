#include "training.hpp"

#include <chrono>
#include <utility>

#include "gpu.hpp"
#include "mql4grec/backend/cpu/cpu.hpp"
#include "mql4grec/core/json.hpp"
#include "report.hpp"
#include "signals.hpp"

namespace mql4grec::program {

namespace {

/// A validation loss, or a dash where nobody was validated.
std::string loss_text(double loss) { return std::isfinite(loss) ? fixed(loss, 4) : "-"; }

/// The rates and times of this call, whatever earlier ones did before a resumption.
class training_watch {
 public:
  training_watch(training_options const& options, double max_seconds, progress_log& log)
      : options_(options), max_seconds_(max_seconds), log_(log) {}

  void on_step(training_progress const& p, double loss, std::int64_t steps_per_epoch) {
    if (first_step_ < 0) {  // the clock starts behind the first update, which pays for the first touch of everything
      started_ = clock::now();
      first_step_ = p.step;
      first_examples_ = p.examples;
      return;
    }
    double const elapsed = std::max(1e-9, std::chrono::duration<double>(clock::now() - started_).count());
    auto const all = options_.epochs * steps_per_epoch;
    double const left =
        std::min(elapsed / static_cast<double>(p.step - first_step_) * static_cast<double>(all - p.step),
                 max_seconds_ - elapsed);
    auto const rate = static_cast<index_t>(static_cast<double>(p.examples - first_examples_) / elapsed);
    log_.bar("epoch " + std::to_string(p.epoch + 1) + "/" + std::to_string(options_.epochs),
             static_cast<double>(p.step) / static_cast<double>(all),
             grouped(rate) + " examples/s  loss " + fixed(loss, 4) + "  " + clock_time(left) + " left");
  }

  void on_epoch(training_progress const& p, bool better) {
    auto const& last = p.history.back();
    double const before = p.history.size() > 1 ? p.history[p.history.size() - 2].seconds : 0;
    log_.milestone("epoch " + std::to_string(p.epoch) + "/" + std::to_string(options_.epochs) + ": train loss " +
                   fixed(last.train_loss, 4) + ", valid loss " + loss_text(last.valid_loss) +
                   (better && std::isfinite(last.valid_loss) ? " (best)" : "") + ", " +
                   fixed(last.seconds - before, 1) + " s, " + clock_time(last.seconds) + " in all");
  }

 private:
  using clock = std::chrono::steady_clock;

  training_options const& options_;
  double max_seconds_;
  progress_log& log_;
  clock::time_point started_ = {};
  std::int64_t first_step_ = -1, first_examples_ = 0;
};

/// The model that was kept: of the best epoch, or what there is before the first one has ended.
epoch_record kept(training_progress const& p) {
  if (p.best_epoch > 0) return p.history.at(static_cast<std::size_t>(p.best_epoch - 1));
  return {.train_loss = p.mean_epoch_loss(), .valid_loss = std::nan(""), .seconds = p.seconds};  // JSON: null
}

json as_json(training_progress const& p, training_progress const& before) {
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

std::string as_text(training_progress const& p, json const& result, std::filesystem::path const& out) {
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

/// Words of the run to go on with, else of the model to start from, else those that the datasets need.
vocabulary words_for(training_request const& request) {
  auto const& run = request.run;
  if (run.resume && std::filesystem::exists(run.out / "mql4grec.json")) return read_model_metadata(run.out).vocab;
  if (run.init) return read_model_metadata(*run.init).vocab;
  return vocabulary_of(request.datasets);
}

/// "words: <a…> 3 levels of 6, 6, 6 codes, <A…> 4 levels of 256, 256, 256, 256 codes"
std::string shape_of(vocabulary const& vocab) {
  std::string text = "words:";
  for (index_t m = 0; m < vocab.modalities(); ++m) {
    auto const kind = modality(m);
    text += std::string(m > 0 ? ", " : " ") + "<" + vocab.options().modalities[static_cast<std::size_t>(m)].prefix +
            "…> " + counted(vocab.levels(kind), "level") + " of";
    for (index_t l = 0; l < vocab.levels(kind); ++l)
      text += (l > 0 ? ", " : " ") + std::to_string(vocab.codes(kind, l));
    text += " codes";
  }
  return text;
}

/// Says when a new run asks otherwise than the model that it starts from has learnt.
void warn_of_prompts(run_options const& run, progress_log& log) {
  if (!run.init || (run.resume && std::filesystem::exists(run.out / "mql4grec.json"))) return;
  auto const before = read_model_metadata(*run.init).tasks;
  if (query_prompts(before) != query_prompts(run.tasks))
    log.warn(run.init->string() + ": has learnt the next item with " + query_prompts(before) + " (tasks " + before +
             "), but --tasks " + run.tasks + " asks with " + query_prompts(run.tasks));
}

/// Where the run in a directory stands, for one that goes on with it.
training_progress before_resuming(run_options const& run) {
  return run.resume ? saved_progress(run.out).value_or(training_progress{}) : training_progress{};
}

}  // namespace

void add_training_options(CLI::App& command, training_request& request) {
  auto& training = request.run.training;
  command.add_option("--out", request.run.out, "directory of the model and of the run")->required();
  command.add_option("--epochs", training.epochs, "epochs at most")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  command.add_option("--batch-size", training.batch_size, "examples in an update")
      ->check(CLI::Range(1, 1 << 24))
      ->capture_default_str();
  command.add_option("--lr", training.learning_rate, "learning rate at its height")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command
      .add_option("--patience", training.patience,
                  "epochs without a better validation loss before stopping, 0: never stop")
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
  command.add_option("--seed", training.seed, "of parameters, order and dropout")->capture_default_str();
  command.add_option("--max-seconds", request.run.limits.max_seconds, "stop training after so long; --resume goes on")
      ->check(CLI::PositiveNumber);
  command.add_flag("--resume", request.run.resume,
                   "go on with the run in --out, to the same bits; start it if there is none");
  command.add_option("--report", request.report, "write a report as one HTML file");
}

void warn_of_items_without_tokens(dataset const& data, progress_log& log) {
  constexpr std::size_t named = 5;
  auto const items = items_without_tokens(data);
  if (items.empty()) return;
  std::string names;
  for (std::size_t i = 0; i < std::min(named, items.size()); ++i)
    names += (i > 0 ? ", " : "") + std::to_string(index(items[i]));
  log.warn(data.name + ": " + counted(std::ssize(items), "item") +
           " without tokens in any index, which nobody is recommended: " + names +
           (items.size() > named ? ", ..." : ""));
}

void warn_of(dataset const& data, progress_log& log) {
  auto const all = data.interactions.users();
  if (auto const users = short_users(data.interactions); users == all)
    log.warn(
        data.name + ": none of " + counted(all, "user") +
        " has 3 items, the last two for validation and test: there is no validation loss and there are no metrics");
  else if (users > 0)
    log.warn(data.name + ": " + grouped(users) + " of " + counted(all, "user") +
             " with fewer than 3 items: trained on, but neither validated nor tested");
  auto const text = duplicate_items(data.table(modality::text)), image = duplicate_items(data.table(modality::image));
  if (text + image > 0)
    log.warn(data.name + ": " + counted(text, "item") + " in text and " + counted(image, "item") +
             " in images have the tokens of an item before them and can't be told from it there");
  warn_of_items_without_tokens(data, log);
}

std::optional<training_progress> saved_progress(std::filesystem::path const& run) {
  auto const path = run / "training.safetensors";
  if (!std::filesystem::exists(path)) return std::nullopt;
  safetensors const file(path);
  auto const found = file.metadata().find("progress");
  expects_file(found != file.metadata().end(), path, "metadata 'progress' is missing, expected a training state");
  try {
    return parse_json(found->second, path).get<training_progress>();
  } catch (json::exception const& e) {
    detail::raise<file_error>(path.string(), ": metadata 'progress': ", e.what());
  }
}

std::string summary(dataset const& data) {
  auto const& histories = data.interactions;
  return data.name + ": " + grouped(histories.users()) + " users, " + grouped(std::ssize(catalog_of(data))) +
         " items, " + grouped(std::ssize(histories.items)) + " interactions";
}

run_result train_with_progress(run_options const& run, common_options const& common, std::vector<dataset> datasets,
                               vocabulary const& vocab, progress_log& log) {
  training_watch watch(run.training, run.limits.max_seconds, log);
  run_observer const observer{
      .on_step = [&](auto const& p, double loss, std::int64_t steps) { watch.on_step(p, loss, steps); },
      .on_epoch = [&](auto const& p, bool better) { watch.on_epoch(p, better); },
      .interrupted =
          [&] {
            log.begin();  // asked for the first time: everything has been read, and the run's directory is there
            return interrupted();
          },
      .on_changed_settings = [&](auto const& changes) { warn_of_changes(changes, log); }};
  if (on_gpu(common)) return train_on_gpu(run, std::move(datasets), vocab, observer, precision_of(common));
  cpu::backend backend(common.threads, precision_of(common));
  return train_model(backend, run, std::move(datasets), vocab, observer);
}

int run_training(training_request const& request, common_options const& common) {
  check_build(common);
  check_json(common);
  if (!request.report.empty()) check_writable(request.report);
  progress_log log(common.quiet);
  warn_of_precision(common, log);
  auto const vocab = words_for(request);
  warn_of_prompts(request.run, log);
  if (vocab.options() != vocabulary_options{}) log.stage(shape_of(vocab));
  std::vector<dataset> datasets;
  std::vector<std::string> names;
  for (auto const& path : request.datasets) {
    auto read = read_dataset(path, vocab);
    warn_of(read, log);
    log.stage(summary(read));
    names.push_back(read.name);
    datasets.push_back(std::move(read));
  }
  auto const before = before_resuming(request.run);
  auto const result = train_with_progress(request.run, common, std::move(datasets), vocab, log);
  log.clear();
  auto const& p = result.progress;
  if (result.status == train::run_status::interrupted) {
    log.stage("mql4grec: interrupted at step " + grouped(p.step) + "; the state is in " + request.run.out.string() +
              ", --resume goes on");
    return interrupted_by_signal;
  }
  if (result.status == train::run_status::out_of_time)
    log.stage("out of time at step " + grouped(p.step) + "; --resume goes on");
  auto const summary_json = as_json(p, before);
  put_result(common, summary_json, as_text(p, summary_json, request.run.out));
  if (!request.report.empty()) write_report(request.report, training_report(names, request.run.out, p));
  return done;
}

}  // namespace mql4grec::program
