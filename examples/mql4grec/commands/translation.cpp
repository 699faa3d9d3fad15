// A translation: features in, a trained translator, an index per file out.
#include "translation.hpp"

#include <chrono>
#include <cmath>

#include "mql4grec/train/exchange.hpp"
#include "ranks.hpp"
#include "report/text.hpp"
#include "signals.hpp"
#include "training_bar.hpp"
#include "warnings.hpp"

namespace mql4grec::program {

namespace {

/// The features of all files, and what has been measured of them.
struct translation_inputs {
  embed::joined_features<embed::npy_features> const& all;
  std::vector<index_t> present;    ///< the rows that are not zeros, rising
  embed::feature_statistics seen;  ///< of those rows
};

/// The mean squared error that is reported as 1: features of the run are (x − mean) · scale, whose errors are scale² as
/// large.
double error_unit(pipeline::quantizer_run const& run, embed::feature_statistics const& seen) {
  return run.normalize == pipeline::normalization_of_features::standard ? 1 / seen.variance : 1;
}

/// The line after an evaluation of the catalog.
std::string evaluation_line(quantize::rq_vae_progress const& p, std::string const& epoch, double unit) {
  auto const& last = p.history.back();
  std::string used;
  for (auto const& level : last.evaluation->usage) used += (used.empty() ? "" : ", ") + std::to_string(level.used);
  return epoch + ": error " + fixed(last.evaluation->reconstruction_error / unit, 5) + ", collisions " +
         fixed(100 * last.evaluation->collision_rate, 2) + " %, codes used " + used +
         (p.best_epoch == p.epoch ? " (best)" : "") + ", " + clock_time(last.seconds) + " in all";
}

/// Trains the requested quantizer and writes its model to the run's directory.
pipeline::quantizer_run_result learn(compute const& compute, translation_request const& request,
                                     translation_inputs const& inputs, progress_log& log) {
  present_features const features(inputs.all, inputs.present);
  auto const stop_requested = [&] {
    log.begin();
    return interrupted();
  };
  auto run = request.run;
  run.ranks = request.ranks;
  if (request.kmeans) return compute.learn_residual_kmeans(run, *request.kmeans, features, stop_requested);
  training_bar bar(log, "items", run.options.epochs, run.limits.max_seconds);
  pipeline::quantizer_run_observer const observer{
      .on_step =
          [&](auto const& p, auto const& losses, std::int64_t steps) {
            if (request.on_update) request.on_update(p.step);
            bar.draw(p, {.seen = p.items, .steps_per_epoch = steps, .loss = fixed(losses.total, 5)});
          },
      .on_epoch =
          [&](auto const& p, bool) {
            if (p.history.back().evaluation)
              log.milestone(evaluation_line(p, bar.epoch_text(p.epoch), error_unit(run, inputs.seen)));
          },
      .interrupted = stop_requested,
      .on_changed_settings = [&](auto const& changes) { warn_of_changes(changes, log); }};
  return compute.train_quantizer(run, features, inputs.seen, observer);
}

/// The line for a training that did not finish.
std::string unfinished_text(translation_request const& request, pipeline::quantizer_run_result const& trained) {
  if (request.kmeans) return "mql4grec: interrupted; nothing was written";
  return (trained.status == train::run_status::interrupted ? "mql4grec: interrupted at step "
                                                           : "out of time at step ") +
         grouped(trained.progress.step) + "; the state is in " + request.run.out.string() + ", --resume goes on";
}

/// Before the training: throws error when there are fewer distinct rows than codes of a level.
void check_rows(translation_request const& request, present_features const& features) {
  auto const& codes = request.run.model.codes;
  index_t const most = *std::ranges::max_element(codes), rows = embed::distinct_rows(features, most);
  std::string names;
  for (auto const& path : request.embeddings) names += (names.empty() ? "" : ", ") + path.string();
  expects(rows >= most, names, ": ", counted(rows, "row"),
          " with features that differ, expected at least as many as the ", most, " codes of a level; try --codes ",
          rows);
}

/// Throws error when the largest file has more items than there are sequences.
void check_room(translation_request const& request, embed::joined_features<embed::npy_features> const& all,
                progress_log& log) {
  index_t largest = 0;
  for (index_t f = 0; f < all.parts(); ++f) largest = std::max(largest, all.part(f).rows());
  auto const room = quantize::expected_capacity(request.run.model.codes, largest);
  expects(std::log2(static_cast<double>(std::max<index_t>(1, largest))) <= room.log2_sequences ||
              request.collisions == "none" || request.collisions == "suffix",
          "--levels and --codes make 2^", fixed(room.log2_sequences, 1), " sequences, too few for the ",
          grouped(largest), " items of a file");
  log.stage("2^" + fixed(room.log2_sequences, 1) + " sequences for " + counted(largest, "item") +
            " a file at most; chosen evenly, " + fixed(room.expected_collisions, 1) + " of them would collide");
}

/// The rows of one part, counted from its first; rows of all parts rise.
std::vector<index_t> rows_of_part(embed::joined_features<embed::npy_features> const& all,
                                  std::vector<index_t> const& rows, index_t part) {
  index_t const first = all.first_row(part);
  std::vector<index_t> mine(std::ranges::lower_bound(rows, first),
                            std::ranges::lower_bound(rows, first + all.part(part).rows()));
  for (auto& row : mine) row -= first;
  return mine;
}

/// One of the files, its rows that have features, and the codes that some of them have already.
struct file_rows {
  embed::npy_features const& features;
  std::vector<index_t> rows;
  quantize::code_table kept = {};
};

pipeline::translated_catalog translate_file(file_quantizer const& translate, translation_request const& request,
                                            file_rows file, progress_log& log) {
  auto const started = std::chrono::steady_clock::now();
  auto const& features = file.features;
  auto const encoded = std::ranges::count_if(
      file.rows, [&](index_t row) { return !file.kept.has(item_id(static_cast<std::int32_t>(row))); });
  auto const progress = [&, encoded](index_t of_this_rank) {
    leave_if_interrupted(request.ranks);
    double const seconds =
        std::max(1e-9, std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count());
    index_t const done = std::min<index_t>(encoded, of_this_rank * request.ranks.world_size());  // ranks have as many
    log.bar("translating " + features.path().filename().string(),
            static_cast<double>(done) / static_cast<double>(std::max<index_t>(1, encoded)),
            grouped(static_cast<index_t>(static_cast<double>(done) / seconds)) + " items/s");
  };
  return translate(features, {.rows = std::move(file.rows),
                              .policy = pipeline::collision_policy_named(request.collisions),
                              .progress = progress,
                              .kept = std::move(file.kept),
                              .ranks = request.ranks});
}

/// Writes the index of a file.
void write_index_of(translation_request const& request, index_t file, pipeline::translated_catalog const& catalog) {
  if (request.ranks.rank() == 0) pipeline::write_index(request.indices[to_size(file)], catalog.codes, request.run.kind);
}

/// The files of features, in the order of the request.
embed::joined_features<embed::npy_features> open_features(translation_request const& request) {
  std::vector<embed::npy_features> files;
  for (auto const& path : request.embeddings) files.emplace_back(path);
  return embed::joined_features<embed::npy_features>(std::move(files));
}

/// What messages about the rows of all files start with.
std::string name_of_rows(translation_request const& request) {
  return request.embeddings.size() == 1 ? request.embeddings.front().string() : "--embeddings";
}

void log_rows(embed::joined_features<embed::npy_features> const& all, std::vector<index_t> const& present,
              progress_log& log) {
  log.stage(
      grouped(all.rows()) + " items of width " + std::to_string(all.width()) + " in " + counted(all.parts(), "file") +
      (std::ssize(present) < all.rows() ? ", " + grouped(all.rows() - std::ssize(present)) + " of them without features"
                                        : ""));
}

/// Makes the request describe the translator in request.model. Throws file_error when it is of another modality or
/// reads features of another width.
void describe_model(translation_request& request, index_t width) {
  auto const path = request.model / "translator.json";
  auto const model = pipeline::read_quantizer_description(request.model);
  expects_file(model.kind == request.run.kind, path, "the translator was trained on ", language::name_of(model.kind),
               " features, but --modality is ", language::name_of(request.run.kind));
  expects_file(model.input_width == width, path, "the translator reads features of width ", model.input_width,
               ", but those of ", request.embeddings.front().string(), " have the width ", width);
  request.run.model.codes = model.codes;
  request.run.model.input_width = model.input_width;
  if (model.quantizer == pipeline::quantizer_kind::residual_kmeans) request.kmeans = {.codes = model.codes};
}

/// The codes of the items in an index, none if there is no such file.
quantize::code_table kept_codes(translation_request const& request, std::filesystem::path const& index, index_t items) {
  auto sizes = pipeline::sequence_sizes(request.run.model.codes, pipeline::collision_policy_named(request.collisions));
  if (!std::filesystem::exists(index)) return quantize::code_table(0, std::move(sizes));
  return pipeline::read_index(index, {.kind = request.run.kind, .sizes = std::move(sizes), .items = items});
}

}  // namespace

finished_translation run_translation(compute const& compute, translation_request const& request, progress_log& log) {
  auto const all = open_features(request);
  auto const present = embed::rows_with_features(all);
  expects(!present.empty(), request.embeddings.front().string(),
          ": every row is zeros, there are no features to learn from");
  auto const seen = embed::check_finite(embed::selected_features(all, present), name_of_rows(request));
  log_rows(all, present, log);
  check_rows(request, present_features(all, present));
  check_room(request, all, log);
  finished_translation out{
      .trained = learn(compute, request, {all, present, seen}, log), .variance = seen.variance, .catalogs = {}};
  log.clear();
  if (out.trained.status != train::run_status::finished) {
    log.stage(unfinished_text(request, out.trained));
    return out;
  }
  auto const translate = compute.load_quantizer(
      request.kmeans ? pipeline::quantizer_kind::residual_kmeans : pipeline::quantizer_kind::rq_vae,
      request.run.out / "model.safetensors");
  for (index_t f = 0; f < all.parts(); ++f) {
    out.catalogs.push_back(
        translate_file(translate, request, {.features = all.part(f), .rows = rows_of_part(all, present, f)}, log));
    write_index_of(request, f, out.catalogs.back());
  }
  return out;
}

finished_translation run_addition(compute const& compute, translation_request& request, progress_log& log) {
  auto const all = open_features(request);
  describe_model(request, all.width());
  auto const present = embed::rows_with_features(all);
  finished_translation out{.trained = {}, .variance = 0, .catalogs = {}};
  if (!present.empty())
    out.variance = embed::measure_features(embed::selected_features(all, present), name_of_rows(request)).variance;
  log_rows(all, present, log);
  check_room(request, all, log);
  std::vector<quantize::code_table> kept;  // read before anything is written
  for (index_t f = 0; f < all.parts(); ++f)
    kept.push_back(kept_codes(request, request.indices[to_size(f)], all.part(f).rows()));
  train::wait_for_all(request.ranks);  // all have read what is extended
  auto const translate = compute.load_quantizer(
      request.kmeans ? pipeline::quantizer_kind::residual_kmeans : pipeline::quantizer_kind::rq_vae,
      request.model / "model.safetensors");
  log.begin();
  for (index_t f = 0; f < all.parts(); ++f) {
    file_rows file{.features = all.part(f), .rows = rows_of_part(all, present, f), .kept = std::move(kept[to_size(f)])};
    out.catalogs.push_back(translate_file(translate, request, std::move(file), log));
    write_index_of(request, f, out.catalogs.back());
  }
  return out;
}

}  // namespace mql4grec::program
