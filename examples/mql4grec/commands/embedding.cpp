// Features of a dataset's items, with progress.
#include "embedding.hpp"

#include "mql4grec/catalog/item_images.hpp"
#include "report/text.hpp"
#include "signals.hpp"

namespace mql4grec::program {

namespace {

/// Draws the share of the items, items a second and the time left.
std::function<void(pipeline::embedding_progress const&)> drawn_on(progress_log& log, std::string const& label) {
  return [&log, label](pipeline::embedding_progress const& p) {
    log.begin();
    if (p.here == 0 || p.seconds <= 0 || p.items == 0) return;
    double const rate = static_cast<double>(p.here) / p.seconds;
    log.bar(label, static_cast<double>(p.done) / static_cast<double>(p.items),
            grouped(p.done) + "/" + grouped(p.items) + ", " + fixed(rate, rate < 10 ? 1 : 0) + " items/s, " +
                clock_time(static_cast<double>(p.items - p.done) / rate) + " left");
  };
}

void warn_of(embedding_request const& request, pipeline::embedding_result const& result, progress_log& log) {
  if (!result.bad.empty())
    log.warn(counted(std::ssize(result.bad), "image") + " can't be read, the first is item " +
             std::to_string(result.bad.front().row) + ": " + one_line(result.bad.front().message));
  if (result.empty > 0)
    log.warn(counted(result.empty, "item") + " of " + grouped(result.progress.here) + " without " +
             language::name_of(request.kind) + ": rows of zeros");
}

}  // namespace

pipeline::embedding_result embed_with_progress(compute const& compute, embedding_request const& request,
                                               progress_log& log) {
  auto const content = pipeline::read_item_content(request.dataset);
  bool const text = request.kind == language::modality::text;
  pipeline::embedding_run const run{.out = request.out,
                                    .how = request.how,
                                    .on_progress = drawn_on(log, "embedding " + request.out.filename().string()),
                                    .interrupted = interrupted,
                                    .ranks = request.ranks};
  log.stage(request.out.string() + ": " + (text ? "texts" : "images") + " of " + counted(content.items, "item") +
            " by " + request.encoder.string());
  pipeline::embedding_result result;
  if (text) {
    auto const texts = pipeline::texts_of(content.descriptions, content.items, request.selection);
    result = compute.embed_texts({.encoder = request.encoder, .texts = texts, .options = request.text, .run = run});
  } else {
    auto const images = catalog::match_images(request.images, {content.items, content.raw_ids}).of_item;
    result = compute.embed_images({.encoder = request.encoder, .images = images, .options = request.image, .run = run});
  }
  log.clear();
  warn_of(request, result, log);
  return result;
}

}  // namespace mql4grec::program
