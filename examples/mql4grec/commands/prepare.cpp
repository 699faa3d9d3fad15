// The command prepare: raw files of ratings and items become a dataset directory, and its interactions a packed file.
#include <chrono>

#include "commands.hpp"
#include "mql4grec/catalog/dataset_paths.hpp"
#include "mql4grec/catalog/interaction_files.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/pipeline/model_metadata.hpp"
#include "mql4grec/pipeline/packed_catalog.hpp"
#include "options.hpp"
#include "progress.hpp"
#include "report/text.hpp"
#include "signals.hpp"

#if MQL4GREC_HAS_RAW
#include <algorithm>

#include "mql4grec/catalog/raw/prepare.hpp"
#include "mql4grec/core/detail/words.hpp"
#endif

namespace mql4grec::program {

namespace {

struct prepare_command_options {
  std::string ratings, metadata, columns, format = "auto";
  std::filesystem::path images, out, pack_catalog, check_catalog;
  index_t user_core = 5, item_core = 5;
  bool export_recbole = false, pack = false;
  common_options common;
};

std::string mebibytes(double bytes) { return fixed(bytes / (1 << 20), 0); }

/// Ends packing, whose temporary files are then removed.
struct packing_interrupted {};

/// The progress of packing: a bar on a terminal, elsewhere a line for every tenth that took more than a second.
class packing_progress {
 public:
  packing_progress(progress_log& log, std::string label) : log_(log), label_(std::move(label)) {}

  void operator()(catalog::pack_progress const& p) {
    if (interrupted()) throw packing_interrupted();
    auto const now = clock::now();
    double const seconds = std::chrono::duration<double>(now - start_).count();
    double const share = p.size > 0 ? static_cast<double>(p.bytes) / static_cast<double>(p.size) : 1;
    if (seconds <= 0.5 || share <= 0) return;
    auto const rate = static_cast<index_t>(static_cast<double>(p.interactions) / seconds);
    auto const details = grouped(p.users) + " users, " + grouped(p.interactions) + " interactions, " + grouped(rate) +
                         "/s, " + mebibytes(static_cast<double>(p.bytes) / seconds) + " MiB/s, " +
                         clock_time(seconds * (1 - share) / share) + " left";
    log_.begin();
    log_.bar(label_, share, details);
    if (share < next_ || now - last_ < std::chrono::seconds(1)) return;
    log_.milestone(label_ + ": " + fixed(100 * share, 0) + " %, " + details);
    next_ = share + 0.1;
    last_ = now;
  }

 private:
  using clock = std::chrono::steady_clock;
  progress_log& log_;
  std::string label_;
  double next_ = 0.1;
  clock::time_point start_ = clock::now(), last_ = start_;
};

/// Packs the interactions of the dataset directory. The result is merged into `result`; returns it as a text.
std::string pack(catalog::dataset_paths const& paths, progress_log& log, json& result) {
  auto const start = std::chrono::steady_clock::now();
  auto const label = "packing " + paths.packed().filename().string();
  log.stage(label);
  packing_progress progress(log, label);
  auto const made = catalog::pack_interactions(paths, [&](auto const& p) { progress(p); });
  double const seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  log.clear();
  log.begin();
  result["packed"] = {{"file", paths.packed().string()}, {"users", made.users}, {"interactions", made.interactions},
                      {"items", made.item_count},        {"bytes", made.bytes}, {"source_bytes", made.source_bytes},
                      {"times", made.has_times},         {"seconds", seconds}};
  return "packed " + counted(made.interactions, "interaction") + " of " + counted(made.users, "user") +
         (made.has_times ? " with times" : "") + ": " + grouped(made.bytes) + " bytes instead of " +
         grouped(made.source_bytes) + ", " + fixed(seconds, 1) + " s\n";
}

/// Packs the token indices of the dataset directory for a model. The result is merged into `result`; returns it as a
/// text.
std::string pack_catalog(catalog::dataset_paths const& paths, std::filesystem::path const& model, progress_log& log,
                         json& result) {
  auto const start = std::chrono::steady_clock::now();
  expects_file(std::filesystem::exists(model / "config.json"), model / "config.json", "is missing, expected a model");
  auto const metadata = pipeline::read_model_metadata(model);
  log.stage("packing " + paths.packed_catalog().filename().string());
  auto const made = pipeline::pack_catalog(paths.directory(), metadata.vocab);
  leave_if_interrupted();
  try {
    static_cast<void>(pipeline::find_packed_catalog(paths.directory(), metadata.vocab, search::packed_check::all));
  } catch (file_error const&) {  // the disk has damaged it: without the file, commands read the indices
    std::filesystem::remove(paths.packed_catalog());
    throw;
  }
  double const seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  log.clear();
  log.begin();
  result["packed_catalog"] = {{"file", paths.packed_catalog().string()},
                              {"items", made.items},
                              {"sequences", made.sequences},
                              {"nodes", made.nodes},
                              {"leaves", made.leaves},
                              {"bytes", made.bytes},
                              {"seconds", seconds}};
  return "packed " + counted(made.sequences, "sequence") + " of " + counted(made.items, "item") + ": " +
         grouped(made.bytes) + " bytes, " + fixed(seconds, 1) + " s\n";
}

/// Checks the whole packed catalog of the dataset directory, as after a copy; returns the result as a text.
std::string check_catalog(catalog::dataset_paths const& paths, std::filesystem::path const& model, progress_log& log,
                          json& result) {
  end_at_interruption();
  expects_file(std::filesystem::exists(model / "config.json"), model / "config.json", "is missing, expected a model");
  auto const metadata = pipeline::read_model_metadata(model);
  log.stage("checking " + paths.packed_catalog().filename().string());
  auto const found = pipeline::find_packed_catalog(paths.directory(), metadata.vocab, search::packed_check::all);
  catch_interruptions();
  expects_file(found != nullptr, paths.packed_catalog(), "is missing");
  log.clear();
  auto const items = found->tables.front().items();
  result["checked_catalog"] = {{"file", paths.packed_catalog().string()}, {"items", items}};
  return paths.packed_catalog().filename().string() + " is undamaged: " + counted(items, "item") + "\n";
}

/// Packs a dataset directory that exists.
int pack_command(prepare_command_options const& options) {
  check_json(options.common);
  progress_log log({.quiet = options.common.quiet});
  catalog::dataset_paths const paths(options.out);
  json result = {{"dataset", paths.name()}};
  std::string text;
  if (options.pack) text += pack(paths, log, result);
  if (!options.pack_catalog.empty()) text += pack_catalog(paths, options.pack_catalog, log, result);
  if (!options.check_catalog.empty()) text += check_catalog(paths, options.check_catalog, log, result);
  put_result(options.common, result, text);
  return done;
}

#if MQL4GREC_HAS_RAW

catalog::column_names columns_of(std::string const& text) {
  if (text.empty()) return {};
  auto const names = core::detail::split_at_commas(text);
  if ((names.size() != 2 && names.size() != 3) ||
      std::ranges::any_of(names, [](auto const& name) { return name.empty(); }))
    throw CLI::ValidationError("--columns",
                               "'" + text + "': expected the names of two or three columns, user,item[,time]");
  return {
      .user = names[0], .item = names[1], .time = names.size() == 3 ? names[2] : "", .without_time = names.size() == 2};
}

/// Draws the progress of the file that is being read: its share, rate, bytes and time left.
class reading_progress {
 public:
  explicit reading_progress(progress_log& log) : log_(log) {}

  void begin(std::string const& stage) {
    log_.clear();
    log_.stage(stage);
    label_ = stage;
    start_ = std::chrono::steady_clock::now();
  }
  void operator()(catalog::read_progress const& p) {
    leave_if_interrupted();
    double const seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    double const share = p.size > 0 ? static_cast<double>(p.bytes) / static_cast<double>(p.size) : 1;
    if (seconds <= 0 || share <= 0) return;
    if (seconds > 0.5) log_.begin();  // not before: what is wrong with a file is mostly wrong at its beginning
    log_.bar(label_, share,
             mebibytes(static_cast<double>(p.bytes)) + "/" + mebibytes(static_cast<double>(p.size)) + " MiB, " +
                 mebibytes(static_cast<double>(p.bytes) / seconds) + " MiB/s, " + grouped(p.lines) + " lines, " +
                 clock_time(seconds * (1 - share) / share) + " left");
  }

 private:
  progress_log& log_;
  std::string label_;
  std::chrono::steady_clock::time_point start_ = {};
};

/// Table 1 of the paper, and what was removed.
std::string as_text(std::string const& name, catalog::dataset_statistics const& s) {
  std::string text = "dataset        users        items  interactions  sparsity  mean length\n";
  auto const column = [&](std::string const& value, std::size_t width) {
    text += std::string(value.size() < width ? width - value.size() : 1, ' ') + value;
  };
  text += name;
  column(grouped(s.users), name.size() < 20 ? 20 - name.size() : 1);
  column(grouped(s.items), 13);
  column(grouped(s.interactions), 14);
  column(fixed(100 * s.sparsity(), 3) + "%", 10);
  column(fixed(s.mean_length(), 2), 13);
  text += "\nof " + counted(s.raw_ratings, "rating") + " by " + counted(s.raw_users, "user") + " of " +
          counted(s.raw_items, "item") + "; " + counted(s.duplicates, "duplicate") +
          " removed; test targets that depend on the order of the file: " + grouped(s.tied_test_targets) + "\n";
  if (!s.metadata.empty())
    text += counted(s.items_with_title, "item") + " with a title, " + grouped(s.items_with_description) +
            " with a description\n";
  if (s.items_with_image + s.unmatched_images > 0) text += counted(s.items_with_image, "item") + " with a picture\n";
  return text;
}

void warn_of(catalog::dataset_statistics const& s, progress_log& log) {
  if (s.items_without_metadata > 0)
    log.warn("--meta: " + grouped(s.items_without_metadata) + " of " + counted(s.items, "item") +
             " are not in the metadata, the first is '" + s.first_item_without_metadata + "'");
  if (s.unmatched_images > 0)
    log.warn("--images: " + counted(s.unmatched_images, "picture") + " without an item in the dataset, the first is '" +
             s.first_unmatched_image + "'");
}

/// Fails before the work when the dataset can't be written afterwards. Nothing is created.
void check_out(std::filesystem::path const& out) {
  auto existing = std::filesystem::absolute(out).lexically_normal();
  while (!std::filesystem::exists(existing) && existing.has_relative_path()) existing = existing.parent_path();
  expects_file(std::filesystem::is_directory(existing), existing, "is a file, expected a directory");
  check_writable(existing / ".mql4grec");
  auto const texts = catalog::interaction_texts(catalog::dataset_paths(out));
  expects_file(texts.form != catalog::interaction_form::json_lines, out, "contains the interactions ",
               texts.files.empty() ? "" : texts.files.front().filename().string(), ", expected another directory");
}

int prepare_raw_files(prepare_command_options& options) {
  check_json(options.common);
  check_out(options.out);
  progress_log log({.quiet = options.common.quiet});
  reading_progress progress(log);
  catalog::prepare_options how{.ratings = paths_of(options.ratings, "--ratings"),
                               .metadata = paths_of(options.metadata, "--meta"),
                               .images = options.images,
                               .format = catalog::raw_format_of(options.format),
                               .columns = columns_of(options.columns),
                               .core = {.user = options.user_core, .item = options.item_core},
                               .reading = {.progress = [&](auto const& p) { progress(p); }},
                               .stage = [&](std::string const& stage) { progress.begin(stage); }};
  auto const made = catalog::prepare_dataset(how);
  progress.begin("writing " + options.out.string());
  catalog::write_dataset(options.out, made,
                         options.export_recbole ? catalog::export_format::recbole : catalog::export_format::none);
  log.clear();
  log.begin();
  warn_of(made.statistics, log);
  catalog::dataset_paths const paths(options.out);
  json result = {{"dataset", paths.name()}};
  result.update(catalog::statistics_json(made.statistics));
  auto text = as_text(paths.name(), made.statistics);
  if (options.pack) text += pack(paths, log, result);
  put_result(options.common, result, text);
  return done;
}

#else

int prepare_raw_files(prepare_command_options&) {
  raise("prepare needs zlib, simdjson and gumbo, which this program was built without (MQL4GREC_RAW)");
}

#endif

int prepare_command(prepare_command_options& options) {
  try {
    if (!options.ratings.empty()) return prepare_raw_files(options);
    if (!options.pack && options.pack_catalog.empty() && options.check_catalog.empty())
      throw CLI::RequiredError("--ratings, --pack or --pack-catalog");
    return pack_command(options);
  } catch (packing_interrupted) {
    return interrupted_by_signal;
  }
}

}  // namespace

void add_prepare(CLI::App& program, int& status) {
  auto const options = std::make_shared<prepare_command_options>();
  auto& o = *options;
  auto& command = *program.add_subcommand("prepare", "turn raw files of ratings and items into a dataset directory");
  auto* const ratings = command.add_option(
      "--ratings", o.ratings, "files of ratings, plain or .gz, separated by commas; required unless --pack is given");
  command.add_option("--meta", o.metadata, "files with the texts of items, plain or .gz, separated by commas")
      ->needs(ratings);
  command.add_option("--images", o.images, "directory of pictures, <raw id>.<jpg|png|webp> or <number>.<...>")
      ->needs(ratings);
  command.add_option("--out", o.out, "dataset directory .../Name to write")->required();
  command.add_option("--format", o.format, "of the ratings; auto: recognized by the first line")
      ->needs(ratings)
      ->check(CLI::IsMember({"auto", "amazon2018", "amazon2023", "movielens", "recbole", "csv"}))
      ->capture_default_str();
  command.add_option("--columns", o.columns,
                     "names of columns: user,item,time; or user,item for files in chronological order");
  command.add_option("--user-core", o.user_core, "ratings that a user must have")
      ->needs(ratings)
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
  command.add_option("--item-core", o.item_core, "ratings that an item must have")
      ->needs(ratings)
      ->check(CLI::Range(0, 1'000'000))
      ->capture_default_str();
  command.add_flag("--export-recbole", o.export_recbole, "also write RecBole's atomic files Name.inter and Name.item")
      ->needs(ratings);
  command.add_flag("--pack", o.pack,
                   "also write Name.inter.packed, which all commands map instead of reading it into memory; without "
                   "--ratings, from the Name.inter.json, Name.inter.jsonl or Name.inter-00001-of-00008.jsonl ... that "
                   "--out has");
  command
      .add_option("--pack-catalog", o.pack_catalog,
                  "a model directory: also write Name.catalog.packed, the token indices that --out has with their "
                  "tries, in the vocabulary of this model; serve and recommend map it")
      ->excludes(ratings);
  command
      .add_option("--check-catalog", o.check_catalog,
                  "a model directory: check the whole Name.catalog.packed that --out has; after a copy, since a start "
                  "checks its header only")
      ->excludes(ratings);
  add_common_options(command, o.common);
  command.callback([options, &status] { status = prepare_command(*options); });
}

}  // namespace mql4grec::program
