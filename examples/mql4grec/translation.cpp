#include "translation.hpp"

#include <chrono>

#include "gpu.hpp"
#include "mql4grec/catalog/read.hpp"
#include "mql4grec/embed/npy_features.hpp"
#include "signals.hpp"

namespace mql4grec::program {

namespace {

/// Rates and times of this call.
class translator_watch {
 public:
  translator_watch(translator_run const& run, progress_log& log) : run_(run), log_(log) {}

  void on_step(translator_progress const& p, rq_vae_losses const& losses, std::int64_t steps) {
    if (first_items_ < 0) {
      started_ = clock::now();
      first_items_ = p.items;
      first_step_ = p.step;
      return;
    }
    double const elapsed = std::max(1e-9, std::chrono::duration<double>(clock::now() - started_).count());
    auto const all = run_.options.epochs * steps;
    double const left =
        std::min(elapsed / static_cast<double>(p.step - first_step_) * static_cast<double>(all - p.step),
                 run_.limits.max_seconds - elapsed);
    log_.bar("epoch " + std::to_string(p.epoch + 1) + "/" + std::to_string(run_.options.epochs),
             static_cast<double>(p.step) / static_cast<double>(all),
             grouped(static_cast<index_t>(static_cast<double>(p.items - first_items_) / elapsed)) + " items/s  loss " +
                 fixed(losses.total, 5) + "  " + clock_time(left) + " left");
  }
  void on_epoch(translator_progress const& p, bool better, double unit) {
    auto const& last = p.history.back();
    if (!last.evaluation) return;
    std::string used;
    for (auto const& level : last.evaluation->usage) used += (used.empty() ? "" : ", ") + std::to_string(level.used);
    log_.milestone("epoch " + std::to_string(p.epoch) + "/" + std::to_string(run_.options.epochs) + ": error " +
                   fixed(last.evaluation->reconstruction_error / unit, 5) + ", collisions " +
                   fixed(100 * last.evaluation->collision_rate, 2) + " %, codes used " + used +
                   (better ? " (best)" : "") + ", " + clock_time(last.seconds) + " in all");
  }

 private:
  using clock = std::chrono::steady_clock;
  translator_run const& run_;
  progress_log& log_;
  clock::time_point started_ = {};
  std::int64_t first_items_ = -1, first_step_ = 0;
};

/// (x − mean) · scale has errors scale² as large.
double error_unit(translator_run const& run, feature_statistics const& seen) {
  return run.normalize == normalization_of_features::standard ? 1 / seen.variance : 1;
}

/// Whichever quantizer was asked for; its model is in the run's directory then.
translator_result learn(translation_request const& request, common_options const& common,
                        joined_features<npy_features> const& all, feature_statistics const& seen,
                        std::vector<index_t> present, progress_log& log) {
  present_features const features(all, std::move(present));
  auto const asked = [&] {
    log.begin();
    return interrupted();
  };
  auto const& run = request.run;
  if (request.kmeans) {
    if (on_gpu(common)) return learn_residual_kmeans_on_gpu(run, *request.kmeans, features, asked);
    cpu::backend backend(common.threads);
    return learn_residual_kmeans(backend, run, *request.kmeans, features, asked);
  }
  translator_watch watch(run, log);
  translator_run_observer const observer{
      .on_step = [&](auto const& p, auto const& losses, std::int64_t steps) { watch.on_step(p, losses, steps); },
      .on_epoch = [&](auto const& p, bool better) { watch.on_epoch(p, better, error_unit(run, seen)); },
      .interrupted = asked,
      .on_changed_settings = [&](auto const& changes) { warn_of_changes(changes, log); }};
  if (on_gpu(common)) return train_translator_on_gpu(run, features, seen, observer, precision_of(common));
  cpu::backend backend(common.threads, precision_of(common));
  return train_translator(backend, run, features, seen, observer);
}

/// Of a training that didn't finish.
std::string where_it_stands(translation_request const& request, translator_result const& trained) {
  if (request.kmeans) return "mql4grec: interrupted; nothing was written";
  return (trained.status == train::run_status::interrupted ? "mql4grec: interrupted at step "
                                                           : "out of time at step ") +
         grouped(trained.progress.step) + "; the state is in " + request.run.out.string() + ", --resume goes on";
}

/// Before anything is learnt: whether there is a row for every code to stand for.
void check_rows(translation_request const& request, present_features const& features) {
  auto const& codes = request.run.model.codes;
  index_t const most = *std::ranges::max_element(codes), rows = distinct_rows(features, most);
  std::string names;
  for (auto const& path : request.embeddings) names += (names.empty() ? "" : ", ") + path.string();
  expects(rows >= most, names, ": ", counted(rows, "row"),
          " with features that differ, expected at least as many as the ", most, " codes of a level; try --codes ",
          rows);
}

/// Before anything is learnt: whether the largest catalog has room, and how much.
void check_room(translation_request const& request, joined_features<npy_features> const& all, progress_log& log) {
  index_t largest = 0;
  for (index_t f = 0; f < all.parts(); ++f) largest = std::max(largest, all.part(f).rows());
  auto const room = expected_capacity(request.run.model.codes, largest);
  expects(std::log2(static_cast<double>(std::max<index_t>(1, largest))) <= room.log2_sequences ||
              request.collisions == "none" || request.collisions == "suffix",
          "--levels and --codes make 2^", fixed(room.log2_sequences, 1), " sequences, too few for the ",
          grouped(largest), " items of a file");
  log.stage("2^" + fixed(room.log2_sequences, 1) + " sequences for " + counted(largest, "item") +
            " a file at most; chosen evenly, " + fixed(room.expected_collisions, 1) + " of them would collide");
}

/// The rows of one part, counted from its first; rows of all parts rise.
std::vector<index_t> rows_of_part(joined_features<npy_features> const& all, std::vector<index_t> const& rows,
                                  index_t part) {
  index_t const first = all.first_row(part);
  std::vector<index_t> mine(std::ranges::lower_bound(rows, first),
                            std::ranges::lower_bound(rows, first + all.part(part).rows()));
  for (auto& row : mine) row -= first;
  return mine;
}

/// The finished model, for all files.
file_translator finished_model(translation_request const& request, common_options const& common) {
  auto const path = request.run.out / "model.safetensors";
  if (on_gpu(common)) return request.kmeans ? residual_kmeans_on_gpu(path) : translator_on_gpu(path);
  if (request.kmeans)
    return translator_on(cpu::backend(common.threads),
                         [&](auto& backend) { return read_residual_kmeans(backend, path); });
  return translator_on(cpu::backend(common.threads), [&](auto& backend) { return read_rq_vae<float>(backend, path); });
}

translated_catalog translate_one(file_translator const& translate, translation_request const& request,
                                 npy_features const& features, std::vector<index_t> rows, progress_log& log) {
  auto const started = std::chrono::steady_clock::now();
  return translate(features, std::move(rows), collision_policy_named(request.collisions), [&](index_t done) {
    leave_if_interrupted();
    double const seconds =
        std::max(1e-9, std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count());
    log.bar("translating " + features.path().filename().string(),
            static_cast<double>(done) / static_cast<double>(std::max<index_t>(1, features.rows())),
            grouped(static_cast<index_t>(static_cast<double>(done) / seconds)) + " items/s");
  });
}

}  // namespace

finished_translation run_translation(translation_request const& request, common_options const& common,
                                     progress_log& log) {
  std::vector<npy_features> files;
  for (auto const& path : request.embeddings) files.emplace_back(path);
  joined_features<npy_features> const all(std::move(files));
  auto const present = rows_with_features(all);
  expects(!present.empty(), request.embeddings.front().string(),
          ": every row is zeros, there are no features to learn from");
  auto const seen = check_finite(selected_features(all, present),
                                 request.embeddings.size() == 1 ? request.embeddings.front().string() : "--embeddings");
  log.stage(
      grouped(all.rows()) + " items of width " + std::to_string(all.width()) + " in " + counted(all.parts(), "file") +
      (std::ssize(present) < all.rows() ? ", " + grouped(all.rows() - std::ssize(present)) + " of them without features"
                                        : ""));
  check_rows(request, present_features(all, present));
  check_room(request, all, log);
  finished_translation out{
      .trained = learn(request, common, all, seen, present, log), .variance = seen.variance, .catalogs = {}};
  log.clear();
  if (out.trained.status != train::run_status::finished) {
    log.stage(where_it_stands(request, out.trained));
    return out;
  }
  auto const translate = finished_model(request, common);
  for (index_t f = 0; f < all.parts(); ++f) {
    out.catalogs.push_back(translate_one(translate, request, all.part(f), rows_of_part(all, present, f), log));
    write_index(request.indices[static_cast<std::size_t>(f)], out.catalogs.back().codes, request.run.kind);
  }
  return out;
}

// ---- what a report shows -------------------------------------------------------------------------------------------

namespace {

/// Titles for the items of an index `…/Name/Name.index_….json`; none when there is no such file, or it is damaged.
item_descriptions titles_beside(std::filesystem::path const& index) {
  auto const name = index.filename().string();
  auto const path = index.parent_path() / (name.substr(0, name.find('.')) + ".item.json");
  try {
    return std::filesystem::exists(path) ? read_items(path) : item_descriptions();
  } catch (file_error const&) {  // a page without titles is better than none
    return {};
  }
}

void add_groups(shown_translation& out, translated_catalog const& one, std::filesystem::path const& index_path,
                modality kind) {
  constexpr std::size_t groups_shown = 6, titles_shown = 5;
  auto groups = collision_groups(one.nearest);
  std::ranges::stable_sort(groups, std::ranges::greater{}, [](auto const& group) { return group.size(); });
  auto const titles = titles_beside(index_path);
  auto const vocab = vocabulary_for(kind, one.nearest.sizes());
  for (auto const& group : groups) {
    if (out.groups.size() == groups_shown) return;
    std::string text;
    auto const codes = one.nearest.of(group.front());
    for (std::size_t l = 0; l < codes.size(); ++l)
      text += vocab.text(vocab.token(kind, static_cast<index_t>(l), codes[l]));
    shown_translation::group shown{.codes = text, .items = std::ssize(group), .titles = {}};
    for (auto const item : group) {
      if (shown.titles.size() == titles_shown) break;
      shown.titles.push_back(title_of(titles, item));
    }
    out.groups.push_back(std::move(shown));
  }
}

}  // namespace

shown_translation shown_of(translation_request const& request, finished_translation const& done) {
  auto const& p = done.trained.progress;
  shown_translation out{
      .modality = request.run.kind == modality::text ? "text" : "image",
      .epochs = p.history,
      .best_epoch = p.best_epoch,
      .error_unit = request.run.normalize == normalization_of_features::standard ? 1 / done.variance : 1,
      .code_counts = {},
      .files = {},
      .groups = {}};
  for (std::size_t f = 0; f < done.catalogs.size(); ++f) {
    auto const& one = done.catalogs[f];
    out.files.push_back({request.embeddings[f].filename().string(), one.certified.items, one.certified.missing,
                         one.collisions_before, one.collisions, one.outcome.moved});
    auto const counts = code_counts(one.codes);
    if (out.code_counts.empty()) out.code_counts.resize(counts.size());
    for (std::size_t l = 0; l < counts.size(); ++l) {
      out.code_counts[l].resize(counts[l].size());
      for (std::size_t k = 0; k < counts[l].size(); ++k) out.code_counts[l][k] += counts[l][k];
    }
    add_groups(out, one, request.indices[f], request.run.kind);
  }
  return out;
}

}  // namespace mql4grec::program
