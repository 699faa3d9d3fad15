// The command evaluate: metrics of a model on the held-out items of a dataset.
#include <algorithm>

#include "commands.hpp"
#include "evaluation.hpp"
#include "mql4grec/catalog/read.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/metrics/bootstrap.hpp"
#include "mql4grec/metrics/json.hpp"
#include "mql4grec/rank/calibration_json.hpp"
#include "options.hpp"
#include "ranks.hpp"
#include "report/text.hpp"
#include "warnings.hpp"

namespace mql4grec::program {

namespace {
struct evaluate_options {
  std::filesystem::path dataset, model, save, report, images, baseline_directory;
  sasrec::run_options sasrec = {};  // without its directory
  std::string part = "test", normalize = "full";
  std::optional<double> until;
  bool new_items = false;
  std::vector<std::string> baselines;
  bool intervals = false, calibrate = false;
  pipeline::evaluation_options search;
  common_options common;
  double rank_timeout = 0;  // a rank without users waits for as long as the others search
};

/// With the released code's file names: seqrec is text, seqimage is images.
void save_searches(std::filesystem::path const& directory, pipeline::evaluation const& found) {
  for (std::size_t m = 0; m < found.saved.size(); ++m) {
    auto const task =
        language::modality(m) == language::modality::text ? "rec" : language::name_of(language::modality(m));
    metrics::write_saved_search(directory / ("save_seq" + task + "_" + std::to_string(found.result.beams) + ".json"),
                                found.saved[m]);
  }
}

/// Warns when the model may have seen the interactions that it is tested on.
void warn_of_time(evaluate_options const& options, pipeline::model_metadata const& metadata, progress_log& log) {
  if (!metadata.until)
    log.warn(options.model.string() + ": was trained without --until, and so on interactions of all times");
  else if (*metadata.until > options.until.value())
    log.warn(options.model.string() + ": was trained on interactions until " + catalog::time_text(*metadata.until) +
             ", which is later than --until " + catalog::time_text(*options.until));
}

/// The metrics of each baseline that was requested, in that order.
std::vector<metric_row> evaluate_baselines(evaluate_options const& options, compute const& compute,
                                           evaluation_inputs const& inputs, progress_log& log) {
  auto const directory = options.baseline_directory.empty() ? options.model / "baselines" : options.baseline_directory;
  auto const metrics_of = [&](std::string const& name) {
    auto const until = options.until ? "-until-" + catalog::time_text(*options.until) : std::string();
    if (name == "sasrec") {
      auto run = options.sasrec;
      run.out = directory / ("sasrec-" + inputs.data.name + until);
      return evaluate_sasrec(compute, inputs, std::move(run), log).evaluated;
    }
    return name == "markov" ? evaluate_markov(inputs.data, inputs.options)
                            : evaluate_popularity(inputs.data, inputs.options);
  };
  std::vector<metric_row> rows;
  for (auto const& name : options.baselines) rows.push_back({name, metrics_of(name)});
  return rows;
}

/// 95 % intervals over users of the fused lists' metrics of items, at the largest cut-off.
struct fused_intervals {
  index_t k = 0;
  metrics::interval hit, ndcg;
};

std::optional<fused_intervals> intervals_of(pipeline::evaluation const& found, std::vector<index_t> const& at) {
  if (found.places.empty() || at.empty()) return std::nullopt;
  index_t const k = std::ranges::max(at);
  std::vector<double> hits, gains;
  for (auto const& place : found.places) {
    hits.push_back(metrics::expected_hit(place, k));
    gains.push_back(metrics::expected_ndcg(place, k));
  }
  return fused_intervals{.k = k, .hit = metrics::bootstrap_mean(hits), .ndcg = metrics::bootstrap_mean(gains)};
}

std::string as_text(fused_intervals const& i) {
  auto const range = [](metrics::interval const& v) { return fixed(v.low, 4) + " to " + fixed(v.high, 4); };
  auto const k = std::to_string(i.k);
  return "95 % intervals over users, items in the fused lists: HR@" + k + " " + range(i.hit) + ", NDCG@" + k + " " +
         range(i.ndcg) + "\n";
}

std::filesystem::path calibration_of(std::filesystem::path const& model) { return model / "calibration.json"; }

/// A calibration that was fitted on the validation items, and how it holds on the test items.
struct checked_calibration {
  rank::score_calibration fitted;
  rank::reliability claimed, calibrated;  // of the model's probabilities, and of the calibrated ones
  index_t outcomes = 0;                   // on the validation items
};

/// Fits on the outcomes of `valid`, and checks on those of `test`.
checked_calibration calibrate(pipeline::evaluation const& valid, pipeline::evaluation const& test) {
  checked_calibration made{.fitted = rank::fit_calibration(valid.outcomes, valid.conditions),
                           .claimed = rank::measure_reliability(test.claimed),
                           .calibrated = {},
                           .outcomes = std::ssize(valid.outcomes)};
  auto predictions = test.outcomes;
  for (auto& one : predictions) one.score = made.fitted.probability(one.score);
  made.calibrated = rank::measure_reliability(predictions);
  return made;
}

std::string as_text(checked_calibration const& made) {
  std::string text =
      "calibration: probability that an item of a fused list is the next one\n     count  predicted  observed\n";
  for (auto const& bin : made.calibrated.bins) {
    auto const count = std::to_string(bin.count);
    text += std::string(10 - std::min<std::size_t>(10, count.size()), ' ') + count + "    " + fixed(bin.predicted, 5) +
            "   " + fixed(bin.observed, 5) + "\n";
  }
  return text + "expected calibration error " + fixed(made.calibrated.expected_error, 5) +
         ", of the model's own probabilities " + fixed(made.claimed.expected_error, 5) + "\n";
}

json as_json(pipeline::evaluation const& found, std::optional<fused_intervals> const& intervals,
             std::vector<metric_row> const& baselines) {
  json result = found.result;
  if (intervals) {
    auto const k = std::to_string(intervals->k);
    result["intervals"]["item_ensemble"] = {{"hit@" + k, {intervals->hit.low, intervals->hit.high}},
                                            {"ndcg@" + k, {intervals->ndcg.low, intervals->ndcg.high}}};
  }
  for (auto const& row : baselines) result["baselines"][row.name] = row.values ? json(*row.values) : json(nullptr);
  return result;
}

/// Throws ValidationError for options that exclude each other.
void check_options(evaluate_options const& options) {
  bool const by_time = options.part == "time";
  if (by_time && !options.until) throw CLI::ValidationError("--split time", "needs --until T");
  if (!by_time && options.until) throw CLI::ValidationError("--until", "is an option of --split time");
  if (!by_time && options.new_items) throw CLI::ValidationError("--new-items", "is an option of --split time");
  if (options.calibrate && options.part == "valid")
    throw CLI::ValidationError("--calibrate", "is fitted on the validation items and needs others to check it");
}

int evaluate_on(rank_of_command& rank, evaluate_options options) {
  bool const by_time = options.part == "time", speaks = rank.speaks();
  options.common = options_of(rank, options.common);
  options.search.ranks = rank.communicator;
  if (options.calibrate) options.search.outcomes = options.search.search.beams;
  if (options.new_items) options.search.draft = search::draft_options{.sequences = options.search.search.beams};
  auto const compute = open_compute(options.common);
  if (speaks) check_json(options.common);
  if (speaks && !options.report.empty()) check_writable(options.report);
  if (speaks && options.calibrate) check_writable(calibration_of(options.model));
  options.search.part = options.part == "valid" ? catalog::split::valid : catalog::split::test;
  options.search.search.normalize =
      options.normalize == "trie" ? search::normalization::children : search::normalization::vocabulary;
  progress_log log({.quiet = options.common.quiet});
  warn_of_precision(*compute, log);
  auto const metadata = pipeline::read_model_metadata(options.model);
  auto data = pipeline::read_dataset(options.dataset, metadata.vocab);
  if (by_time) {
    pipeline::split_by_time(data, options.dataset, *options.until);
    warn_of_time(options, metadata, log);
  }
  warn_of(data, log);
  warn_of_domain(metadata, data.name, log);
  log.stage(summary(data));
  if (speaks && !options.save.empty()) make_directory(options.save);
  std::vector<std::filesystem::path> pictures;
  if (speaks && !options.images.empty()) pictures = pictures_in(options.images, options.dataset);
  evaluation_inputs const inputs{.model = options.model, .metadata = metadata, .data = data, .options = options.search};
  std::vector<metric_row> baselines;  // first: their runs may be refused
  if (speaks) baselines = evaluate_baselines(options, *compute, inputs, log);
  std::optional<pipeline::evaluation> valid;
  if (options.calibrate) {
    auto on_valid = inputs.options;
    on_valid.part = catalog::split::valid;
    valid = evaluate_with_progress(
        *compute, {.model = options.model, .metadata = metadata, .data = data, .options = on_valid}, log);
  }
  auto const found = evaluate_with_progress(*compute, inputs, log);
  log.clear();
  if (!speaks) return done;
  auto rows = rows_of(found.result);
  rows.insert(rows.end(), baselines.begin(), baselines.end());
  auto const intervals = options.intervals ? intervals_of(found, options.search.at) : std::nullopt;
  auto result = as_json(found, intervals, baselines);
  auto text = headline(found.result) + metric_table(rows) + (intervals ? as_text(*intervals) : "");
  if (valid && !valid->outcomes.empty()) {
    auto const made = calibrate(*valid, found);
    rank::write_calibration(calibration_of(options.model), made.fitted);
    result["calibration"] = {{"outcomes", made.outcomes}, {"model", made.claimed}, {"calibrated", made.calibrated}};
    text += as_text(made);
  }
  put_result(options.common, result, text);
  if (!options.save.empty()) save_searches(options.save, found);
  if (!options.report.empty())
    write_report(options.report, evaluation_report_of(inputs, found, std::move(rows), std::move(pictures)));
  return done;
}

int evaluate_command(evaluate_options const& options) {
  check_options(options);
  return on_ranks([&](rank_of_command& rank) { return evaluate_on(rank, options); }, options.rank_timeout);
}
}  // namespace

void add_evaluate(CLI::App& program, int& status) {
  auto const options = std::make_shared<evaluate_options>();
  auto& command =
      *program.add_subcommand("evaluate", "rank the whole catalog for each user and compare with the held-out item");
  command.add_option("--dataset", options->dataset, "dataset directory .../Name")->required();
  command.add_option("--model", options->model, "model directory")->required();
  command
      .add_option("--split", options->part,
                  "test: the last item of each user; valid: the one before; time: the first one at or after --until")
      ->check(CLI::IsMember({"test", "valid", "time"}))
      ->capture_default_str();
  command.add_option("--until", options->until, "the time that divides --split time, in the unit of Name.times.json");
  command.add_flag("--new-items", options->new_items,
                   "with --split time: also rank new items alone, those that share prefixes with the beams");
  command.add_flag("--fill-in", options->search.fill_in,
                   "write items of histories that lack a modality with tokens that the model generates");
  command.add_option("--beams", options->search.search.beams, "sequences found for each user")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  command.add_option("--users", options->search.users, "only the first so many users")->check(CLI::Range(1, 1 << 30));
  command
      .add_option("--normalize", options->normalize,
                  "probabilities over the full vocabulary, or over the trie's children")
      ->check(CLI::IsMember({"full", "trie"}))
      ->capture_default_str();
  command.add_flag("--intervals", options->intervals,
                   "also print 95 % intervals over users of the fused lists' metrics (bootstrap)");
  command.add_flag("--calibrate", options->calibrate,
                   "also fit probabilities to the scores of the fused lists on the validation items, check them on the "
                   "evaluated ones, and write MODEL/calibration.json");
  command.add_option("--save", options->save, "directory for save_seqrec_<beams>.json and save_seqimage_<beams>.json");
  auto* const report = command.add_option("--report", options->report, "write a report as one HTML file");
  command.add_option("--images", options->images, "directory of the items' pictures, which the report then shows")
      ->needs(report);
  auto* const baselines =
      command
          .add_option("--baselines", options->baselines,
                      "also evaluate these, separated by commas: popularity, markov (transitions from the last item), "
                      "sasrec (a causal transformer over items, which is trained first)")
          ->delimiter(',')
          ->check(CLI::IsMember({"popularity", "markov", "sasrec"}));
  command
      .add_option("--baseline-dir", options->baseline_directory,
                  "directory for the training of sasrec, which goes on there when it was stopped (default: "
                  "MODEL/baselines)")
      ->needs(baselines);
  auto& sasrec = options->sasrec;
  auto const sasrec_option = [&](char const* name, auto& value, char const* text) {
    return command.add_option(name, value, text)->needs(baselines)->capture_default_str();
  };
  sasrec_option("--sasrec-width", sasrec.model.width, "width of sasrec's embeddings, a multiple of 2 heads")
      ->check(CLI::Range(2, 4096));
  sasrec_option("--sasrec-layers", sasrec.model.layers, "layers of sasrec")->check(CLI::Range(1, 64));
  sasrec_option("--sasrec-dropout", sasrec.training.dropout, "dropout of sasrec")->check(CLI::Range(0.0, 0.99));
  sasrec_option("--sasrec-lr", sasrec.training.learning_rate, "peak of sasrec's learning rate")
      ->check(CLI::PositiveNumber);
  sasrec_option("--sasrec-epochs", sasrec.training.epochs, "epochs of sasrec at most")->check(CLI::Range(1, 1 << 20));
  sasrec_option("--sasrec-seed", sasrec.training.seed, "seed of sasrec");
  add_rank_timeout(command, options->rank_timeout);
  add_common_options(command, options->common);
  command.callback([options, &status] { status = evaluate_command(*options); });
}

}  // namespace mql4grec::program
