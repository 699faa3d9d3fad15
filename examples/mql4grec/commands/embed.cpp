// The command embed: features of all items of a dataset by a frozen encoder.
#include "embedding.hpp"

#include "commands.hpp"
#include "mql4grec/core/detail/words.hpp"
#include "mql4grec/core/json.hpp"
#include "options.hpp"
#include "ranks.hpp"
#include "report/text.hpp"
#include "warnings.hpp"

namespace mql4grec::program {

namespace {

struct embed_options {
  embedding_request request;
  std::string kind, fields = "title,description";
  bool resume = false, encode_empty = false;
  common_options common;
  double rank_timeout = 0;  // a rank without a section waits for as long as another one takes
};

/// Throws ValidationError for options of the other modality.
void check_options(CLI::App const& command, embedding_request const& request) {
  bool const text = request.kind == language::modality::text;
  for (auto const* name : {"--fields", "--encode-empty", "--max-tokens"})
    if (!text && command.get_option(name)->count() > 0)
      throw CLI::ValidationError(name, "is not an option of --modality image");
  for (auto const* name : {"--images", "--strict"})
    if (text && command.get_option(name)->count() > 0)
      throw CLI::ValidationError(name, "is not an option of --modality text");
  if (!text && request.images.empty()) throw CLI::RequiredError("--images");
}

std::vector<pipeline::text_field> fields_of(std::string const& text) try {
  std::vector<pipeline::text_field> fields;
  for (auto const& word : core::detail::split_at_commas(text)) fields.push_back(pipeline::text_field_named(word));
  return fields;
} catch (error const& e) {
  throw CLI::ValidationError("--fields", e.what());
}

json as_json(embed_options const& options, pipeline::embedding_result const& r) {
  json bad = json::array();
  for (auto const& one : r.bad) bad.push_back({{"item", one.row}, {"message", one.message}});
  json result = {
      {"embeddings", options.request.out.string()},
      {"modality", options.kind},
      {"items", r.progress.items},
      {"width", r.width},
      {"computed", r.progress.here},
      {"empty", r.empty},
      {"encoded", r.units},
      {"seconds", r.progress.seconds},
      {"items_per_second", r.progress.seconds > 0 ? static_cast<double>(r.progress.here) / r.progress.seconds : 0.0}};
  if (options.request.kind == language::modality::text)
    result["tokens"] = r.tokens;
  else
    result["bad"] = std::move(bad);
  return result;
}

std::string as_text(embed_options const& options, pipeline::embedding_result const& r) {
  double const seconds = std::max(1e-9, r.progress.seconds);
  std::string text =
      options.request.out.string() + ": " + grouped(r.progress.items) + " rows of width " + std::to_string(r.width) +
      "; " + grouped(r.units) +
      (options.request.kind == language::modality::text ? " texts of " + grouped(r.tokens) + " tokens" : " images") +
      " in " + clock_time(seconds) + ", " +
      grouped(static_cast<index_t>(static_cast<double>(r.progress.here) / seconds)) + " items/s\n";
  return text;
}

int embed_on(rank_of_command& rank, embed_options options) {
  auto& request = options.request;
  options.common = options_of(rank, options.common);
  request.ranks = rank.communicator;
  auto const compute = open_compute(options.common);
  if (rank.speaks()) {
    check_json(options.common);
    check_writable(request.out);
  }
  progress_log log({.quiet = options.common.quiet});
  warn_of_precision(*compute, log);
  auto const result = embed_with_progress(*compute, request, log);
  if (result.status == train::run_status::interrupted) {
    log.stage("mql4grec: interrupted at item " + grouped(result.progress.done) + "; " + request.out.string() +
              ".rows has the rows before it, --resume goes on");
    return interrupted_by_signal;
  }
  if (rank.speaks()) put_result(options.common, as_json(options, result), as_text(options, result));
  return done;
}

int embed_command(CLI::App const& command, embed_options& options) {
  auto& request = options.request;
  request.kind = options.kind == "image" ? language::modality::image : language::modality::text;
  check_options(command, request);
  request.selection.fields = fields_of(options.fields);
  if (options.encode_empty) request.selection.empty = pipeline::empty_fields::encode;
  request.how = options.resume ? embed::feature_run::resume : embed::feature_run::begin;
  return on_ranks([&](rank_of_command& rank) { return embed_on(rank, options); }, options.rank_timeout);
}

}  // namespace

void add_embed(CLI::App& program, int& status) {
  auto const options = std::make_shared<embed_options>();
  auto& o = *options;
  auto& command = *program.add_subcommand("embed", "compute features of a dataset's items with a frozen encoder");
  command.add_option("--dataset", o.request.dataset, "dataset directory .../Name")->required();
  command.add_option("--modality", o.kind, "text or image")->check(CLI::IsMember({"text", "image"}))->required();
  command
      .add_option("--encoder", o.request.encoder,
                  "directory of a BERT, LLaMA or CLIP as transformers writes it, or a LLaMA as a GGUF file")
      ->required();
  command.add_option("--images", o.request.images, "image: directory of <number>.<jpg|png|webp> or <raw id>.<...>");
  command.add_option("--fields", o.fields, "text: title, description, brand, categories; a row is their mean")
      ->capture_default_str();
  command.add_flag("--encode-empty", o.encode_empty,
                   "text: encode an item's empty fields too, as the released code does, instead of leaving them out");
  command.add_option("--max-tokens", o.request.text.max_tokens, "text: tokens of a field; further ones are cut off")
      ->check(CLI::Range(2, 1 << 20))
      ->capture_default_str();
  command.add_flag("--strict", o.request.image.reading.strict, "image: stop at the first image that can't be read");
  command.add_option("--out", o.request.out, "file of features, .npy; row i is item i")->required();
  command.add_flag("--resume", o.resume, "go on with an interrupted file");
  add_rank_timeout(command, o.rank_timeout);
  add_common_options(command, o.common);
  command.callback([options, &command, &status] { status = embed_command(command, *options); });
}

}  // namespace mql4grec::program
